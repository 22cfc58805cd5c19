"""What a recording holds, as the recogniser wants it: 16 bit mono samples at 16 kHz.

A WAV file of that kind is read as it is; everything else goes through PyAV, where that is installed.
"""

from __future__ import annotations

import importlib.util
import io
import itertools
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from handler_base.errors import InvalidRequestError, PayloadTooLargeError, UnsupportedFormatError

__all__ = ["LONGEST", "RATE", "read_samples"]

RATE: Final = 16_000
LONGEST: Final = 60
"""Seconds of a recording."""

_MOST_BYTES: Final = LONGEST * RATE * 2
_PCM: Final = 1
_EXTENSIBLE: Final = 0xFFFE
_OPTIONS: Final = {
    # A playlist or a description of a session would have the decoder open whatever it names.
    "format_whitelist": "wav,w64,matroska,webm,mp3,ogg,flac,mov,mp4,m4a,3gp,3g2,mj2,aac,aiff,au,caf,amr",
    "protocol_whitelist": "none",
}


def read_samples(recording: bytes) -> bytes:
    """Return the samples of a recording.

    Raises:
        InvalidRequestError: It is not a recording, or damaged.
        UnsupportedFormatError: It takes PyAV to read it, which is not installed.
        PayloadTooLargeError: It is longer than `LONGEST`.
    """
    if not recording:
        raise InvalidRequestError("The recording is empty.")
    wav = _find_wav(recording)
    samples = _plain(wav) if wav is not None and wav.plain else _decode(recording)
    if len(samples) > _MOST_BYTES:
        raise _too_long()
    return samples


@dataclass(frozen=True, slots=True)
class _Wav:
    encoding: int
    channels: int
    rate: int
    bits: int
    data: bytes

    @property
    def plain(self) -> bool:
        return (
            self.encoding in {_PCM, _EXTENSIBLE} and self.bits == 16 and self.rate == RATE and self.channels in {1, 2}
        )


def _find_wav(recording: bytes) -> _Wav | None:
    """Return the samples of a WAV file with what its header says; None for any other file."""
    if recording[:4] != b"RIFF" or recording[8:12] != b"WAVE":
        return None
    position = 12
    header: tuple[int, int, int, int] | None = None
    while position + 8 <= len(recording):
        name, size = struct.unpack_from("<4sI", recording, position)
        position += 8
        if name == b"fmt " and position + 16 <= len(recording):
            encoding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", recording, position)
            header = (encoding, channels, rate, bits)
        elif name == b"data":
            # The size is a placeholder in a stream, and too large in a file that was cut off: what is there counts.
            return None if header is None else _Wav(*header, recording[position : position + size])
        position += size + size % 2
    return None


def _plain(wav: _Wav) -> bytes:
    frame = 2 * wav.channels
    whole = wav.data[: len(wav.data) - len(wav.data) % frame]
    if wav.channels == 1:
        return whole
    both = np.frombuffer(whole, dtype="<i2").reshape(-1, 2)
    mono: bytes = both.mean(axis=1).astype("<i2").tobytes()
    return mono


def _decode(recording: bytes) -> bytes:
    if importlib.util.find_spec("av") is None:
        raise UnsupportedFormatError("Only 16 bit WAV at 16 kHz is read here; other recordings need the package av.")
    import av  # noqa: PLC0415 - large, and needed for these formats only

    pieces: list[bytes] = []
    size = 0
    try:
        with av.open(io.BytesIO(recording), mode="r", options=_OPTIONS) as container:
            if not container.streams.audio:
                raise InvalidRequestError("The file holds no sound.")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            # The last one empties the resampler.
            for frame in itertools.chain(container.decode(audio=0), (None,)):
                for piece in resampler.resample(frame):
                    pieces.append(piece.to_ndarray().tobytes())
                    size += len(pieces[-1])
                if size > _MOST_BYTES:
                    raise _too_long()
    except (av.FFmpegError, ValueError) as error:
        raise InvalidRequestError("The recording cannot be read: it is damaged, or of an unknown format.") from error
    return b"".join(pieces)


def _too_long() -> PayloadTooLargeError:
    return PayloadTooLargeError(f"The recording is longer than {LONGEST} seconds.")
