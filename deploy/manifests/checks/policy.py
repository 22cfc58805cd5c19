"""kubernetes-validate and checkov, in an environment of their own: together they are 400 MB."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.bootstrap import uv_environment

__all__ = ["PolicyOutcome", "SchemaOutcome", "check_policies", "check_schemas", "install"]

ROOT: Final = Path(__file__).resolve().parents[3]
VENV: Final = ROOT / ".venv-policy"
LOCK: Final = ROOT / "requirements-policy.lock"

_STAMP: Final = VENV / ".lock-digest"


@dataclass(frozen=True, slots=True)
class SchemaOutcome:
    """What the schemas of Kubernetes say: objects that fit, by version, and what is wrong."""

    passed: dict[str, int]
    wrong: list[str]


@dataclass(frozen=True, slots=True)
class PolicyOutcome:
    """What checkov says."""

    passed: int
    skipped: list[str]
    failed: list[str]


def install() -> None:
    """Make `.venv-policy` as its lock file says; nothing is done when it is.

    Raises:
        CalledProcessError: The packages cannot be installed.
    """
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if _STAMP.exists() and _STAMP.read_text(encoding="utf-8") == digest:
        return
    print("Installing checkov and kubernetes-validate into .venv-policy ...", flush=True)
    uv = str(Path(sys.executable).with_name("uv"))
    base = [uv, "--quiet"]
    subprocess.run([*base, "venv", "--allow-existing", "--python", sys.executable, str(VENV)], cwd=ROOT, check=True)
    wanted = ["pip", "sync", "--require-hashes", "--python", str(_python()), str(LOCK)]
    subprocess.run([*base, *wanted], cwd=ROOT, env=uv_environment(), check=True)
    _STAMP.write_text(digest, encoding="utf-8")


def check_schemas(folder: Path) -> SchemaOutcome:
    """Validate the built-in objects of a folder's files for the newest versions of Kubernetes, strictly."""
    script = Path(__file__).with_name("core_schemas.py")
    done = subprocess.run([str(_python()), str(script), str(folder)], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    return SchemaOutcome(said["passed"], said["wrong"])


def check_policies(folder: Path) -> PolicyOutcome:
    """Run checkov on a folder's files; nothing is downloaded, and nothing is sent anywhere."""
    command = [
        *(str(VENV / "bin" / "checkov"), "--directory", str(folder), "--framework", "kubernetes"),
        *("--output", "json", "--quiet", "--compact", "--skip-download", "--soft-fail"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    summary, results = said["summary"], said["results"]
    failed = [f"{one['check_id']} {one['check_name']}: {one['resource']}" for one in results["failed_checks"]]
    skipped = [f"{one['check_id']}: {one['resource']}" for one in results.get("skipped_checks", ())]
    return PolicyOutcome(int(summary["passed"]), skipped or [""] * int(summary["skipped"]), failed)


def _python() -> Path:
    return VENV / "bin" / "python"
