"""Files for spoken samples, written piece by piece: WAV and raw samples as they are, the others by PyAV."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from handler_base.clients.audio import pcm_to_wav
from handler_base.errors import UnsupportedFormatError

__all__ = ["FORMATS", "SoundFile", "content_type", "open_file", "whole_file"]

_PLACEHOLDER: Final = b"\xff\xff\xff\xff"
"""Size of something that has no end yet."""


@dataclass(frozen=True, slots=True)
class _Encoding:
    media_type: str
    container: str
    codec: str
    rates: tuple[int, ...] = ()
    """Samples a second that it takes; empty: any."""


_ENCODED: Final = {
    "mp3": _Encoding("audio/mpeg", "mp3", "libmp3lame"),
    "opus": _Encoding("audio/ogg", "ogg", "libopus", (16_000, 24_000, 48_000)),
    "flac": _Encoding("audio/flac", "flac", "flac"),
    "aac": _Encoding("audio/aac", "adts", "aac"),
}
FORMATS: Final = ("wav", "pcm", *_ENCODED)


class SoundFile(Protocol):
    """A file that grows."""

    def feed(self, samples: bytes) -> bytes:
        """Return the bytes of the file that these samples add."""
        ...

    def end(self) -> bytes:
        """Return the last bytes."""
        ...


def content_type(name: str, rate: int) -> str:
    """Return what a file of one of `FORMATS` is called over HTTP."""
    if name == "pcm":
        return f"audio/pcm;rate={rate};channels=1"
    return "audio/wav" if name == "wav" else _ENCODED[name].media_type


def open_file(name: str, rate: int) -> SoundFile:
    """Begin a file.

    Args:
        name: One of `FORMATS`.
        rate: Samples a second.

    Raises:
        UnsupportedFormatError: The format needs PyAV, which is not installed.
    """
    if name not in _ENCODED:
        return _Plain(pcm_to_wav(b"", rate) if name == "wav" else b"")
    if importlib.util.find_spec("av") is None:
        raise UnsupportedFormatError(f"`response_format` {name} needs the package av; wav and pcm do not.")
    return _Encoded(_ENCODED[name], rate)


def whole_file(name: str, rate: int, pieces: Sequence[bytes]) -> bytes:
    """Return a file in one piece; a WAV file tells its size then."""
    if name == "wav":
        return pcm_to_wav(b"".join(pieces), rate)
    file = open_file(name, rate)
    return b"".join([*map(file.feed, pieces), file.end()])


class _Plain:
    """Samples as they are, behind a header whose sizes nobody knows yet."""

    def __init__(self, header: bytes) -> None:
        self._header = header[:4] + _PLACEHOLDER + header[8:-4] + _PLACEHOLDER if header else b""

    def feed(self, samples: bytes) -> bytes:
        header, self._header = self._header, b""
        return header + samples

    def end(self) -> bytes:
        return b""


class _Encoded:
    """What an encoder of ffmpeg makes of the samples."""

    def __init__(self, encoding: _Encoding, rate: int) -> None:
        import av  # noqa: PLC0415 - large, and needed for these formats only

        self._av = av
        self._rate = rate
        self._sink = _Sink()
        self._container = av.open(self._sink, mode="w", format=encoding.container)
        # The encoder brings samples of another rate to its own.
        fitting = min((own for own in encoding.rates if own >= rate), default=rate)
        stream = self._container.add_stream(encoding.codec, rate=fitting, layout="mono")
        if not isinstance(stream, av.AudioStream):
            raise TypeError(encoding.codec)
        self._stream = stream

    def feed(self, samples: bytes) -> bytes:
        frame = self._av.AudioFrame(format="s16", layout="mono", samples=len(samples) // 2)
        frame.planes[0].update(samples)
        frame.sample_rate = self._rate
        self._container.mux(self._stream.encode(frame))
        return self._sink.take()

    def end(self) -> bytes:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken. It cannot be sought: what was taken is gone."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # ffmpeg hands over bytes
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken
