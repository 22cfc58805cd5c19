"""The answers of the TTS module as messages of the contract."""

from __future__ import annotations

from handler_base.errors import ErrorType, FleetError
from handler_base.messages import TTSRequest, TTSStatus, unix_now

__all__ = ["failed", "status"]


def status(session_id: str, what: str, message: str = "") -> TTSStatus:
    """Return where a speech stands."""
    return TTSStatus(session_id=session_id, status=what, message=message, timestamp=unix_now())


def failed(request: TTSRequest, error: FleetError) -> TTSStatus:
    """Return the last status of a speech that was not finished; whoever sends it knows the session."""
    del request
    what = "cancelled" if error.type is ErrorType.CANCELLED else "error"
    return status("", what, error.message)
