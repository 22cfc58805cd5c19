"""The interfaces of speech servers that take one request and send one answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol
from urllib.parse import urlencode

import msgspec

from handler_base.clients.audio import SpeechAudio
from handler_base.clients.dialects import Refusal
from handler_base.clients.endpoint import Endpoint, HttpRequest, StreamTimeouts
from handler_base.clients.speech import SpeechQuestion, SpeechStream, reader_for, speech_audio
from handler_base.clients.stream import HttpStream
from handler_base.deadline import Deadline
from handler_base.telemetry import SpanContext

__all__ = ["CoquiSpeech", "OpenAISpeech", "RayServeSpeech", "SpeechCall", "SpeechDialect", "XttsApiSpeech"]

_encode: Final = msgspec.json.Encoder().encode
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "*/*"}


@dataclass(frozen=True, slots=True)
class SpeechCall:
    """The terms of one call.

    Attributes:
        deadline: When the end of the answer is due.
        timeouts: How long a stream may be silent.
        context: The trace to pass on.
        passing: Statuses that become a `Refusal`.
    """

    deadline: Deadline
    timeouts: StreamTimeouts
    context: SpanContext | None
    passing: frozenset[int]

    async def whole(self, endpoint: Endpoint, request: HttpRequest, question: SpeechQuestion) -> SpeechAudio | Refusal:
        """Send a request and return the sound of the whole answer."""
        answer = await endpoint.exchange(request, deadline=self.deadline, context=self.context, passing=self.passing)
        return speech_audio(answer, question) if answer.status < 300 else Refusal(answer.status)

    async def stream(
        self, endpoint: Endpoint, request: HttpRequest, question: SpeechQuestion
    ) -> SpeechStream | Refusal:
        """Send a request and return the answer as it begins."""
        stream = await endpoint.open(
            request, deadline=self.deadline, timeouts=self.timeouts, context=self.context, passing=self.passing
        )
        if not isinstance(stream, HttpStream):
            return Refusal(stream.status)
        return SpeechStream(stream, reader_for(stream.content_type, question))

    async def listed(self, endpoint: Endpoint, path: str) -> bytes | Refusal:
        """Get a list from a server."""
        request = HttpRequest(path, method="GET")
        answer = await endpoint.exchange(request, deadline=self.deadline, context=self.context, passing=self.passing)
        return answer.body if answer.status < 300 else Refusal(answer.status)


class SpeechDialect(Protocol):
    """How one kind of speech server is asked."""

    @property
    def name(self) -> str:
        """As in the settings."""
        ...

    @property
    def path(self) -> str:
        """Where requests go, below the base URL."""
        ...

    async def speak(self, endpoint: Endpoint, question: SpeechQuestion, call: SpeechCall) -> SpeechAudio | Refusal:
        """Return the whole sound."""
        ...

    async def stream(self, endpoint: Endpoint, question: SpeechQuestion, call: SpeechCall) -> SpeechStream | Refusal:
        """Return the sound as it arrives."""
        ...

    async def voices(self, endpoint: Endpoint, call: SpeechCall) -> list[str] | Refusal:
        """Return the names of the voices; empty where the server does not tell them."""
        ...


class _OpenAIRequest(msgspec.Struct, omit_defaults=True):
    model: str
    input: str
    voice: str
    response_format: str
    lang_code: str = ""


class _Voice(msgspec.Struct):
    id: str = ""
    name: str = ""


class _Voices(msgspec.Struct):
    voices: list[_Voice | str] | None = None
    data: list[_Voice | str] | None = None


_decode_voices: Final = msgspec.json.Decoder(_Voices).decode
_decode_names: Final = msgspec.json.Decoder(list[str]).decode


@dataclass(frozen=True, slots=True)
class OpenAISpeech:
    """``POST /v1/audio/speech``: OpenAI, Kokoro, openedai-speech, speaches."""

    path: str = "/v1/audio/speech"
    name: str = "openai"

    async def speak(self, endpoint: Endpoint, question: SpeechQuestion, call: SpeechCall) -> SpeechAudio | Refusal:
        """Return the whole sound."""
        return await call.whole(endpoint, self._request(question), question)

    async def stream(self, endpoint: Endpoint, question: SpeechQuestion, call: SpeechCall) -> SpeechStream | Refusal:
        """Return the sound as it arrives, as raw samples."""
        question = replace(question, audio_format="pcm")
        return await call.stream(endpoint, self._request(question), question)

    async def voices(self, endpoint: Endpoint, call: SpeechCall) -> list[str] | Refusal:
        """Return the names of the voices; OpenAI itself lists none."""
        listed = await call.listed(endpoint, self.path.replace("/speech", "/voices"))
        if isinstance(listed, Refusal):
            return listed
        try:
            found = _decode_voices(listed)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return []
        voices = found.voices or found.data or []
        return [voice if isinstance(voice, str) else voice.id or voice.name for voice in voices]

    def _request(self, question: SpeechQuestion) -> HttpRequest:
        body = _OpenAIRequest(
            # Both fields are required, although servers with one model or voice take any name.
            model=question.model or "tts-1",
            input=question.text,
            voice=question.voice or "alloy",
            response_format=question.audio_format,
        )
        return HttpRequest(self.path, _encode(body), _HEADERS)


class _XttsApiRequest(msgspec.Struct):
    text: str
    speaker_wav: str
    language: str


@dataclass(frozen=True, slots=True)
class XttsApiSpeech:
    """``POST /tts_to_audio/`` and ``GET /tts_stream`` of xtts-api-server."""

    path: str = "/tts_to_audio/"
    name: str = "xtts"

    async def speak(self, endpoint: Endpoint, question: SpeechQuestion, call: SpeechCall) -> SpeechAudio | Refusal:
        """Return the whole sound."""
        body = _XttsApiRequest(question.text, question.voice or "default", question.language or "en")
        return await call.whole(endpoint, HttpRequest(self.path, _encode(body), _HEADERS), question)

    async def stream(self, endpoint: Endpoint, question: SpeechQuestion, call: SpeechCall) -> SpeechStream | Refusal:
        """Return the sound as it arrives."""
        query = {
            "text": question.text,
            "speaker_wav": question.voice or "default",
            "language": question.language or "en",
        }
        return await call.stream(endpoint, _get("/tts_stream", query), question)

    async def voices(self, endpoint: Endpoint, call: SpeechCall) -> list[str] | Refusal:
        """Return the names of the voices."""
        return _names(await call.listed(endpoint, "/speakers_list"))


@dataclass(frozen=True, slots=True)
class CoquiSpeech:
    """``GET /api/tts`` of Coqui's server, and of Ray Serve below its prefix."""

    path: str = "/api/tts"
    name: str = "coqui"

    async def speak(self, endpoint: Endpoint, question: SpeechQuestion, call: SpeechCall) -> SpeechAudio | Refusal:
        """Return the whole sound."""
        return await call.whole(endpoint, self._request(question), question)

    async def stream(self, endpoint: Endpoint, question: SpeechQuestion, call: SpeechCall) -> SpeechStream | Refusal:
        """Return the sound as it arrives."""
        return await call.stream(endpoint, self._request(question), question)

    async def voices(self, endpoint: Endpoint, call: SpeechCall) -> list[str] | Refusal:
        """Return nothing: the server lists its voices only to people."""
        del endpoint, call
        return []

    def _request(self, question: SpeechQuestion) -> HttpRequest:
        query = {"text": question.text, "speaker_id": question.voice, "language_id": question.language}
        return _get(self.path, {key: value for key, value in query.items() if value})


