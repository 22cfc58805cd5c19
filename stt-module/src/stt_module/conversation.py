"""What happens in one session: audio in; transcripts, interrupts and errors out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from handler_base.errors import FleetError, InvalidRequestError, OverloadedError
from handler_base.live import End, LiveSession
from handler_base.messages import Message, STTStreamMessage
from handler_base.messages.subjects import STT_STREAM
from handler_base.telemetry import metrics
from stt_module import answers
from stt_module.desk import Desk
from stt_module.gaps import Gaps
from stt_module.intake import ContainerIntake, Intake, WavIntake, check_encoding, open_intake
from stt_module.listening import Ears, Heard, ListeningRules
from stt_module.memory import Memory
from stt_module.pcm import PcmFormat
from stt_module.steps import language_of, speaker_of, state_of
from stt_module.transcripts import Spoken, Transcripts
from stt_module.vad import Detector
from stt_module.windows import RATE, SAMPLE_BYTES

__all__ = ["Conversation", "Parts"]

_SECOND: Final = RATE * SAMPLE_BYTES
_PIECE: Final = 8 * _SECOND
"""Audio handed over goes in messages of this size, which any server takes."""

_RAW: Final = 1
_LEFT: Final = -1
"""Number of the chunks that a session is handed over with: 16 kHz mono, whatever its client sends."""

_HEARD: Final = -2
"""Number of the part of a container that a session is handed over with: its sound has been heard."""

_PAUSE: Final = bytes(_SECOND)


@dataclass(frozen=True, slots=True)
class Parts:
    """What all sessions share.

    Attributes:
        detector: Tells voice.
        desk: Transcribes.
        rules: How to listen.
        language: Of sessions that name none.
        most_bytes: Audio a session may hold.
        interval: Least new speech between two partials; zero: no partials.
    """

    detector: Detector
    desk: Desk
    rules: ListeningRules
    language: str
    most_bytes: int
    interval: timedelta


class Conversation:
    """One session.

    Args:
        session: Whom to tell.
        parts: What all sessions share.
    """

    def __init__(self, session: LiveSession, parts: Parts) -> None:
        self._session = session
        self._parts = parts
        self._memory = Memory.unpacked(session.resumed)
        self._memory.language = self._memory.language or parts.language
        self._transcripts = Transcripts(
            session, self._memory, parts.desk, interval=parts.interval, understood=self._understood
        )
        self._ears = self._new_ears()
        self._intake: Intake | None = None
        self._gaps = Gaps()
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, message: STTStreamMessage) -> None:
        """See `LiveWork`."""
        if message.type == "chunk":
            await self._hear(message)
            return
        try:
            await self._change(message)
        except FleetError:
            # A session that does not begin well does not begin.
            self._session.over = message.type == "start"
            raise

    async def _change(self, message: STTStreamMessage) -> None:
        language, state, speaker_id = language_of(message), state_of(message), speaker_of(message)
        memory = self._memory
        memory.speaker_id = speaker_id or memory.speaker_id
        memory.language = language or memory.language
        if state is not None:
            self._ears.change_state(state)
            memory.state = state
        if message.type == "start":
            _layout(message)
            check_encoding(message.audio_encoding)
            memory.sample_rate, memory.channels = message.sample_rate, message.channels
            memory.bit_depth, memory.audio_encoding = message.bit_depth, message.audio_encoding
            self._ears = self._new_ears()
        await self._save()

    async def finish(self, end: End) -> None:
        """See `LiveWork`."""
        try:
            if self._intake is not None and not self._session.over:
                await self._listen(await self._intake.end())
        except FleetError as error:
            await self._session.publish(self.failed(error), error)
        await self._follow(await self._ears.end())
        await self._transcripts.settled()
        if end not in {End.RESTART, End.STOPPED}:
            await self._session.publish(answers.ended(self._session.session_id, self._memory, self._ears.heard_ms))

    async def leave(self) -> Sequence[Message]:
        """See `LiveWork`."""
        await self._transcripts.stop()
        waiting, under_way = self._transcripts.waiting, self._ears.so_far() if self._ears.speaking else b""
        newest = self._intake.newest if isinstance(self._intake, ContainerIntake) else b""
        self.drop()
        pieces = [audio for spoken in waiting for audio in (spoken.audio, _PAUSE)]
        left = [
            STTStreamMessage(type="chunk", audio=piece, sequence=_LEFT)
            for audio in (*pieces, under_way)
            for piece in _cut(audio)
        ]
        return [*left, STTStreamMessage(type="chunk", audio=newest, sequence=_HEARD)] if newest else left

    def drop(self) -> None:
        """See `LiveWork`."""
        self._transcripts.drop()
        for task in self._tasks:
            task.cancel()
        if self._intake is not None:
            self._intake.close()
            self._intake = None

    def failed(self, error: FleetError) -> Message:
        """See `LiveWork`."""
        return answers.failed(self._session.session_id, self._memory, error)

    async def _hear(self, message: STTStreamMessage) -> None:
        if not message.audio:
            raise InvalidRequestError("The audio is empty.")
        self._memory.speaker_id = speaker_of(message) or self._memory.speaker_id
        if message.sequence == _LEFT:
            await self._listen(message.audio)
            return
        if message.sequence == _HEARD:
            self._intake = self._open(message)
            await self._intake.feed(message.audio)
            return
        missing = self._gaps.take(message.sequence)
        if missing is None:
            return
        if missing:
            metrics.LIVE_GAPS.of(STT_STREAM.template).inc(missing)
        try:
            if self._intake is None:
                self._intake = self._open(message)
            samples = await self._intake.feed(message.audio)
        except FleetError:
            # A decoder that lost its way does not find it again.
            self._session.over = True
            raise
        await self._remember(self._intake)
        if self._held + len(samples) > self._parts.most_bytes:
            raise OverloadedError("Transcription is behind; some audio was left out.")
        await self._listen(samples)

    async def _remember(self, intake: Intake) -> None:
        """Keep, once, what it takes to read this audio from the middle on."""
        memory = self._memory
        if isinstance(intake, ContainerIntake) and intake.head != memory.head:
            memory.head = intake.head
        elif isinstance(intake, WavIntake) and intake.layout is not None and memory.audio_encoding != _RAW:
            layout = intake.layout
            if layout.floats:
                return  # which a client cannot name
            memory.audio_encoding, memory.sample_rate = _RAW, layout.rate
            memory.channels, memory.bit_depth = layout.channels, layout.bits
        else:
            return
        await self._save()

    @property
    def _held(self) -> int:
        return self._ears.held_bytes + self._transcripts.held_bytes

    def _open(self, message: STTStreamMessage) -> Intake:
        memory = self._memory
        named = STTStreamMessage(
            sample_rate=memory.sample_rate or message.sample_rate,
            channels=memory.channels or message.channels,
            bit_depth=memory.bit_depth or message.bit_depth,
        )
        encoding = memory.audio_encoding or message.audio_encoding
        return open_intake(encoding, _layout(named), message.audio, memory.head)

    async def _listen(self, samples: bytes) -> None:
        """Hear samples, the loop's other work in between where they are many."""
        for start in range(0, len(samples), _SECOND):
            await self._follow(await self._ears.hear(samples[start : start + _SECOND]))

    async def _follow(self, heard: Heard) -> None:
        if heard.interrupt:
            await self._interrupt()
        for utterance in heard.utterances:
            self._transcripts.add(Spoken(utterance.audio, self._session.heard_at))
        length = self._ears.utterance_ms
        if length and self._transcripts.due(length):
            self._transcripts.look(self._ears.so_far())

    def _understood(self, words: str) -> None:
        if self._ears.understand(words):
            task = asyncio.get_running_loop().create_task(self._interrupt())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _interrupt(self) -> None:
        self._memory.state = self._ears.state
        await self._session.publish(answers.interrupt(self._session.session_id, self._memory))
        await self._save()

    async def _save(self) -> None:
        await self._session.save(self._memory.packed(), until=self._transcripts.until)

    def _new_ears(self) -> Ears:
        memory = self._memory
        language = "en" if memory.language == "auto" else memory.language
        ears = Ears(self._parts.detector.stream(), self._parts.rules, language=language)
        ears.change_state(memory.state)
        return ears


def _layout(message: STTStreamMessage) -> PcmFormat:
    """Return how raw samples are laid out.

    Raises:
        FleetError: No sound is like that.
    """
    return PcmFormat(rate=message.sample_rate or RATE, channels=message.channels or 1, bits=message.bit_depth or 16)


def _cut(audio: bytes) -> Iterator[bytes]:
    for start in range(0, len(audio), _PIECE):
        yield audio[start : start + _PIECE]
