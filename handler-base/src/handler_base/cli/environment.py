"""The settings of a command: options, then the environment, then `.env`, then what the local stack wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeVar

import pydantic

from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.terminal import fail
from handler_base.config import Settings

__all__ = ["LOCAL_ENVIRONMENT", "find_local_environment", "read_settings", "without_credentials"]

S = TypeVar("S", bound=Settings)

LOCAL_ENVIRONMENT: Final = Path(".local") / "env"
"""Where the local stack writes the addresses of its parts, ``KEY=VALUE`` a line."""


def find_local_environment(start: Path) -> Path | None:
    """Return the file of the local stack in a folder or the nearest of its parents, or None."""
    for folder in (start, *start.parents):
        path = folder / LOCAL_ENVIRONMENT
        if path.is_file():
            return path
    return None


def read_settings(kind: type[S], *, nats_url: str = "") -> S:
    """Read the settings, or end the command with a line that names what is wrong.

    Args:
        kind: Which settings.
        nats_url: From the command line; empty when it was not given.

    Raises:
        typer.Exit: A setting is not valid.
    """
    local = find_local_environment(Path.cwd())
    # Of several files the later one wins.
    files = (Path(".env"),) if local is None else (local, Path(".env"))
    given: dict[str, Any] = {"nats_url": nats_url} if nats_url else {}
    try:
        return kind(_env_file=files, **given)
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "a setting"
        fail(f"{name} is not valid: {first['msg']}. Set it in the environment or in .env.", ExitCode.USAGE)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"The settings cannot be read: {error}.", ExitCode.USAGE)


def without_credentials(urls: str) -> str:
    """Return comma-separated URLs without their user names, passwords and tokens."""
    return ", ".join(_hidden(url.strip()) for url in urls.split(",") if url.strip())


def _hidden(url: str) -> str:
    # Not parsed: what is shown may be wrong in just the part that a parser refuses.
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
