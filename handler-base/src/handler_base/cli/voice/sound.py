"""The machine's own loudspeaker and microphone.

By miniaudio, which brings all it needs: whichever of Core Audio, PulseAudio, PipeWire, ALSA or WASAPI a machine has.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from handler_base.errors import NotFoundError

__all__ = ["BACKENDS", "MICROPHONE_RATE", "Player", "microphone", "open_player"]

BACKENDS: tuple[str, ...] = ("WASAPI", "DSOUND", "WINMM", "COREAUDIO", "SNDIO", "AUDIO4", "OSS", "PULSEAUDIO", "ALSA")
"""What is tried, by miniaudio's names; all but the one that plays into nothing."""

MICROPHONE_RATE: Final = 16_000
"""Samples a second of what the microphone hears."""

_PLAYER_PERIOD_MS: Final = 20
_PERIODS: Final = 3
_MICROPHONE_PERIOD_MS: Final = 20
_MISSING: Final = "The package miniaudio is missing; install it with: pip install 'handler-base[sound]'"


class Player:
    """Plays raw 16 bit mono samples in the order in which they are given.

    Args:
        sample_rate: Of the samples.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting = bytearray()
        self._silent = asyncio.Event()
        self._silent.set()
        self._device: Any = None

    @property
    def busy(self) -> bool:
        """Whether there is something left to play."""
        return not self._silent.is_set()

    async def open(self) -> None:
        """Open the loudspeaker.

        Raises:
            NotFoundError: There is none, or miniaudio is not installed.
        """
        self._device = await asyncio.to_thread(_open_loudspeaker, self.sample_rate)
        feed = self._feed()
        next(feed)
        self._device.start(feed)

    def play(self, samples: bytes) -> None:
        """Add samples to what is played."""
        if samples:
            self._silent.clear()
            with self._lock:
                self._waiting += samples

    def stop(self) -> None:
        """Throw away what is not played yet."""
        with self._lock:
            self._waiting.clear()
        self._silent.set()

    async def finish(self) -> None:
        """Wait until everything was heard, or thrown away."""
        if self.busy:
            await self._silent.wait()
            # The device has taken the last samples; it does not tell when they were heard.
            await asyncio.sleep(_PERIODS * _PLAYER_PERIOD_MS / 1000)

    def close(self) -> None:
        """Let go of the loudspeaker."""
        device, self._device = self._device, None
        if device is not None:
            device.close()

    def _feed(self) -> Generator[bytes, int, None]:
        """Give the device what it asks for; it runs in the device's own thread."""
        frames = yield b""
        while True:
            with self._lock:
                samples = bytes(self._waiting[: 2 * frames])
                del self._waiting[: 2 * frames]
                ended = bool(samples) and not self._waiting
            if ended:
                self._loop.call_soon_threadsafe(self._mark_silent)
            frames = yield samples

    def _mark_silent(self) -> None:
        # More may have come since the device asked.
        if not self._waiting:
            self._silent.set()


@asynccontextmanager
async def open_player(sample_rate: int) -> AsyncIterator[Player]:
    """Yield an open player.

    Raises:
        NotFoundError: There is no loudspeaker, or miniaudio is not installed.
    """
    player = Player(sample_rate)
    await player.open()
    try:
        yield player
    finally:
        player.close()


@asynccontextmanager
async def microphone() -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield what the microphone hears from now on, as raw 16 bit mono samples at `MICROPHONE_RATE`.

    Raises:
        NotFoundError: There is no microphone, or miniaudio is not installed.
    """
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    def take() -> Generator[None, bytes, None]:
        while True:
            samples = yield
            loop.call_soon_threadsafe(heard.put_nowait, bytes(samples))

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield await heard.get()

    device = await asyncio.to_thread(_open_microphone)
    try:
        taking = take()
        next(taking)
        device.start(taking)
        yield pieces()
    finally:
        device.close()


def _open_loudspeaker(sample_rate: int) -> Any:  # noqa: ANN401 - miniaudio has no types
    miniaudio = _miniaudio()
    try:
        with _without_chatter():
            return miniaudio.PlaybackDevice(
                output_format=miniaudio.SampleFormat.SIGNED16,
                nchannels=1,
                sample_rate=sample_rate,
                buffersize_msec=_PLAYER_PERIOD_MS,
                callback_periods=_PERIODS,
                backends=[miniaudio.Backend[name] for name in BACKENDS],
                app_name="fleet",
            )
    except miniaudio.MiniaudioError as error:
        raise NotFoundError("There is no sound device here that plays.") from error


def _open_microphone() -> Any:  # noqa: ANN401 - miniaudio has no types
    miniaudio = _miniaudio()
    try:
        with _without_chatter():
            return miniaudio.CaptureDevice(
                input_format=miniaudio.SampleFormat.SIGNED16,
                nchannels=1,
                sample_rate=MICROPHONE_RATE,
                buffersize_msec=_MICROPHONE_PERIOD_MS,
                backends=[miniaudio.Backend[name] for name in BACKENDS],
                app_name="fleet",
            )
    except miniaudio.MiniaudioError as error:
        raise NotFoundError("There is no microphone here.") from error


def _miniaudio() -> Any:  # noqa: ANN401 - miniaudio has no types
    try:
        import miniaudio  # noqa: PLC0415 - only who speaks or listens needs it
    except ImportError as error:
        raise NotFoundError(_MISSING) from error
    return miniaudio


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep what ALSA writes on the process's error stream, line after line, where it finds no device."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
