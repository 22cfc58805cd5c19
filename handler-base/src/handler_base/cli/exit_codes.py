"""What the exit status of `fleet` means."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ExitCode", "table"]


class ExitCode(IntEnum):
    """The exit statuses of every command."""

    OK = 0
    FLEET_ERROR = 1
    USAGE = 2
    NATS_UNREACHABLE = 3
    NO_ANSWER = 4
    INTERRUPTED = 130


_MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FLEET_ERROR: "the fleet, or something it needs, answered with an error",
    ExitCode.USAGE: "the command line, a setting or an input file is wrong",
    ExitCode.NATS_UNREACHABLE: "NATS cannot be reached, or refuses the credentials",
    ExitCode.NO_ANSWER: "no service answered: nobody listens, or it took too long",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
}


def table() -> str:
    """Return the codes with their meanings, a line each."""
    return "\n".join(f"{code.value:>5}  {meaning}" for code, meaning in _MEANINGS.items())
