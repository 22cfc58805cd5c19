"""Speech over HTTP: OpenAI's `/v1/audio/speech`, with the voices on `/v1/audio/voices`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from deploy.local.inference.bodies import boolean, read_object, string
from deploy.local.inference.speech_engines import Speaker, Speech
from deploy.local.inference.speech_formats import FORMATS, content_type, open_file, whole_file
from handler_base.errors import (
    InvalidRequestError,
    PayloadTooLargeError,
    RequestCancelledError,
    UpstreamUnavailableError,
)
from handler_base.speech import split_sentences

__all__ = ["SpeechRoutes"]

_MOST_CHARACTERS: Final = 16_384
_SENTENCE: Final = 240
"""Most characters spoken in one run; the first sound of a long text is there after one."""
_SCRAP: Final = 20
_SPEEDS: Final = (0.25, 4.0)
_UNSPEAKABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]+")
_ACCEPTED: Final = (
    *("default", "rms", "slt", "awb", "kal"),
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse"),
)
"""Names that stand for the default: flite's where espeak-ng speaks, and OpenAI's, for clients that know no other."""


@dataclass(frozen=True, slots=True)
class _Question:
    sentences: list[str]
    voice: str
    audio_format: str
    speed: float
    streamed: bool


class SpeechRoutes:
    """The endpoints of the speaker.

    Args:
        speaker: What speaks; None: nothing can.
    """

    def __init__(self, speaker: Speaker | None) -> None:
        self._speaker = speaker

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this family."""
        return [web.post("/v1/audio/speech", self._speech), web.get("/v1/audio/voices", self._voices)]

    async def _voices(self, _request: web.Request) -> web.Response:
        speaker = self._present()
        voices = [{"id": voice, "name": voice, "engine": speaker.name} for voice in speaker.voices]
        return web.json_response({"voices": voices, "default": speaker.voices[0]})

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        speaker = self._present()
        question = _read(await read_object(request), speaker)
        if question.streamed and len(question.sentences) > 1:
            return await self._stream(request, speaker, question)
        spoken: list[Speech] = []
        for text in question.sentences:
            if request.transport is None:
                raise RequestCancelledError
            spoken.append(await speaker.say(text, voice=question.voice, speed=question.speed))
        rate = spoken[0].rate
        file = await asyncio.to_thread(whole_file, question.audio_format, rate, [part.samples for part in spoken])
        return web.Response(body=file, headers={"Content-Type": content_type(question.audio_format, rate)})

    async def _stream(self, request: web.Request, speaker: Speaker, question: _Question) -> web.StreamResponse:
        spoken = await speaker.say(question.sentences[0], voice=question.voice, speed=question.speed)
        file = open_file(question.audio_format, spoken.rate)
        response = web.StreamResponse(headers={"Content-Type": content_type(question.audio_format, spoken.rate)})
        await response.prepare(request)
        try:
            await response.write(await asyncio.to_thread(file.feed, spoken.samples))
            for text in question.sentences[1:]:
                spoken = await speaker.say(text, voice=question.voice, speed=question.speed)
                await response.write(await asyncio.to_thread(file.feed, spoken.samples))
            await response.write(await asyncio.to_thread(file.end))
            await response.write_eof()
        except ConnectionResetError:
            # The listener closed the stream: that is how speech is cancelled.
            response.force_close()
        except Exception:
            # Raised on: the server counts and logs what it does not know.
            if request.transport is not None:
                # There is no other way to say that what was sent is not all.
                request.transport.abort()
            raise
        return response

    def _present(self) -> Speaker:
        if self._speaker is None:
            raise UpstreamUnavailableError("Nothing can speak here: neither flite nor espeak-ng is installed.")
        return self._speaker


def _read(body: Mapping[str, Any], speaker: Speaker) -> _Question:
    text = string(body, "input")
    if len(text) > _MOST_CHARACTERS:
        raise PayloadTooLargeError(f"`input` has more than {_MOST_CHARACTERS} characters.")
    voice = _choice(body, "voice", "default", (*speaker.voices, *_ACCEPTED))
    voice = voice if voice in speaker.voices else speaker.voices[0]
    audio_format = _choice(body, "response_format", "mp3", FORMATS)
    _choice(body, "stream_format", "audio", ("audio",))
    pieces = split_sentences(_UNSPEAKABLE.sub(" ", text), _SENTENCE, _SCRAP)
    # Where nothing can be spoken there is a moment of silence.
    sentences = [" ".join(piece.split()) for piece in pieces] or ["."]
    return _Question(sentences, voice, audio_format, _speed(body), boolean(body, "stream", default=True))


def _choice(body: Mapping[str, Any], key: str, default: str, known: Collection[str]) -> str:
    value = body.get(key) or default
    if not isinstance(value, str) or value not in known:
        raise InvalidRequestError(f"`{key}` must be one of {', '.join(known)}.")
    return value


def _speed(body: Mapping[str, Any]) -> float:
    speed = body.get("speed", 1.0)
    least, most = _SPEEDS
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not least <= speed <= most:
        raise InvalidRequestError(f"`speed` must be a number from {least} to {most}.")
    return float(speed)
