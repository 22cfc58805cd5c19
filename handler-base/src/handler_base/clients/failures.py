"""What a failed attempt at one endpoint means: which error it is for the caller, and what may be tried before that."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from handler_base.errors import DeadlineExceededError, FleetError, UpstreamError, UpstreamUnavailableError
from handler_base.http import ConnectError, DisconnectedError, SilentError, TooLongError, TruncatedError

__all__ = ["AttemptError", "error_for_exception", "error_for_status", "malformed", "mid_stream_error"]

_THE_REQUEST_IS_AT_FAULT: Final = frozenset({400, 411, 413, 414, 415, 422, 431})
_TRANSIENT: Final = frozenset({408, 425, 502, 504})
_LONGEST_RETRY_AFTER: Final = 24 * 3600.0


class AttemptError(Exception):
    """One attempt failed. Never leaves this package: what `release` returns is raised in its place.

    Attributes:
        error: What the caller gets when nothing else is tried.
        reason: Short name for logs and metrics.
        elsewhere: Whether another endpoint may do better.
        untouched: Whether the server has certainly not begun to work on the request.
        transient: Whether the same endpoint may do better in a moment.
        unhealthy: Whether this counts against the endpoint's health.
        retry_after: Seconds the server asks to wait, where it says so.
    """

    def __init__(
        self,
        error: FleetError,
        reason: str,
        *,
        elsewhere: bool = True,
        untouched: bool = False,
        transient: bool = False,
        unhealthy: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
        self.elsewhere = elsewhere
        self.untouched = untouched
        self.transient = transient
        self.unhealthy = unhealthy
        self.retry_after = retry_after

    def release(self) -> FleetError:
        """Return `error`, once, to be raised from this failure.

        The failure forgets it: the two would hold each other, and with them the prompt.
        """
        error = self.error
        del self.error
        return error


def error_for_exception(error: Exception, *, patient: bool) -> AttemptError:
    """Return what an exception of the HTTP client means.

    Args:
        error: What was raised before the whole answer was there.
        patient: Whether the server had enough time that running out of it counts against its health.
    """
    if isinstance(error, ConnectError):
        return AttemptError(UpstreamUnavailableError(), "connect", untouched=True, transient=True, unhealthy=True)
    if isinstance(error, SilentError):
        return AttemptError(UpstreamUnavailableError(), "silent", unhealthy=True)
    if isinstance(error, TimeoutError):
        return AttemptError(DeadlineExceededError(), "deadline", elsewhere=False, unhealthy=patient)
    if isinstance(error, TruncatedError):
        return AttemptError(UpstreamError(), "truncated", transient=True, unhealthy=True)
    if isinstance(error, DisconnectedError):
        return AttemptError(UpstreamUnavailableError(), "disconnected", transient=True, unhealthy=True)
    if isinstance(error, TooLongError):
        return AttemptError(UpstreamError("A model server's answer is too long."), "too_long", unhealthy=True)
    return AttemptError(UpstreamError(), "protocol", unhealthy=True)


def error_for_status(status: int, headers: Mapping[str, str]) -> AttemptError:
    """Return what an answer with a status other than 2xx means."""
    reason = f"http_{status}"
    if status in {429, 503}:
        wait = _retry_after(headers.get("Retry-After"))
        error = UpstreamUnavailableError(
            "A model server is busy right now.", retry_after=None if wait is None else timedelta(seconds=wait)
        )
        return AttemptError(error, reason, transient=True, unhealthy=status == 503, retry_after=wait)
    if status >= 500 or status in _TRANSIENT:
        return AttemptError(UpstreamError(), reason, transient=status in _TRANSIENT, unhealthy=status >= 500)
    message = "A model server refused the request."
    return AttemptError(UpstreamError(message), reason, elsewhere=status not in _THE_REQUEST_IS_AT_FAULT)


def malformed() -> AttemptError:
    """Return the error of an answer that makes no sense."""
    error = UpstreamError("A model server answered with something unreadable.")
    return AttemptError(error, "malformed", transient=True, unhealthy=True)


def mid_stream_error(error: Exception) -> FleetError:
    """Return the error for a stream that broke off."""
    if isinstance(error, TimeoutError):
        return DeadlineExceededError()
    return UpstreamError("A model server stopped in the middle of its answer.")


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` header; None where it says nothing sensible."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER) if seconds == seconds else None  # noqa: PLR0124 - not a NaN
