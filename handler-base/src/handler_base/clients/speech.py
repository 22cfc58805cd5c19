"""What speech dialects have in common: the question, and readers that turn what arrives into samples."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from handler_base.clients.audio import (
    DEFAULT_RATE,
    SpeechAudio,
    SpeechChunk,
    WavStream,
    media_format,
    pcm_rate,
    pcm_to_wav,
)
from handler_base.clients.endpoint import HttpAnswer
from handler_base.clients.failures import malformed
from handler_base.clients.sse import EventStream
from handler_base.clients.stream import HttpStream
from handler_base.errors import InvalidRequestError, UpstreamError

__all__ = [
    "PcmReader",
    "SampleReader",
    "SpeechQuestion",
    "SpeechStream",
    "WavEventReader",
    "WavReader",
    "check_language",
    "check_voice",
    "from_base64",
    "reader_for",
    "speech_audio",
]

_VOICE: Final = re.compile(r"[\w][\w .+()\-]{0,127}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,2}")


@dataclass(frozen=True, slots=True)
class SpeechQuestion:
    """What is to be spoken.

    Attributes:
        text: The words.
        voice: Name of the voice; empty: the server's own.
        language: ISO 639-1, or empty.
        audio_format: What is wanted; servers with one format send that.
        model: Name of the model; empty: the server's own.
        sample_rate: Rate of raw PCM of which the server does not tell the rate.
    """

    text: str
    voice: str
    language: str
    audio_format: str
    model: str
    sample_rate: int = DEFAULT_RATE


class SampleReader(Protocol):
    """Takes raw samples out of what arrives."""

    def feed(self, data: bytes) -> SpeechChunk | None:
        """Return the samples that are there now; None where there are none.

        Raises:
            UpstreamError: It is not sound, or the server reports an error.
        """
        ...


@dataclass(frozen=True, slots=True)
class SpeechStream:
    """Speech that is arriving.

    Attributes:
        stream: Where it arrives.
        reader: What it is read with.
    """

    stream: HttpStream
    reader: SampleReader


class PcmReader:
    """Raw 16 bit samples.

    Args:
        sample_rate: Samples a second.
        channels: 1 for mono.
    """

    def __init__(self, sample_rate: int, channels: int = 1) -> None:
        self._sample_rate = sample_rate
        self._channels = channels
        self._rest = b""

    def feed(self, data: bytes) -> SpeechChunk | None:
        """Return the whole samples; see `SampleReader`."""
        data = self._rest + data
        whole = len(data) - len(data) % (2 * self._channels)
        self._rest = data[whole:]
        return SpeechChunk(data[:whole], self._sample_rate, self._channels) if whole else None


class WavReader:
    """A WAV file as it arrives."""

    def __init__(self) -> None:
        self._wav = WavStream()
        self._samples: PcmReader | None = None

    def feed(self, data: bytes) -> SpeechChunk | None:
        """Return the whole samples; see `SampleReader`."""
        pcm = self._wav.feed(data)
        if not self._wav.sample_rate:
            return None
        if self._samples is None:
            self._samples = PcmReader(self._wav.sample_rate, self._wav.channels)
        return self._samples.feed(pcm)


class _Event(msgspec.Struct):
    audio: str | None = None
    audio_base64: str | None = None
    audio_b64: str | None = None
    wav: str | None = None
    data: str | None = None
    sample_rate: int | None = None
    error: msgspec.Raw = msgspec.Raw()

    @property
    def sound(self) -> str:
        """The base64 text, whatever the server calls it."""
        return self.audio or self.audio_base64 or self.audio_b64 or self.wav or self.data or ""


_decode_event: Final = msgspec.json.Decoder(_Event | str, strict=False).decode


class WavEventReader:
    """Server-sent events with one WAV file in base64 each, as JSON or bare."""

    def __init__(self) -> None:
        self._events = EventStream()

    def feed(self, data: bytes) -> SpeechChunk | None:
        """Return the samples of the events that are complete; see `SampleReader`."""
        parts = [chunk for event in self._events.feed(data) if (chunk := self._chunk(event)) is not None]
        if not parts:
            return None
        rate, channels = parts[0].sample_rate, parts[0].channels
        if any((part.sample_rate, part.channels) != (rate, channels) for part in parts):
            raise UpstreamError("The speech server changed the sample rate in the middle of its answer.")
        return SpeechChunk(b"".join(part.audio for part in parts), rate, channels)

    def _chunk(self, event: bytes) -> SpeechChunk | None:
        if event == b"[DONE]":
            return None
        text: str
        if event[:1] in {b"{", b'"'}:
            try:
                decoded = _decode_event(event)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise UpstreamError("The speech server answered with something unreadable.") from error
            if not isinstance(decoded, str) and bytes(decoded.error) not in {b"", b"null"}:
                raise UpstreamError("The speech server reported an error in the middle of its answer.")
            text = decoded if isinstance(decoded, str) else decoded.sound
        else:
            text = event.decode("ascii", errors="replace")
        return WavReader().feed(from_base64(text)) if text else None


def reader_for(content_type: str, question: SpeechQuestion) -> SampleReader:
    """Return the reader for an answer with this ``Content-Type``."""
    if content_type.startswith("text/event-stream"):
        return WavEventReader()
    if media_format(content_type) == "wav":
        return WavReader()
    return PcmReader(pcm_rate(content_type, question.sample_rate))


def speech_audio(answer: HttpAnswer, question: SpeechQuestion) -> SpeechAudio:
    """Return the sound of an answer: bytes of a file, or JSON with a file in base64.

    Raises:
        AttemptError: There is no sound in it.
    """
    body, content_type = answer.body, answer.content_type
    if content_type.startswith("application/json"):
        try:
            decoded = _decode_event(body)
            body = from_base64(decoded if isinstance(decoded, str) else decoded.sound)
        except (msgspec.MsgspecError, UnicodeDecodeError, UpstreamError) as error:
            raise malformed() from error
        content_type = ""
    if not body or content_type.startswith("text/"):
        raise malformed()
    found = media_format(content_type) or ("wav" if body[:4] == b"RIFF" else question.audio_format)
    if found == "pcm":
        rate = pcm_rate(content_type, question.sample_rate)
        return _as_asked(SpeechAudio(body[: len(body) - len(body) % 2], "pcm", rate), question)
    return _as_asked(_read_wav(body), question) if found == "wav" else SpeechAudio(body, found)


def from_base64(text: str) -> bytes:
    """Return the bytes of base64 text, with or without a data URL before it.

    Raises:
        UpstreamError: It is not base64.
    """
    try:
        return base64.b64decode(text.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise UpstreamError("The speech server answered with something unreadable.") from error


def check_voice(voice: str) -> str:
    """Return the name of a voice. Some servers take it for a path of theirs, so it must not look like one.

    Raises:
        InvalidRequestError: It is not a plain name.
    """
    if voice and (_VOICE.fullmatch(voice) is None or ".." in voice):
        raise InvalidRequestError("The voice is not a valid name.")
    return voice


def check_language(language: str) -> str:
    """Return a language tag.

    Raises:
        InvalidRequestError: It is none.
    """
    if language and _LANGUAGE.fullmatch(language) is None:
        raise InvalidRequestError("The language is not valid.")
    return language


def _read_wav(body: bytes) -> SpeechAudio:
    """Return a WAV file as samples, or as it is where it holds another encoding than 16 bit PCM."""
    wav = WavStream()
    try:
        samples = wav.feed(body)
    except UpstreamError:
        return SpeechAudio(body, "wav")
    return SpeechAudio(samples, "pcm", wav.sample_rate, wav.channels)


def _as_asked(audio: SpeechAudio, question: SpeechQuestion) -> SpeechAudio:
    """Return samples with or without a WAV header; a header written anew has sizes instead of placeholders."""
    if audio.audio_format != "pcm" or question.audio_format == "pcm":
        return audio
    file = pcm_to_wav(audio.audio, audio.sample_rate, audio.channels)
    return SpeechAudio(file, "wav", audio.sample_rate, audio.channels)
