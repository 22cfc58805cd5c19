"""Ports that the parts want, looked at before anything is started."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["HOST", "PortClaim", "conflicts"]

HOST: Final = "127.0.0.1"
"""Everything local listens here, and nowhere else."""


@dataclass(frozen=True, slots=True)
class PortClaim:
    """A port that one part needs.

    Attributes:
        port: On `HOST`.
        part: What needs it.
        variable: The setting that moves it.
        instead: What else can be done, as the end of a sentence; empty: nothing.
    """

    port: int
    part: str
    variable: str
    instead: str = ""


def conflicts(claims: Sequence[PortClaim]) -> list[str]:
    """Return one line for each port that cannot be had: claimed twice, or in use."""
    lines: list[str] = []
    claimed: dict[int, PortClaim] = {}
    for claim in claims:
        other = claimed.setdefault(claim.port, claim)
        if other is not claim:
            lines.append(f"port {claim.port} is meant for both {other.part} and {claim.part}; change {claim.variable}.")
        elif reason := _refusal(claim.port):
            instead = f", or {claim.instead}" if claim.instead else ""
            lines.append(
                f"port {claim.port}, which {claim.part} needs, {reason}. Set {claim.variable} to another port{instead}."
            )
    return lines


def _refusal(port: int) -> str:
    with socket.socket() as probe:
        # As servers do: connections of an earlier run that still linger do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except PermissionError:
            return "is only for the administrator"
        except OSError:
            return "is in use"
    return ""
