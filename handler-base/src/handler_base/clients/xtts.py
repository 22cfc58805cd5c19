"""Coqui's XTTS streaming server: the voice travels with every request, as the arrays the server made of it."""

from __future__ import annotations

from typing import Final

import msgspec

from handler_base.clients.audio import SpeechAudio
from handler_base.clients.dialects import Refusal
from handler_base.clients.endpoint import Endpoint, HttpRequest
from handler_base.clients.failures import malformed
from handler_base.clients.multipart import form_with_file
from handler_base.clients.speech import PcmReader, SpeechQuestion, SpeechStream
from handler_base.clients.speech_dialects import SpeechCall
from handler_base.clients.stream import HttpStream
from handler_base.errors import NotFoundError

__all__ = ["XttsSpeech"]

_RATE: Final = 24_000
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "*/*"}


class _Latents(msgspec.Struct):
    speaker_embedding: msgspec.Raw
    gpt_cond_latent: msgspec.Raw

    def as_json(self) -> bytes:
        """Return both as members of a JSON object, to be put before the others."""
        return b'{"speaker_embedding":%b,"gpt_cond_latent":%b' % (
            bytes(self.speaker_embedding),
            bytes(self.gpt_cond_latent),
        )


_encode: Final = msgspec.json.Encoder().encode
_decode_speakers: Final = msgspec.json.Decoder(dict[str, _Latents]).decode
_decode_latents: Final = msgspec.json.Decoder(_Latents).decode


class XttsSpeech:
    """``POST /tts`` and ``POST /tts_stream``; see `SpeechDialect`.

    The arrays of a voice are up to a megabyte of JSON: they are kept as the bytes that are sent.
    """

    path = "/tts_stream"
    name = "xtts"

    def __init__(self) -> None:
        self._voices: dict[Endpoint, dict[str, bytes]] = {}
        self._cloned: dict[str, bytes] = {}

    async def speak(self, endpoint: Endpoint, question: SpeechQuestion, call: SpeechCall) -> SpeechAudio | Refusal:
        """Return the whole sound."""
        latents = await self._latents(endpoint, question.voice, call)
        if isinstance(latents, Refusal):
            return latents
        request = HttpRequest("/tts", _body(latents, question, b""), _HEADERS)
        return await call.whole(endpoint, request, question)

    async def stream(self, endpoint: Endpoint, question: SpeechQuestion, call: SpeechCall) -> SpeechStream | Refusal:
        """Return the sound as it arrives."""
        latents = await self._latents(endpoint, question.voice, call)
        if isinstance(latents, Refusal):
            return latents
        # The server declares the chunk size as a string.
        extra = b',"add_wav_header":false,"stream_chunk_size":"20"'
        request = HttpRequest("/tts_stream", _body(latents, question, extra), _HEADERS)
        stream = await endpoint.open(
            request, deadline=call.deadline, timeouts=call.timeouts, context=call.context, passing=call.passing
        )
        if not isinstance(stream, HttpStream):
            return Refusal(stream.status)
        # Whatever the Content-Type says: without a header these are bare samples.
        return SpeechStream(stream, PcmReader(_RATE))

    async def voices(self, endpoint: Endpoint, call: SpeechCall) -> list[str] | Refusal:
        """Return the names of the server's voices and of those cloned here."""
        known = await self._read_voices(endpoint, call)
        return known if isinstance(known, Refusal) else [*known, *(name for name in self._cloned if name not in known)]

    async def clone(self, endpoint: Endpoint, name: str, wav: bytes, call: SpeechCall) -> bool | Refusal:
        """Make a voice of a recording; it is known under the name until the process ends."""
        body, headers = form_with_file({}, "wav_file", "voice.wav", "audio/wav", wav)
        answer = await endpoint.exchange(
            HttpRequest("/clone_speaker", body, headers),
            deadline=call.deadline,
            context=call.context,
            passing=call.passing,
        )
        if answer.status >= 300:
            return Refusal(answer.status)
        try:
            self._cloned[name] = _decode_latents(answer.body).as_json()
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise malformed() from error
        return True

    def forget(self, name: str) -> None:
        """Forget a cloned voice."""
        self._cloned.pop(name, None)

    async def _latents(self, endpoint: Endpoint, voice: str, call: SpeechCall) -> bytes | Refusal:
        """Return the arrays of a voice; the list is read again for a name it does not have."""
        if voice in self._cloned:
            return self._cloned[voice]
        known = self._voices.get(endpoint)
        if known is None or (voice and voice not in known):
            read = await self._read_voices(endpoint, call)
            if isinstance(read, Refusal):
                return read
            known = read
        latents = known.get(voice) if voice else next(iter(known.values()), None)
        if latents is None:
            raise NotFoundError("The speech server has no such voice.")
        return latents

    async def _read_voices(self, endpoint: Endpoint, call: SpeechCall) -> dict[str, bytes] | Refusal:
        listed = await call.listed(endpoint, "/studio_speakers")
        if isinstance(listed, Refusal):
            return listed
        try:
            speakers = _decode_speakers(listed)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise malformed() from error
        known = {name: latents.as_json() for name, latents in speakers.items()}
        self._voices[endpoint] = known
        return known


def _body(latents: bytes, question: SpeechQuestion, extra: bytes) -> bytes:
    return b'%b,"text":%b,"language":%b%b}' % (
        latents,
        _encode(question.text),
        _encode(question.language or "en"),
        extra,
    )
