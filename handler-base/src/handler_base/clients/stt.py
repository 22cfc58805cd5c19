"""Text from speech."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from handler_base.clients.audio import pcm_to_wav
from handler_base.clients.dialects import DialectMemory, Refusal, choose
from handler_base.clients.endpoint import Endpoint, HttpAnswer, HttpRequest, StreamTimeouts
from handler_base.clients.failures import AttemptError
from handler_base.clients.http import HttpEndpoints
from handler_base.clients.multipart import form_with_file
from handler_base.clients.observation import operation
from handler_base.clients.stream import HttpStream
from handler_base.clients.transcription import (
    Transcription,
    TranscriptionPiece,
    TranscriptionReader,
    read_transcription,
)
from handler_base.deadline import Deadline
from handler_base.errors import FleetError, PayloadTooLargeError, UnsupportedFormatError, UpstreamError
from handler_base.telemetry import names

__all__ = ["TRANSCRIPTION_PATHS", "STTClient"]

_A = TypeVar("_A")

_MEDIA_TYPES: Final = {
    "wav": "audio/wav",
    "webm": "audio/webm",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
}


@dataclass(frozen=True, slots=True)
class _Question:
    audio: bytes
    audio_format: str
    language: str
    prompt: str
    model: str
    stream: bool = False


@dataclass(frozen=True, slots=True)
class _OpenAI:
    """``POST /v1/audio/transcriptions``: OpenAI, vLLM, speaches, Ollama."""

    path: str = "/v1/audio/transcriptions"
    name: str = "openai"

    def request(self, question: _Question) -> HttpRequest:
        # The field is required, although servers with a single model take any name.
        fields = {"model": question.model or "whisper-1", "response_format": "json"}
        if question.stream:
            fields["stream"] = "true"
        return _form(self.path, fields, question)


@dataclass(frozen=True, slots=True)
class _WhisperCpp:
    """``POST /inference`` of whisper.cpp, which takes WAV unless it was started with a converter."""

    path: str = "/inference"
    name: str = "whispercpp"

    def request(self, question: _Question) -> HttpRequest:
        return _form(self.path, {"response_format": "json", "temperature": "0.0"}, question)


_Dialect = _OpenAI | _WhisperCpp

_DIALECTS: Final[tuple[_Dialect, ...]] = (
    _OpenAI(),
    _WhisperCpp(),
    _OpenAI("/openai/v1/audio/transcriptions"),
    _OpenAI("/audio/transcriptions"),
    _OpenAI(""),
)

_FAULTS_OF_RECORDINGS: Final[Mapping[str, Callable[[], FleetError]]] = {
    "http_413": partial(PayloadTooLargeError, "The recording is too long for the transcription server."),
    "http_415": partial(UnsupportedFormatError, "The transcription server does not read recordings of this kind."),
}
"""What the statuses that can only mean the recording say of it."""

TRANSCRIPTION_PATHS: Final = tuple(dialect.path for dialect in _DIALECTS if dialect.path)
"""Paths a base URL may end with."""


class STTClient:
    """Transcribes recordings.

    Args:
        http: The servers.
        model: Sent to servers that want a model name.
        dialect: `openai`, `whispercpp`, or `auto` to find out.
        timeouts: How long a stream may be silent.
    """

    def __init__(
        self, http: HttpEndpoints, *, model: str = "", dialect: str = "auto", timeouts: StreamTimeouts | None = None
    ) -> None:
        self._http = http
        self._model = model
        self._dialects: DialectMemory[_Dialect] = DialectMemory(choose(_DIALECTS, dialect))
        self._operation = operation(names.GEN_AI_TRANSCRIPTION, "openai" if dialect in {"", "auto"} else dialect, model)
        self._timeouts = timeouts or StreamTimeouts()

    @property
    def available(self) -> bool:
        """Whether any of the servers worked when it was last called."""
        return self._http.available

    async def transcribe(
        self,
        audio: bytes,
        *,
        audio_format: str = "wav",
        sample_rate: int = 16_000,
        language: str = "",
        prompt: str = "",
        deadline: Deadline,
    ) -> Transcription:
        """Return what was said.

        Args:
            audio: A file, or raw 16 bit mono samples for the format `pcm`.
            audio_format: `wav`, `webm`, `mp3`, `ogg`, `flac`, `m4a` or `pcm`. Every server reads 16 kHz mono WAV.
            sample_rate: Samples a second of raw ones.
            language: ISO 639-1; empty: the server finds out.
            prompt: Words that may occur, where the server makes use of them.
            deadline: When the text is due.

        Raises:
            UnsupportedFormatError: The format is none of these, or the server does not read it.
            PayloadTooLargeError: The server says that the recording is too large.
            UpstreamUnavailableError: No server can be reached, or all are busy.
            UpstreamError: The answer is an error or makes no sense.
            DeadlineExceededError: The deadline passed.
        """
        question = self._question(audio, audio_format, sample_rate, language, prompt, stream=False)
        with self._operation.observe() as observed:
            context = observed.span.context

            async def attempt(endpoint: Endpoint) -> Transcription:
                async def send(dialect: _Dialect, passing: frozenset[int]) -> Transcription | Refusal:
                    request = dialect.request(question)
                    answer = await endpoint.exchange(request, deadline=deadline, context=context, passing=passing)
                    return read_transcription(answer) if answer.status < 300 else Refusal(answer.status)

                return await self._ask(endpoint, send)

            return await self._http.run(attempt, deadline=deadline, span=observed.span)

    async def transcribe_stream(
        self,
        audio: bytes,
        *,
        audio_format: str = "wav",
        sample_rate: int = 16_000,
        language: str = "",
        prompt: str = "",
        deadline: Deadline,
    ) -> AsyncGenerator[TranscriptionPiece]:
        """Yield what was said as the server finds out; a server that does not stream gives one piece.

        Arguments and errors are those of `transcribe`; closing the generator closes the connection.

        Yields:
            Pieces of new text, and at last the whole text with `final` set.
        """
        question = self._question(audio, audio_format, sample_rate, language, prompt, stream=True)
        with self._operation.observe() as observed:
            context = observed.span.context

            async def attempt(endpoint: Endpoint) -> HttpStream:
                async def send(dialect: _Dialect, passing: frozenset[int]) -> HttpStream | Refusal:
                    stream = await endpoint.open(
                        dialect.request(question),
                        deadline=deadline,
                        timeouts=self._timeouts,
                        context=context,
                        passing=passing,
                    )
                    return stream if isinstance(stream, HttpStream) else Refusal(stream.status)

                return await self._ask(endpoint, send)

            stream = await self._http.run(attempt, deadline=deadline, span=observed.span)
            try:
                if not stream.content_type.startswith("text/event-stream"):
                    yield TranscriptionPiece(await _whole(stream), final=True)
                    return
                reader = TranscriptionReader()
                while not reader.done:
                    data = await stream.read()
                    text = reader.feed(data) if data else reader.end()
                    if text:
                        observed.chunk()
                        yield TranscriptionPiece(text)
                    if reader.failure:
                        raise UpstreamError(reader.failure)
                yield TranscriptionPiece(reader.text.strip(), final=True)
                await stream.finish()
            finally:
                stream.close()

    async def _ask(self, endpoint: Endpoint, send: Callable[[_Dialect, frozenset[int]], Awaitable[_A | Refusal]]) -> _A:
        """Ask in the endpoint's dialect; statuses that speak of the recording become its errors."""
        try:
            return await self._dialects.ask(endpoint, send)
        except AttemptError as error:
            kind = _FAULTS_OF_RECORDINGS.get(error.reason)
            if kind is None:
                raise
            raise AttemptError(kind(), error.reason, elsewhere=False) from None

    def _question(
        self, audio: bytes, audio_format: str, sample_rate: int, language: str, prompt: str, *, stream: bool
    ) -> _Question:
        if audio_format == "pcm":
            audio, audio_format = pcm_to_wav(audio, sample_rate), "wav"
        if audio_format not in _MEDIA_TYPES:
            raise UnsupportedFormatError("The audio format is not supported.")
        return _Question(audio, audio_format, language, prompt, self._model, stream)


async def _whole(stream: HttpStream) -> str:
    try:
        return read_transcription(HttpAnswer(200, await stream.read_all(), stream.content_type)).text
    except AttemptError as error:
        raise error.release() from error


def _form(path: str, fields: dict[str, str], question: _Question) -> HttpRequest:
    if question.language:
        fields["language"] = question.language
    if question.prompt:
        fields["prompt"] = question.prompt
    name = f"audio.{question.audio_format}"
    body, headers = form_with_file(fields, "file", name, _MEDIA_TYPES[question.audio_format], question.audio)
    return HttpRequest(path, body, headers)
