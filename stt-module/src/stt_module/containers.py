"""Containers other than plain WAV, opened by PyAV.

What comes in is not trusted: the container is the one its first bytes show, so that nothing is opened which names other
files, and the work ends at a length, whatever the header promised.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from threading import Event
from typing import TYPE_CHECKING, Final, Protocol

from handler_base.errors import InvalidRequestError, PayloadTooLargeError, RequestCancelledError, UnsupportedFormatError
from stt_module.pcm import decoder_installed
from stt_module.windows import RATE

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

__all__ = ["Source", "container_of", "decode", "samples_of"]

_MOST_DAMAGED: Final = 16
_MOST_PACKETS_WITHOUT_SOUND: Final = 10_000
_LIVE: Final = {"probesize": "2048", "analyzeduration": "0"}


class Source(Protocol):
    """Where a container is read from."""

    def read(self, size: int, /) -> bytes:
        """Give at most `size` bytes, none at the end."""


def container_of(audio: bytes) -> str:
    """Name the container by its first bytes.

    Raises:
        UnsupportedFormatError: It is none of those that are read.
    """
    if audio[:4] == b"RIFF" and audio[8:12] == b"WAVE":
        return "wav"
    if audio[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if audio[:4] == b"OggS":
        return "ogg"
    if audio[:3] == b"ID3" or (len(audio) > 2 and audio[0] == 0xFF and audio[1] & 0xE6 == 0xE2):
        return "mp3"
    raise UnsupportedFormatError("Audio must be wav, webm, ogg or mp3.")


def decode(audio: bytes, *, most_bytes: int, given_up: Event | None = None) -> bytes:
    """Return what a container holds as 16 kHz mono.

    Raises:
        InvalidRequestError: It is damaged, or has no sound in it.
        PayloadTooLargeError: It would become more than `most_bytes`.
        RequestCancelledError: `given_up` was set.
        UnsupportedFormatError: It is no container that is read, or PyAV is not installed.
    """
    pieces, size = [], 0
    for piece in samples_of(io.BytesIO(audio), container_of(audio)):
        size += len(piece)
        if size > most_bytes:
            raise PayloadTooLargeError("The audio is too long.")
        if given_up is not None and given_up.is_set():
            raise RequestCancelledError
        pieces.append(piece)
    if not size:
        raise InvalidRequestError("There is no sound in the audio.")
    return b"".join(pieces)


def samples_of(source: Source, container: str, *, live: bool = False) -> Iterator[bytes]:
    """Give what a container holds as 16 kHz mono, piece by piece, as it is read.

    Args:
        source: Where it comes from.
        container: Its name, as `container_of` gives it.
        live: It still grows: begin with the first bytes there are.

    Raises:
        InvalidRequestError: It is damaged, or has no sound in it.
        UnsupportedFormatError: PyAV is not installed.
    """
    if not decoder_installed():
        raise UnsupportedFormatError("Audio must be plain wav.")
    # Raw 16 kHz audio needs none of PyAV's 40 MB.
    import av  # noqa: PLC0415  # see above
    from av.error import FFmpegError  # noqa: PLC0415  # see above

    options = _LIVE if live else {}
    try:
        with av.open(source, "r", format=container, options=options, metadata_errors="ignore") as opened:
            yield from _resampled(opened)
    except FFmpegError as error:
        raise InvalidRequestError("The audio is damaged.") from error


def _resampled(container: InputContainer) -> Iterator[bytes]:
    from av.audio.resampler import AudioResampler  # noqa: PLC0415  # loaded with PyAV

    resampler, kind = None, None
    for frame in _frames(container):
        # It may change on the way, where a stream follows on another or is damaged.
        if kind != (kind := (frame.format.name, frame.layout.name, frame.sample_rate)):
            if resampler is not None:
                yield from _bytes_of(resampler.resample(None))
            resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
        assert resampler is not None  # noqa: S101  # the first frame's kind is new
        yield from _bytes_of(resampler.resample(frame))
    if resampler is not None:
        yield from _bytes_of(resampler.resample(None))


def _bytes_of(frames: list[AudioFrame]) -> Iterator[bytes]:
    return (frame.to_ndarray().tobytes() for frame in frames)


def _frames(container: InputContainer) -> Iterator[AudioFrame]:
    """What the first audio stream holds. A packet that is damaged is left out, as a player would; many are an error."""
    from av.error import InvalidDataError  # noqa: PLC0415  # loaded with PyAV

    if not container.streams.audio:
        raise InvalidRequestError("There is no sound in the audio.")
    stream = container.streams.audio[0]
    damaged = silent = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except InvalidDataError:
            damaged += 1
            if damaged > _MOST_DAMAGED:
                raise
            continue
        silent = 0 if frames else silent + 1
        if silent > _MOST_PACKETS_WITHOUT_SOUND:
            raise InvalidRequestError("There is no sound in the audio.")
        yield from frames
