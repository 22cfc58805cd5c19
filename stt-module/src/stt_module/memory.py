"""What another replica has to know to go on with a session."""

from __future__ import annotations

import msgspec

from stt_module.listening import ListeningState

__all__ = ["Memory"]


class Memory(msgspec.Struct, omit_defaults=True):
    """The lasting part of a session.

    Attributes:
        number: Of the next final transcription.
        speaker_id: Who speaks.
        language: What is spoken; `auto` where the server finds out.
        state: What the session is doing.
        sample_rate: As its client named it; 0: not named.
        channels: The same.
        bit_depth: The same.
        audio_encoding: The same.
        head: How its container begins, without which what follows cannot be read.
    """

    number: int = 0
    speaker_id: str = ""
    language: str = ""
    state: ListeningState = ListeningState.LISTENING
    sample_rate: int = 0
    channels: int = 0
    bit_depth: int = 0
    audio_encoding: int = 0
    head: bytes = b""

    def packed(self) -> bytes:
        """Return it as bytes."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def unpacked(cls, state: bytes) -> Memory:
        """Read it back; a new one of nothing."""
        return msgspec.msgpack.decode(state, type=cls) if state else cls()
