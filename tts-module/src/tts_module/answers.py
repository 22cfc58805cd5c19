"""The answers of the TTS module as messages of the contract."""

from __future__ import annotations

from handler_base.clients.audio import SpeechAudio
from handler_base.errors import ErrorType, FleetError
from handler_base.handler.audio_stream import BIT_DEPTH
from handler_base.messages import TTSFullResponse, TTSRequest, TTSStatus, unix_now
from tts_module.formats import ENCODINGS, PCM, WAV

__all__ = ["failed", "full", "status"]


def status(session_id: str, what: str, message: str = "") -> TTSStatus:
    """Return where a speech stands."""
    return TTSStatus(session_id=session_id, status=what, message=message, timestamp=unix_now())


def full(session_id: str, speech: SpeechAudio) -> TTSFullResponse:
    """Return a speech in one piece."""
    return TTSFullResponse(
        session_id=session_id,
        audio=speech.audio,
        timestamp=unix_now(),
        sample_rate=speech.sample_rate,
        channels=speech.channels,
        # Of compressed sound only a decoder can tell.
        bit_depth=BIT_DEPTH if speech.audio_format in {PCM, WAV} else 0,
        audio_encoding=ENCODINGS[speech.audio_format],
    )


def failed(request: TTSRequest, error: FleetError) -> TTSStatus:
    """Return the last status of a speech that was not finished; whoever sends it knows the session."""
    del request
    what = "cancelled" if error.type is ErrorType.CANCELLED else "error"
    return status("", what, error.message)
