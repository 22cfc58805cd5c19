"""Recordings in, 16 kHz mono out, off the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from typing import Final

from handler_base.errors import InvalidRequestError, OverloadedError, PayloadTooLargeError, RequestCancelledError
from stt_module.containers import decode
from stt_module.pcm import PcmReader
from stt_module.wav import Wav, find_wav, is_wav
from stt_module.windows import RATE, SAMPLE_BYTES

__all__ = ["AudioLimits", "AudioReader", "read_recording"]

_SLICE: Final = 2**18
"""Samples take up to eight times their size while they are changed: not all of them at once."""


@dataclass(frozen=True, slots=True)
class AudioLimits:
    """How much audio is taken in."""

    longest: timedelta = timedelta(minutes=10)
    """A recording longer than this is refused."""
    most_bytes: int = 2**26
    """As is one that comes in more bytes than this."""

    @property
    def most_samples_bytes(self) -> int:
        """The size of the longest recording at 16 kHz."""
        return self.longest // timedelta(milliseconds=1) * RATE // 1000 * SAMPLE_BYTES


def read_recording(audio: bytes, limits: AudioLimits | None = None, *, given_up: Event | None = None) -> bytes:
    """Return a recording (wav, webm, ogg, mp3) as 16 kHz mono samples. It takes its time: see `AudioReader`.

    What a recording is, its first bytes tell, not the name somebody gave it.

    Raises:
        InvalidRequestError: It is empty, cut off or damaged.
        PayloadTooLargeError: It is too long.
        RequestCancelledError: `given_up` was set.
        UnsupportedFormatError: It is something else.
    """
    limits = limits or AudioLimits()
    if not audio:
        raise InvalidRequestError("The audio is empty.")
    if len(audio) > limits.most_bytes:
        raise PayloadTooLargeError("The audio is too large.")
    wav = find_wav(audio) if is_wav(audio) else None
    if wav is None:
        return decode(audio, most_bytes=limits.most_samples_bytes, given_up=given_up)
    return _plain(audio, wav, limits, given_up)


def _plain(audio: bytes, wav: Wav, limits: AudioLimits, given_up: Event | None) -> bytes:
    seconds = wav.size / wav.layout.frame_bytes / wav.layout.rate
    if not seconds:
        raise InvalidRequestError("There is no sound in the audio.")
    if seconds > limits.longest.total_seconds():
        raise PayloadTooLargeError("The audio is too long.")
    end = wav.start + wav.size
    if wav.layout.ready:
        return audio[wav.start : end]
    reader, pieces = PcmReader(wav.layout), []
    for start in range(wav.start, end, _SLICE):
        if given_up is not None and given_up.is_set():
            raise RequestCancelledError
        pieces.append(reader.feed(audio[start : min(start + _SLICE, end)]))
    return b"".join([*pieces, reader.flush()])


class AudioReader:
    """Reads recordings on threads of its own, so that nobody else waits for a decoder.

    Args:
        limits: How much audio is taken in.
        threads: How many recordings are read at the same time.
        most_waiting: More than these that wait are refused at once.
    """

    def __init__(self, limits: AudioLimits | None = None, *, threads: int = 2, most_waiting: int = 64) -> None:
        self._limits = limits or AudioLimits()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="audio")
        self._room = threads + most_waiting
        self._held = 0

    async def read(self, audio: bytes) -> bytes:
        """Return a recording as 16 kHz mono samples; errors as in `read_recording`.

        Raises:
            OverloadedError: Too many recordings wait already.
        """
        if self._held >= self._room:
            raise OverloadedError
        self._held += 1
        given_up = Event()
        work = self._pool.submit(read_recording, audio, self._limits, given_up=given_up)
        try:
            return await asyncio.wrap_future(work)
        finally:
            # Ends the thread's work when the one who asked has gone.
            given_up.set()
            self._held -= 1

    def close(self) -> None:
        """Give up what has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)
