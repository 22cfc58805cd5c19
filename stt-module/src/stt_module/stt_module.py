"""Live audio in, transcriptions and interrupts out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar, Final

from handler_base.clients import HttpPool, stt_client
from handler_base.handler import Handler
from handler_base.live import LiveSession, live
from handler_base.messages.streams import AI_VOICE_STREAM, BucketSpec, StreamSpec
from handler_base.messages.subjects import STT_REPLICA, STT_STREAM, STT_TRANSCRIPTION, VOICE_EVENT, Subject
from stt_module.answers import refused
from stt_module.conversation import Conversation, Parts
from stt_module.desk import Desk
from stt_module.settings import SttSettings
from stt_module.steps import step_of
from stt_module.vad import open_detector

__all__ = ["STT_SESSIONS", "SttModule"]

STT_SESSIONS: Final = BucketSpec(
    "STT_SESSIONS", "Which replica of stt-module has which session, and which replicas live.", ttl=timedelta(hours=1)
)


class SttModule(Handler[SttSettings]):
    """Audio of a session → voice → utterances → transcription server → finals in order; interrupts on the way."""

    name: ClassVar[str] = "stt-module"
    description: ClassVar[str] = "Transcribes live audio, and tells when somebody interrupts."
    streams: ClassVar[tuple[StreamSpec, ...]] = (AI_VOICE_STREAM,)
    events: ClassVar[Subject | None] = VOICE_EVENT
    buckets: ClassVar[tuple[BucketSpec, ...]] = (STT_SESSIONS,)

    def __init__(self, settings: SttSettings) -> None:
        super().__init__(settings)
        self._pool = HttpPool()
        self._desk = Desk(
            stt_client(settings, self._pool),
            slots=settings.max_concurrency,
            patience=timedelta(seconds=settings.stt_timeout),
        )
        # Loaded here, not in `open`: without its packages the service cannot do anything.
        self._parts = Parts(
            detector=open_detector(settings.vad),
            desk=self._desk,
            rules=settings.listening,
            language=settings.stt_language,
            most_bytes=settings.stt_session_bytes,
            interval=timedelta(seconds=settings.stt_partial_interval if settings.stt_partials else 0),
        )

    async def open(self) -> None:
        """Open the connections to the transcription server."""
        await self._pool.open()

    async def close(self) -> None:
        """Close them, and let go of the detector."""
        self._parts.detector.close()
        await self._pool.close()

    def dependencies(self) -> Mapping[str, bool]:
        """Return whether the transcription server works."""
        return {"stt": self._desk.available}

    @live(
        subject=STT_STREAM,
        answers=STT_TRANSCRIPTION,
        replica=STT_REPLICA,
        bucket=STT_SESSIONS,
        step=step_of,
        number=lambda message: message.sequence,
        error_answer=refused,
        limits=lambda settings: settings.limits,
    )
    def listen(self, session: LiveSession) -> Conversation:
        """Open a session."""
        return Conversation(session, self._parts)
