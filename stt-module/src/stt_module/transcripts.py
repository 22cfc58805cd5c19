"""The transcripts of one session: finals in order, one utterance after the other, and partials of what goes on."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from handler_base.errors import DeadlineExceededError, FleetError, UpstreamUnavailableError, to_fleet_error
from handler_base.live import LiveSession, OwnershipLostError
from handler_base.messages import STTTranscription
from handler_base.messages.subjects import STT_STREAM
from handler_base.telemetry import SpanKind, metrics, names, span
from stt_module import answers
from stt_module.desk import Desk
from stt_module.memory import Memory
from stt_module.partials import Partials, PartialSchedule
from stt_module.windows import milliseconds

__all__ = ["Spoken", "Transcripts"]

log = logging.getLogger(__name__)


_TRY_AGAIN: Final = 0.5
"""Seconds until a final that could not be kept is tried again."""


def _nobody(words: str) -> None:
    """Take what is understood once the session is over."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """An utterance that waits for its transcript.

    Attributes:
        audio: 16 kHz mono.
        until: When the message came that ended it, in Unix seconds.
    """

    audio: bytes
    until: float


class Transcripts:
    """Has the utterances of a session transcribed.

    Args:
        session: Whom to tell.
        memory: Of the session; its number goes on with each final.
        desk: Asks the server.
        interval: Least new speech between two partials; zero: no partials.
        understood: Told what a partial transcript says.

    Attributes:
        lost: Whether the session turned out to be another's.
        until: Unix seconds up to which all that was heard has its finals.
    """

    def __init__(
        self,
        session: LiveSession,
        memory: Memory,
        desk: Desk,
        *,
        interval: timedelta,
        understood: Callable[[str], None],
    ) -> None:
        self._session = session
        self._memory = memory
        self._desk = desk
        self._interval = interval
        self._understood = understood
        self._waiting: deque[Spoken] = deque()
        self._finals: asyncio.Task[None] | None = None
        self._glance: asyncio.Task[None] | None = None
        self._saying: asyncio.Task[None] | None = None
        self._partials = Partials()
        self._schedule = PartialSchedule(interval)
        self.lost = False
        self.until = session.heard_at

    @property
    def held_bytes(self) -> int:
        """Audio that waits."""
        return sum(len(spoken.audio) for spoken in self._waiting)

    @property
    def waiting(self) -> Sequence[Spoken]:
        """The utterances without a final."""
        return tuple(self._waiting)

    def due(self, audio_ms: int) -> bool:
        """Whether to look at the utterance under way; one look at a time, and finals first."""
        if not self._interval or self._waiting or self._glance is not None:
            return False
        return self._schedule.due(audio_ms)

    def look(self, audio: bytes) -> None:
        """Have a partial transcript made of the utterance under way."""
        self._glance = asyncio.get_running_loop().create_task(self._partial(audio))
        self._glance.add_done_callback(self._glanced)

    def add(self, spoken: Spoken) -> None:
        """Have a final transcript made."""
        self._stop_looking()
        self._waiting.append(spoken)
        if self._finals is None:
            self._finals = asyncio.get_running_loop().create_task(self._work())

    async def settled(self) -> None:
        """Wait until every utterance has its final.

        Raises:
            OwnershipLostError: The session is another's.
        """
        if self._finals is not None:
            await asyncio.shield(self._finals)
        if self.lost:
            raise OwnershipLostError

    async def stop(self) -> None:
        """Begin nothing more; a final that is being said is said to its end."""
        self._stop_looking()
        if self._finals is not None:
            self._finals.cancel()
        if self._saying is not None:
            await asyncio.wait({self._saying})
            if self._saying.exception() is None and self._waiting:
                self._waiting.popleft()
            self._saying = None

    def drop(self) -> None:
        """Give all of it up, and let go of who is told of it."""
        self._understood = _nobody
        self._stop_looking()
        if self._finals is not None:
            self._finals.cancel()
            self._finals = None

    def _stop_looking(self) -> None:
        """The utterance is over: what is said of a part of it is not wanted any more."""
        if self._glance is not None:
            self._glance.cancel()
            self._glance = None
        self._schedule.answered()
        self._partials, self._schedule = Partials(), PartialSchedule(self._interval)

    def _glanced(self, task: asyncio.Task[None]) -> None:
        if self._glance is task:
            self._glance = None
            self._schedule.answered()

    async def _partial(self, audio: bytes) -> None:
        try:
            text = await self._desk.glance(audio, self._language)
        except FleetError:
            # The final transcript will tell; a partial is a favour.
            metrics.SWALLOWED_ERRORS.of("partial").inc()
            return
        if text is not None:
            self._understood(text)
            await self._tell(text, len(audio))

    async def _tell(self, text: str, size: int) -> None:
        found = self._partials.hear(text) if text else None
        if found is not None and found.text:
            message = answers.partial(self._session.session_id, self._memory, found.text, milliseconds(size))
            await self._session.publish(message)

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._final(self._waiting[0])
                self._waiting.popleft()
        except OwnershipLostError:
            self.lost = True
        finally:
            self._finals = None

    async def _final(self, spoken: Spoken) -> None:
        attributes: dict[str, str | int] = {
            names.MESSAGING_SYSTEM: names.NATS,
            names.MESSAGING_OPERATION_NAME: names.OPERATION_PROCESS,
            names.MESSAGING_OPERATION_TYPE: names.OPERATION_TYPE_PROCESS,
            names.MESSAGING_DESTINATION_TEMPLATE: STT_STREAM.template,
            names.MESSAGING_BODY_SIZE: len(spoken.audio),
        }
        request_id, length = str(uuid.uuid4()), milliseconds(len(spoken.audio))
        with span(f"process {STT_STREAM.template}", SpanKind.CONSUMER, attributes, parent=self._session.parent):
            self._session.record("transcription_started", request_id, audio_ms=length, number=self._memory.number)
            error: FleetError | None = None
            text = ""
            try:
                text = await self._read(spoken)
            except FleetError as failure:
                error = failure
            except Exception as failure:
                # Each utterance gets a final, whatever happened to it.
                metrics.SWALLOWED_ERRORS.of("transcripts").inc()
                log.exception("a transcription failed")
                error = to_fleet_error(failure)
            message = answers.final(self._session.session_id, self._memory, text, length, error)
            await self._commit(message, spoken, error)
            self._session.record(
                "transcription_completed",
                request_id,
                audio_ms=length,
                number=self._memory.number - 1,
                characters=len(text),
                error_type=error.type.value if error is not None else "",
            )

    async def _read(self, spoken: Spoken) -> str:
        partials, text = Partials(), ""
        async with aclosing(self._desk.final(spoken.audio, self._language)) as readings:
            async for text, last in readings:
                if not last and self._interval:
                    found = partials.hear(text)
                    if found is not None:
                        length = milliseconds(len(spoken.audio))
                        await self._session.publish(
                            answers.partial(self._session.session_id, self._memory, found.text, length)
                        )
        return text

    async def _commit(self, message: STTTranscription, spoken: Spoken, error: FleetError | None) -> None:
        """Say a final, once it can be kept that it is said."""
        while True:
            number, until = self._memory.number, self.until
            self._memory.number, self.until = number + 1, spoken.until
            commit = self._session.commit(message, self._memory.packed(), until=spoken.until, error=error)
            # Whoever stops this half way would have counted a final that nobody hears.
            self._saying = asyncio.get_running_loop().create_task(commit)
            try:
                await asyncio.shield(self._saying)
            except (DeadlineExceededError, UpstreamUnavailableError):
                # JetStream is away for longer than it takes to choose a leader. Other errors would come again.
                metrics.SWALLOWED_ERRORS.of("transcripts.commit").inc()
                self._memory.number, self.until, self._saying = number, until, None
                await asyncio.sleep(_TRY_AGAIN)
            else:
                self._saying = None
                return

    @property
    def _language(self) -> str:
        return "" if self._memory.language == "auto" else self._memory.language.replace("_", "-").split("-")[0]
