"""A service whose sessions remember words, on a real nats-server, as many replicas as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import ClassVar, Final

import pytest

from handler_base.config import Settings
from handler_base.errors import FleetError, InvalidRequestError
from handler_base.handler import Handler, Service
from handler_base.live import End, LiveLimits, LiveSession, Step, live
from handler_base.messages import STTStreamMessage, STTTranscription
from handler_base.messages.streams import BucketSpec
from handler_base.messages.subjects import STT_REPLICA, STT_STREAM, STT_TRANSCRIPTION
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.stt_caller import SttCaller, stt_caller

BUCKET: Final = BucketSpec("WORD_SESSIONS", "Sessions of the tests.", ttl=timedelta(hours=1))
STEPS: Final = {"start": Step.START, "chunk": Step.GO_ON, "state_change": Step.CHANGE, "end": Step.END}


def step_of(message: STTStreamMessage) -> Step:
    step = STEPS.get(message.type)
    if step is None:
        raise InvalidRequestError("There is no such step.")
    return step


def told(session_id: str, transcript: str, **values: object) -> STTTranscription:
    return STTTranscription(session_id=session_id, transcript=transcript, **values)  # type: ignore[arg-type]  # any


def refused(session_id: str, error: FleetError) -> STTTranscription:
    return told(session_id, error.message, error_type=error.type.value)


class Words:
    """Says each word it is told, once, with its number; the numbers go on wherever the session goes."""

    def __init__(self, session: LiveSession, service: WordService) -> None:
        self._session = session
        self._service = service
        self._number = int(session.resumed or b"0")

    async def take(self, message: STTStreamMessage) -> None:
        word = message.audio.decode()
        if message.type != "chunk":
            return
        if word == "fault":
            raise RuntimeError(word)
        self._service.waiting += 1
        try:
            await self._service.gate.wait()
        finally:
            self._service.waiting -= 1
        self._number += 1
        final = told(self._session.session_id, word, sequence=self._number, is_final=True)
        await self._session.commit(final, str(self._number).encode(), until=self._session.heard_at)

    async def finish(self, end: End) -> None:
        last = told(self._session.session_id, end.value, state="" if end is End.RESTART else "ended")
        await self._session.publish(last)

    async def leave(self) -> Sequence[STTStreamMessage]:
        return [STTStreamMessage(type="chunk", audio=b"left")]

    def drop(self) -> None:
        """Nothing is held."""

    def failed(self, error: FleetError) -> STTTranscription:
        return refused(self._session.session_id, error)


class WordSettings(Settings):
    sessions: int = 10
    idle: float = 60.0
    inbox_bytes: int = 100_000


class WordService(Handler[WordSettings]):
    """Opens sessions of words, which wait while its gate is shut."""

    name: ClassVar[str] = "words"
    description: ClassVar[str] = "Says words."
    buckets: ClassVar[tuple[BucketSpec, ...]] = (BUCKET,)

    def __init__(self, settings: WordSettings) -> None:
        super().__init__(settings)
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.opened: list[str] = []

    @live(
        subject=STT_STREAM,
        answers=STT_TRANSCRIPTION,
        replica=STT_REPLICA,
        bucket=BUCKET,
        step=step_of,
        number=lambda message: message.sequence,
        error_answer=refused,
        limits=lambda settings: LiveLimits(settings.sessions, timedelta(seconds=settings.idle), settings.inbox_bytes),
    )
    def words(self, session: LiveSession) -> Words:
        """Open a session."""
        self.opened.append(session.session_id)
        return Words(session, self)


class Replica:
    """One of the services, with its handler."""

    def __init__(self, handler: WordService) -> None:
        self.handler = handler
        self.service = Service(handler)


StartWords = Callable[..., Awaitable[Replica]]


@pytest.fixture
async def start(nats: NatsServer) -> AsyncIterator[StartWords]:
    async with AsyncExitStack() as stack:

        async def one(**values: object) -> Replica:
            where = {"nats_url": nats.url, "health_host": "127.0.0.1", "health_port": 0, "drain_timeout": 2}
            replica = Replica(WordService(WordSettings.model_validate({**where, "events": False, **values})))
            await replica.service.start()
            stack.push_async_callback(replica.service.stop)
            return replica

        yield one


@pytest.fixture
async def caller(nats: NatsServer) -> AsyncIterator[SttCaller]:
    async with stt_caller(nats.url) as connected:
        yield connected