class _RayServeRequest(msgspec.Struct, omit_defaults=True):
    text: str
    speaker: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class RayServeSpeech:
    """``POST /tts`` with base64 audio in JSON, ``POST /tts/stream`` with one base64 WAV an event."""

    path: str = "/tts"
    name: str = "rayserve"

    async def speak(self, endpoint: Endpoint, question: SpeechQuestion, call: SpeechCall) -> SpeechAudio | Refusal:
        """Return the whole sound."""
        return await call.whole(endpoint, self._request(self.path, question), question)

    async def stream(self, endpoint: Endpoint, question: SpeechQuestion, call: SpeechCall) -> SpeechStream | Refusal:
        """Return the sound sentence by sentence."""
        return await call.stream(endpoint, self._request(f"{self.path}/stream", question), question)

    async def voices(self, endpoint: Endpoint, call: SpeechCall) -> list[str] | Refusal:
        """Return the names of the voices, where the server lists them."""
        return _names(await call.listed(endpoint, f"{self.path}/speakers"))

    def _request(self, path: str, question: SpeechQuestion) -> HttpRequest:
        return HttpRequest(path, _encode(_RayServeRequest(question.text, question.voice, question.language)), _HEADERS)


def _get(path: str, query: dict[str, str]) -> HttpRequest:
    return HttpRequest(f"{path}?{urlencode(query)}", None, {"Accept": "*/*"}, "GET")


def _names(listed: bytes | Refusal) -> list[str] | Refusal:
    if isinstance(listed, Refusal):
        return listed
    try:
        return _decode_names(listed)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
