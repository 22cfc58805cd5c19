"""What the local stack is told: the process's environment, then `.env` in the checkout."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from handler_base.errors import InvalidRequestError

__all__ = ["PORTS", "StackSettings", "read_settings", "write_environment"]

PORTS: Final[Mapping[str, int]] = {
    "NATS_PORT": 4222,
    "MILVUS_PORT": 19530,
    "REDIS_PORT": 6379,
    "INFERENCE_PORT": 8000,
    "HEALTH_PORT_BASE": 8080,
}
"""The variables that move ports, and where the ports are without them."""

_HIGHEST_PORT: Final = 65535
_HEADER: Final = "# Written by the local stack at every start; the fleet command reads it.\n"


@dataclass(frozen=True, slots=True)
class StackSettings:
    """What the stack is told.

    Attributes:
        root: The checkout; every process runs there.
        state: Where data, logs and `env` are kept.
        given: Every variable that has a value, from the environment and from `.env`.
        ports: A port for each name of `PORTS`.
    """

    root: Path
    state: Path
    given: Mapping[str, str]
    ports: Mapping[str, int]

    def names_own(self, variable: str) -> bool:
        """Tell whether a server of the user's own takes the place of the local part."""
        return variable in self.given or f"{variable}_FILE" in self.given

    def shown(self, path: Path) -> str:
        """Return a path as it is typed in the checkout."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def read_settings(root: Path, environ: Mapping[str, str] | None = None) -> StackSettings:
    """Read the settings; a variable with an empty value counts as not set.

    Args:
        root: The checkout.
        environ: In place of the process's environment.

    Raises:
        InvalidRequestError: A port is not a number from 1 to 65535.
    """
    environ = os.environ if environ is None else environ
    given = {**_values(dotenv_values(root / ".env").items()), **_values(environ.items())}
    state = (root / given.get("LOCAL_DIR", ".local")).resolve()
    return StackSettings(root, state, given, {name: _port(name, given) for name in PORTS})


def write_environment(path: Path, values: Mapping[str, str]) -> None:
    """Write the addresses in use, ``KEY=VALUE`` a line, readable by the owner only: a URL may hold a password."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(_HEADER + "".join(f"{name}={_quoted(value)}\n" for name, value in values.items()), "utf-8")
    fresh.replace(path)


def _values(pairs: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    return {name: value for name, value in pairs if value}


def _port(name: str, given: Mapping[str, str]) -> int:
    text = given.get(name, str(PORTS[name]))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _HIGHEST_PORT):
        raise InvalidRequestError(f"{name}={text} is not a port; use a number from 1 to {_HIGHEST_PORT}.")
    return int(text)


def _quoted(value: str) -> str:
    if all(character.isalnum() or character in "-_./:,@" for character in value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
