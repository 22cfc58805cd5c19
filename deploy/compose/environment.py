"""The stack's one `.env`: made from `.env.example` at the first start, with passwords nobody else has."""

from __future__ import annotations

import re
import secrets
import string
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

__all__ = ["EXAMPLE", "FILE", "make_environment", "read_environment"]

EXAMPLE: Final = Path(__file__).with_name(".env.example")
FILE: Final = Path(__file__).with_name(".env")

_EMPTY_PASSWORD: Final = re.compile(r"^(\w*PASSWORD\w*)=$", re.MULTILINE)
_LETTERS: Final = string.ascii_letters
_LENGTH: Final = 32


def make_environment(path: Path = FILE) -> bool:
    """Put a random password wherever one is empty; nothing else is changed.

    Args:
        path: The `.env`; made from the example where it is missing, readable by its owner only.

    Returns:
        Whether anything was written.
    """
    before = path.read_text("utf-8") if path.exists() else ""
    after = _EMPTY_PASSWORD.sub(lambda found: f"{found[1]}={_password()}", before or EXAMPLE.read_text("utf-8"))
    if after == before:
        return False
    path.touch(mode=0o600)
    path.write_text(after, "utf-8")
    return True


def read_environment(path: Path = FILE) -> dict[str, str]:
    """Read the values that are set."""
    return {name: value for name, value in dotenv_values(path).items() if value}


def _password() -> str:
    """Return letters and digits, a letter first: what NATS, a URL and a shell take as it is."""
    rest = (secrets.choice(_LETTERS + string.digits) for _ in range(_LENGTH - 1))
    return secrets.choice(_LETTERS) + "".join(rest)
