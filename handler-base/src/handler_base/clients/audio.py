"""Sound as the speech clients hand it over, and the little of the WAV format they need."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from handler_base.errors import UpstreamError

__all__ = [
    "DEFAULT_RATE",
    "SpeechAudio",
    "SpeechChunk",
    "WavData",
    "WavStream",
    "find_wav_data",
    "media_format",
    "pcm_rate",
    "pcm_to_wav",
]

DEFAULT_RATE: Final = 24_000
"""Samples a second of raw PCM where neither the server nor the settings say."""

_RATE: Final = re.compile(r"(?:^|;)\s*rate\s*=\s*\"?(\d+)", re.IGNORECASE)
_FORMATS: Final = {
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/pcm": "pcm",
    "audio/l16": "pcm",
    "audio/opus": "opus",
    "audio/ogg": "opus",
    "audio/flac": "flac",
    "audio/aac": "aac",
    "audio/webm": "webm",
}
_PCM: Final = 1
_EXTENSIBLE: Final = 0xFFFE
_LONGEST_HEADER: Final = 64 * 1024
_PLACEHOLDER: Final = 0x7FFF_0000
"""Who writes a file while it grows puts a size from here on, or none, into its header."""
_MOST_PARTS: Final = 64
"""Parts of a WAV file before its samples; a file of nothing but parts would take a second to look through."""


@dataclass(frozen=True, slots=True)
class SpeechAudio:
    """One piece of spoken text.

    Attributes:
        audio: The bytes of a file, or raw samples for `pcm`.
        audio_format: `wav`, `mp3`, `opus`, `flac`, `aac` or `pcm` (16 bit, little-endian).
        sample_rate: Samples a second; 0 where only a decoder can tell.
        channels: 1 for mono.
    """

    audio: bytes
    audio_format: str
    sample_rate: int = 0
    channels: int = 1


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """A piece of streamed speech.

    Attributes:
        audio: Raw samples, 16 bit, little-endian; whole ones.
        sample_rate: Samples a second.
        channels: 1 for mono.
    """

    audio: bytes
    sample_rate: int
    channels: int = 1


def media_format(content_type: str) -> str:
    """Return the format a ``Content-Type`` names; empty where it names none that is known."""
    return _FORMATS.get(content_type.partition(";")[0].strip().lower(), "")


def pcm_rate(content_type: str, default: int) -> int:
    """Return the rate of raw PCM: what ``Content-Type`` says, else `default`."""
    match = _RATE.search(content_type)
    rate = int(match.group(1)) if match is not None else 0
    return rate or default


def pcm_to_wav(pcm: bytes, sample_rate: int, channels: int = 1) -> bytes:
    """Put a WAV header before raw 16 bit samples."""
    frame = 2 * channels
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(pcm), b"WAVE", b"fmt ", 16, _PCM, channels),
        *(sample_rate, sample_rate * frame, frame, 16, b"data", len(pcm)),
    )
    return head + pcm


@dataclass(frozen=True, slots=True)
class WavData:
    """The samples of a WAV file, by its header.

    Attributes:
        told: Bytes that there should be; as many as there are, where the header has a stream's placeholder.
        there: Bytes that there are.
    """

    told: int
    there: int

    @property
    def cut_off(self) -> bool:
        """Whether the file has lost its end."""
        return self.there < self.told


def find_wav_data(wav: bytes) -> WavData | None:
    """Return what a WAV file says of its samples; None where it is none, or its header makes no sense."""
    position = 12
    if wav[:4] != b"RIFF" or wav[8:position] != b"WAVE":
        return None
    described = False
    for _ in range(_MOST_PARTS):
        if position + 8 > len(wav):
            break
        name, size = struct.unpack_from("<4sI", wav, position)
        position += 8
        if name == b"data":
            there = len(wav) - position
            told = there if size == 0 or size >= _PLACEHOLDER else size
            return WavData(told, min(told, there)) if described else None
        if name == b"fmt ":
            if size < 16 or position + 16 > len(wav):
                return None
            _, channels, rate = struct.unpack_from("<HHI", wav, position)
            if not channels or not rate:
                return None
            described = True
        position += size + size % 2
    return None


class WavStream:
    """Takes the samples out of a WAV file that arrives in pieces.

    The sizes in the header of a stream are placeholders, so the samples end where the stream ends.

    Attributes:
        sample_rate: Samples a second; 0 until the header is read.
        channels: As the header says.
    """

    def __init__(self) -> None:
        self.sample_rate = 0
        self.channels = 1
        self._head = bytearray()
        self._in_data = False

    def feed(self, data: bytes) -> bytes:
        """Return the samples that are there now; empty while the header is incomplete.

        Raises:
            UpstreamError: It is not a WAV file with 16 bit PCM.
        """
        if self._in_data:
            return data
        self._head += data
        start = self._data_start()
        if start is None:
            if len(self._head) > _LONGEST_HEADER:
                raise _not_wav()
            return b""
        self._in_data = True
        samples = bytes(self._head[start:])
        self._head.clear()
        return samples

    def _data_start(self) -> int | None:
        """Return where the samples begin; None while that is not known."""
        head = self._head
        if len(head) < 12:
            return None
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            raise _not_wav()
        position = 12
        while position + 8 <= len(head):
            name, size = struct.unpack_from("<4sI", head, position)
            position += 8
            if name == b"data":
                if not self.sample_rate:
                    raise _not_wav()
                return position
            if name == b"fmt ":
                if position + 16 > len(head):
                    return None
                self._read_format(position)
            position += size + size % 2
        return None

    def _read_format(self, position: int) -> None:
        encoding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", self._head, position)
        if encoding not in {_PCM, _EXTENSIBLE} or bits != 16 or not rate or not channels:
            raise _not_wav()
        self.sample_rate, self.channels = rate, channels


def _not_wav() -> UpstreamError:
    return UpstreamError("The speech server's audio is not 16 bit WAV.")
