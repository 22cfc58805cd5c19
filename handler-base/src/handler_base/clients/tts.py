"""Speech from text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, TypeVar

from handler_base.clients.audio import DEFAULT_RATE, SpeechAudio, SpeechChunk
from handler_base.clients.dialects import DialectMemory, Refusal, choose
from handler_base.clients.endpoint import Endpoint, StreamTimeouts
from handler_base.clients.http import HttpEndpoints
from handler_base.clients.observation import Observation, operation
from handler_base.clients.speech import SpeechQuestion, SpeechStream, check_language, check_voice
from handler_base.clients.speech_dialects import (
    CoquiSpeech,
    OpenAISpeech,
    RayServeSpeech,
    SpeechCall,
    SpeechDialect,
    XttsApiSpeech,
)
from handler_base.clients.xtts import XttsSpeech
from handler_base.deadline import Deadline
from handler_base.errors import UpstreamError
from handler_base.telemetry import names

__all__ = ["SPEECH_PATHS", "TTSClient"]

_T = TypeVar("_T")

SPEECH_PATHS: Final = ("/v1/audio/speech", "/audio/speech", "/api/tts", "/tts_stream", "/tts_to_audio")
"""Paths a base URL may end with."""


class TTSClient:
    """Speaks text.

    Args:
        http: The servers.
        model: Sent to servers that want a model name.
        voice: Used where a call names none; empty: the server's own.
        dialect: `openai`, `xtts`, `coqui`, `rayserve`, or `auto` to find out.
        sample_rate: Samples a second of raw PCM of which the server does not tell the rate.
        timeouts: How long a stream may be silent.
    """

    def __init__(
        self,
        http: HttpEndpoints,
        *,
        model: str = "",
        voice: str = "",
        dialect: str = "auto",
        sample_rate: int = DEFAULT_RATE,
        timeouts: StreamTimeouts | None = None,
    ) -> None:
        self._http = http
        self._model = model
        self._voice = voice
        self._sample_rate = sample_rate
        self._timeouts = timeouts or StreamTimeouts()
        self._xtts = XttsSpeech()
        self._dialects: DialectMemory[SpeechDialect] = DialectMemory(choose(_dialects(self._xtts), dialect))
        self._operation = operation(names.GEN_AI_SPEECH, "openai" if dialect in {"", "auto"} else dialect, model)

    @property
    def available(self) -> bool:
        """Whether any of the servers worked when it was last called."""
        return self._http.available

    async def synthesize(
        self, text: str, *, voice: str = "", language: str = "", audio_format: str = "wav", deadline: Deadline
    ) -> SpeechAudio:
        """Return the whole sound.

        Args:
            text: What to say.
            voice: Name of a voice; empty: the client's.
            language: ISO 639-1; empty: the server's own.
            audio_format: What is wanted; a server with one format sends that, and the result says which.
            deadline: When the sound is due.

        Raises:
            InvalidRequestError: The voice or the language is not a plain name.
            NotFoundError: The server has no such voice.
            UpstreamUnavailableError: No server can be reached, or all are busy.
            UpstreamError: The answer is an error or makes no sense.
            DeadlineExceededError: The deadline passed.
        """
        question = self._question(text, voice, language, audio_format)

        async def speak(endpoint: Endpoint, dialect: SpeechDialect, call: SpeechCall) -> SpeechAudio | Refusal:
            return await dialect.speak(endpoint, question, call)

        with self._operation.observe() as observed:
            return await self._run(speak, deadline, observed)

    async def stream(
        self, text: str, *, voice: str = "", language: str = "", deadline: Deadline
    ) -> AsyncGenerator[SpeechChunk]:
        """Yield the sound as it arrives. Closing the generator closes the connection.

        Arguments and errors are those of `synthesize`.

        Yields:
            Raw samples with their rate, as many as arrived together.
        """
        question = self._question(text, voice, language, "pcm")

        async def begin(endpoint: Endpoint, dialect: SpeechDialect, call: SpeechCall) -> SpeechStream | Refusal:
            return await dialect.stream(endpoint, question, call)

        with self._operation.observe() as observed:
            speech = await self._run(begin, deadline, observed)
            try:
                silent = True
                while data := await speech.stream.read():
                    chunk = speech.reader.feed(data)
                    if chunk is not None and chunk.audio:
                        silent = False
                        observed.chunk()
                        yield chunk
                if silent:
                    raise UpstreamError("The speech server sent no sound.")
            finally:
                speech.stream.close()

    async def voices(self, *, deadline: Deadline) -> list[str]:
        """Return the names of the voices; empty where the server does not list them.

        Raises:
            UpstreamUnavailableError: No server can be reached, or all are busy.
            UpstreamError: The answer is an error or makes no sense.
            DeadlineExceededError: The deadline passed.
        """

        async def attempt(endpoint: Endpoint) -> list[str]:
            known = self._dialects.known(endpoint)
            for dialect in self._dialects.candidates(endpoint) if known is None else (known,):
                listed = await dialect.voices(endpoint, call)
                if not isinstance(listed, Refusal) and (listed or known is not None):
                    return listed
            return []

        with self._operation.observe() as observed:
            call = SpeechCall(deadline, self._timeouts, observed.span.context, _NOT_LISTED)
            return await self._http.run(attempt, deadline=deadline, span=observed.span)

    async def clone_voice(self, name: str, wav: bytes, *, deadline: Deadline) -> None:
        """Make a voice of a recording, on the one kind of server that can; others know it until the process ends.

        Args:
            name: What the voice is called from now on.
            wav: A WAV file with speech.
            deadline: When the voice is due.

        Raises:
            InvalidRequestError: The name is not a plain one.
            UpstreamError: The server cannot do that, or failed.
            UpstreamUnavailableError: No server can be reached, or all are busy.
            DeadlineExceededError: The deadline passed.
        """
        check_voice(name)

        async def attempt(endpoint: Endpoint) -> bool | Refusal:
            return await self._xtts.clone(endpoint, name, wav, call)

        with self._operation.observe() as observed:
            call = SpeechCall(deadline, self._timeouts, observed.span.context, _NOT_LISTED)
            cloned = await self._http.run(attempt, deadline=deadline, span=observed.span)
            if isinstance(cloned, Refusal):
                raise UpstreamError("The speech server cannot make voices of recordings.")

    def forget_voice(self, name: str) -> None:
        """Forget a voice that was made of a recording."""
        self._xtts.forget(name)

    async def _run(
        self,
        send: Callable[[Endpoint, SpeechDialect, SpeechCall], Awaitable[_T | Refusal]],
        deadline: Deadline,
        observed: Observation,
    ) -> _T:
        context = observed.span.context

        async def attempt(endpoint: Endpoint) -> _T:
            async def speak(dialect: SpeechDialect, passing: frozenset[int]) -> _T | Refusal:
                return await send(endpoint, dialect, SpeechCall(deadline, self._timeouts, context, passing))

            return await self._dialects.ask(endpoint, speak)

        return await self._http.run(attempt, deadline=deadline, span=observed.span)

    def _question(self, text: str, voice: str, language: str, audio_format: str) -> SpeechQuestion:
        return SpeechQuestion(
            text=text,
            voice=check_voice(voice or self._voice),
            language=check_language(language),
            audio_format=audio_format,
            model=self._model,
            sample_rate=self._sample_rate,
        )


_NOT_LISTED: Final = frozenset({400, 401, 403, 404, 405, 415, 422, 501})


def _dialects(xtts: XttsSpeech) -> tuple[SpeechDialect, ...]:
    return (
        OpenAISpeech(),
        xtts,
        XttsApiSpeech(),
        RayServeSpeech(),
        CoquiSpeech(),
        RayServeSpeech(""),
        OpenAISpeech("/audio/speech"),
        CoquiSpeech("/tts/api/tts"),
    )
