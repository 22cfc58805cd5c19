"""The answers of the STT module as messages of the contract."""

from __future__ import annotations

from handler_base.errors import FleetError
from handler_base.messages import STTInterrupt, STTTranscription, unix_now
from stt_module.memory import Memory

__all__ = ["ENDED", "ended", "failed", "final", "interrupt", "partial", "refused"]

ENDED = "ended"
"""The state of the last message of a session."""


def partial(session_id: str, memory: Memory, text: str, audio_ms: int) -> STTTranscription:
    """Return what was understood so far of the utterance under way."""
    return STTTranscription(
        session_id=session_id,
        transcript=text,
        sequence=memory.number,
        is_partial=True,
        timestamp=unix_now(),
        speaker_id=memory.speaker_id,
        has_voice_activity=True,
        state=memory.state.value,
        audio_ms=audio_ms,
    )


def final(session_id: str, memory: Memory, text: str, audio_ms: int, error: FleetError | None) -> STTTranscription:
    """Return what was understood of an utterance for good, or why it was not."""
    return STTTranscription(
        session_id=session_id,
        transcript=text,
        sequence=memory.number,
        is_final=True,
        timestamp=unix_now(),
        speaker_id=memory.speaker_id,
        # What a detector took for voice and a recogniser finds no word in was none.
        has_voice_activity=bool(text) or error is not None,
        state=memory.state.value,
        error_type=error.type.value if error is not None else "",
        audio_ms=audio_ms,
    )


def failed(session_id: str, memory: Memory, error: FleetError) -> STTTranscription:
    """Return what is wrong with a message; it is no utterance, so it has no number of its own."""
    return STTTranscription(
        session_id=session_id,
        sequence=memory.number,
        timestamp=unix_now(),
        speaker_id=memory.speaker_id,
        state=memory.state.value,
        error_type=error.type.value,
    )


def refused(session_id: str, error: FleetError) -> STTTranscription:
    """Return why there is no session."""
    return STTTranscription(session_id=session_id, timestamp=unix_now(), state=ENDED, error_type=error.type.value)


def ended(session_id: str, memory: Memory, heard_ms: int) -> STTTranscription:
    """Return the last message of a session, with all the audio that it had."""
    return STTTranscription(
        session_id=session_id,
        sequence=memory.number,
        timestamp=unix_now(),
        speaker_id=memory.speaker_id,
        state=ENDED,
        audio_ms=heard_ms,
    )


def interrupt(session_id: str, memory: Memory) -> STTInterrupt:
    """Return the order to stop the answer."""
    return STTInterrupt(session_id=session_id, timestamp=unix_now(), speaker_id=memory.speaker_id)
