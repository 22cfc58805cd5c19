"""What a WAV file says of itself. Plain ones are read without a decoder."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from handler_base.errors import InvalidRequestError
from stt_module.pcm import PcmFormat

__all__ = ["Wav", "find_wav", "is_wav"]

_PCM: Final = 1
_FLOAT: Final = 3
_EXTENSIBLE: Final = 0xFFFE
_UNKNOWN: Final = 0x7FFF_0000
"""Who writes a file while it grows puts a size like this, or none, into its header."""


@dataclass(frozen=True, slots=True)
class Wav:
    """The samples of a WAV file."""

    layout: PcmFormat
    start: int
    """Where they begin in the file."""
    size: int
    """How many bytes of them there are."""


def is_wav(audio: bytes) -> bool:
    """Whether it begins as a WAV file does."""
    return audio[:4] == b"RIFF" and audio[8:12] == b"WAVE"


def find_wav(audio: bytes) -> Wav | None:
    """Read the header of a WAV file.

    Returns:
        Where the samples are; None when they are compressed, which takes a decoder.

    Raises:
        InvalidRequestError: The file is cut off, or its header makes no sense.
        UnsupportedFormatError: No sound has samples of that kind.
    """
    at, header = 12, b""
    while at + 8 <= len(audio):
        name, size = struct.unpack_from("<4sI", audio, at)
        at += 8
        if name == b"data":
            return _described(header, at, _size(size, len(audio) - at))
        if name == b"fmt ":
            header = audio[at : at + min(size, 40)]
        at += size + size % 2
    raise InvalidRequestError("The WAV file is cut off before its samples.")


def _size(told: int, there: int) -> int:
    if told == 0 or told >= _UNKNOWN:
        return there
    if told > there:
        raise InvalidRequestError("The WAV file is cut off: it holds less than its header says.")
    return told


def _described(header: bytes, start: int, size: int) -> Wav | None:
    if len(header) < 16:
        raise InvalidRequestError("The WAV file does not say what its samples are.")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", header)
    if kind == _EXTENSIBLE and len(header) >= 26:
        kind = struct.unpack_from("<H", header, 24)[0]
    if kind not in {_PCM, _FLOAT} or (kind == _FLOAT and bits != 32):
        return None
    layout = PcmFormat(rate=rate, channels=channels, bits=bits, floats=kind == _FLOAT)
    return Wav(layout, start, size - size % layout.frame_bytes)
