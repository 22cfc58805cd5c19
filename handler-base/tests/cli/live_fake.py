"""The fleet's side of a live session, as a test writes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from handler_base.messages import Message, STTInterrupt, STTStreamMessage, STTTranscription, decode, encode
from handler_base.messages.subjects import STT_STREAM, STT_TRANSCRIPTION, Subject
from handler_base.nats_client import Msg, NatsConnection

Step = Callable[["FakeSession", STTStreamMessage], None]


@dataclass
class FakeSession:
    """Takes what a client sends, and tells what the test says.

    Attributes:
        client: A connection of its own.
        step: Called with each message of the client's.
        session_id: The client's.
        messages: All that came.
        begun: Set with the first of it.
        ended: Set with the last of it.
    """

    client: NatsConnection
    step: Step
    session_id: str = ""
    messages: list[STTStreamMessage] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> FakeSession:
        """Listen to every session."""
        await self.client.subscribe(STT_STREAM.pattern, self._take)
        await self.client.flush()
        return self

    @property
    def chunks(self) -> list[STTStreamMessage]:
        return [message for message in self.messages if message.type == "chunk"]

    @property
    def audio(self) -> bytes:
        return b"".join(message.audio for message in self.chunks)

    def tell(self, subject: Subject, message: Message, **headers: str) -> None:
        """Publish a message in the session."""
        concrete = subject.format(**dict.fromkeys(subject.placeholders, self.session_id))
        self.client.send(concrete, encode(message), headers={"Message-Type": message.schema_name, **headers})

    def partial(self, text: str, number: int = 0) -> None:
        self.tell(STT_TRANSCRIPTION, STTTranscription(transcript=text, is_partial=True, sequence=number))

    def final(self, text: str, number: int = 0, **values: str) -> None:
        message = STTTranscription(transcript=text, is_final=True, sequence=number, audio_ms=900, **values)  # type: ignore[arg-type]  # any field
        self.tell(STT_TRANSCRIPTION, message)

    def interrupt(self) -> None:
        self.tell(STT_TRANSCRIPTION, STTInterrupt(session_id=self.session_id))

    def over(self, utterances: int = 1, audio_ms: int = 900) -> None:
        self.tell(STT_TRANSCRIPTION, STTTranscription(state="ended", sequence=utterances, audio_ms=audio_ms))

    def _take(self, msg: Msg) -> None:
        found = STT_STREAM.match(msg.subject)
        assert found is not None
        self.session_id = found["session_id"]
        message = decode(STTStreamMessage, msg.data)
        self.messages.append(message)
        self.begun.set()
        self.step(self, message)
        if message.type == "end":
            self.ended.set()
