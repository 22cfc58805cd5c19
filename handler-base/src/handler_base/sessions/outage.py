"""What a store that fails leaves behind: a count of every call that went without it, and one line in the log."""

from __future__ import annotations

import logging
import time
from typing import Final

from handler_base.sessions.valkey import LinkError, RefusedError, ValkeyLink
from handler_base.telemetry import metrics

__all__ = ["Outage"]

log = logging.getLogger(__name__)

_QUIET: Final = 60.0
"""Seconds without a refusal after which the same one is told again."""


class Outage:
    """Notes failures and recoveries of one store.

    Args:
        link: Given up when the store says that it cannot serve.
    """

    def __init__(self, link: ValkeyLink) -> None:
        self._link = link
        self._told: dict[str, float] = {}
        self.away = False

    def failed(self, operation: str, error: LinkError) -> None:
        """Count a call that brought nothing, or not all that it should."""
        metrics.SWALLOWED_ERRORS.of(f"sessions.{operation}").inc()
        reason = str(error)
        if isinstance(error, RefusedError) and error.unusable:
            self._link.give_up()
        elif isinstance(error, RefusedError) or reason == "busy":
            self._tell_seldom(operation, reason)
            return
        if not self.away:
            self.away = True
            log.warning(
                "the session store is away, going on without it", extra={"operation": operation, "reason": reason}
            )

    def over(self) -> None:
        """Note that the store answered."""
        if self.away:
            self.away = False
            log.info("the session store is back")

    def _tell_seldom(self, operation: str, reason: str) -> None:
        now = time.monotonic()
        if now - self._told.get(reason, -_QUIET) >= _QUIET:
            log.warning("the session store refuses", extra={"operation": operation, "reason": reason})
        self._told[reason] = now
