"""Makes the environment of KFP, ``.venv-kfp``: its protobuf is older than what the fleet's messages need."""

from __future__ import annotations

import hashlib
import sys
from typing import Final

from deploy.local import bootstrap

__all__ = ["KFP_PYTHON", "main"]

_VENV: Final = bootstrap.ROOT / ".venv-kfp"
_LOCK: Final = bootstrap.ROOT / "requirements-kfp.lock"
_STAMP: Final = _VENV / ".installed"

KFP_PYTHON: Final = _VENV / "bin" / "python"
"""The Python that has KFP's SDK."""


def main() -> None:
    """Make it as the lock file says, unless it is."""
    wanted = hashlib.sha256(f"{sys.version_info[:2]} {_VENV}".encode() + _LOCK.read_bytes()).hexdigest()
    if KFP_PYTHON.exists() and _STAMP.exists() and _STAMP.read_text("utf-8") == wanted:
        return
    uv = str(bootstrap.UV)
    bootstrap.run("Making .venv-kfp", [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(_VENV)])
    install = ["pip", "sync", "--quiet", "--python", str(KFP_PYTHON), "--require-hashes", str(_LOCK)]
    bootstrap.run("Installing KFP", [uv, *install])
    _STAMP.write_text(wanted, "utf-8")


if __name__ == "__main__":
    main()
