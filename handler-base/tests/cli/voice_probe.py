"""A service on the voice subjects whose behaviour each test chooses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, ClassVar

from handler_base.config import Settings
from handler_base.errors import FleetError
from handler_base.handler import Context, Handler, endpoint
from handler_base.messages import (
    Message,
    TTSAudioChunk,
    TTSRequest,
    TTSStatus,
    TTSVoiceInfo,
    TTSVoiceListResponse,
    VoiceRequest,
    VoiceResponse,
    VoiceStreamChunk,
)
from handler_base.messages.subjects import (
    TTS_REQUEST,
    TTS_STATUS,
    TTS_VOICES_LIST,
    VOICE_CANCEL,
    VOICE_REQUEST,
    VOICE_RESPONSE,
)

Answer = Callable[[VoiceRequest, Context], Awaitable[VoiceResponse]]
Speak = Callable[[TTSRequest, Context], Awaitable[TTSStatus]]


class Plain:
    """Streams messages as they are, with their numbers filled in."""

    def chunk(self, sequence: int, piece: Message) -> Message:
        if isinstance(piece, VoiceStreamChunk):
            piece.sequence = sequence
        elif isinstance(piece, TTSAudioChunk):
            piece.chunk_index = sequence
        return piece

    def end(self, sequence: int) -> Message:
        return VoiceStreamChunk(type="done", done=True, sequence=sequence)

    def error(self, sequence: int, error: FleetError) -> Message:
        return VoiceStreamChunk(type="error", done=True, sequence=sequence, error_type=error.type.value)


def _failed(request: VoiceRequest, error: FleetError) -> VoiceResponse:
    return VoiceResponse(request_id=request.request_id, error=error.message)


def _unsaid(_: TTSRequest, error: FleetError) -> TTSStatus:
    return TTSStatus(status="error", message=error.message)


class VoiceProbe(Handler[Settings]):
    """Does what a test says."""

    name: ClassVar[str] = "voice-probe"
    description: ClassVar[str] = "Answers and speaks as a test says."

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.answering: Any = None
        self.speaking: Any = None
        self.asked: list[VoiceRequest] = []
        self.said: list[TTSRequest] = []

    @endpoint(
        core=(VOICE_REQUEST,),
        respond_on=VOICE_RESPONSE,
        error_answer=_failed,
        cancel=VOICE_CANCEL,
        budget=lambda _: timedelta(seconds=20),
    )
    async def answer(self, request: VoiceRequest, context: Context) -> Message:
        self.asked.append(request)
        answer: Message = await self.answering(request, context)
        return answer

    @endpoint(
        core=(TTS_REQUEST,),
        respond_on=TTS_STATUS,
        error_answer=_unsaid,
        budget=lambda _: timedelta(seconds=20),
    )
    async def speak(self, request: TTSRequest, context: Context) -> Message:
        self.said.append(request)
        status: Message = await self.speaking(request, context)
        return status

    @endpoint(core=(TTS_VOICES_LIST,), bounded=False)
    async def voices(self, _request: TTSVoiceListResponse, _context: Context) -> TTSVoiceListResponse:
        return TTSVoiceListResponse(
            custom_voices=[TTSVoiceInfo(name="ann", language="de")], speakers=["rms", "ann", "s\x1blt"]
        )
