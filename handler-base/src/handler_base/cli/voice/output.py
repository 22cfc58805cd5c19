"""What becomes of speech: it is played where there is a loudspeaker, and kept for a file."""

from __future__ import annotations

import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from handler_base.cli.voice.recordings import Samples
from handler_base.cli.voice.sound import MICROPHONE_RATE, Player
from handler_base.clients.audio import WavStream
from handler_base.errors import FleetError, UpstreamError

__all__ = ["Output", "open_output", "samples_of_wav"]


class Output:
    """Takes speech as it comes.

    Attributes:
        trouble: Why nothing is played; empty while all is well.
        first_sound: When the first of it came, on `time.perf_counter`; 0 before that.
    """

    def __init__(self) -> None:
        self.trouble = ""
        self.first_sound = 0.0
        self._player: Player | None = None
        self._rate = 0
        self._audio = bytearray()
        self._until = 0.0

    @property
    def unheard(self) -> float:
        """Seconds of what came that nobody can have heard yet: it is played from its arrival on."""
        return max(0.0, self._until - time.perf_counter())

    @property
    def samples(self) -> Samples:
        """All that came."""
        return Samples(bytes(self._audio), self._rate or MICROPHONE_RATE)

    @property
    def plays(self) -> bool:
        """Whether there is a loudspeaker."""
        return self._player is not None

    async def open(self) -> None:
        """Open the loudspeaker; where there is none, `trouble` says so."""
        await self._open(MICROPHONE_RATE)

    async def add(self, audio: bytes, sample_rate: int, channels: int = 1) -> None:
        """Take raw 16 bit samples.

        Raises:
            UpstreamError: They are not of the rate of those before.
        """
        if not audio:
            return
        if self._rate not in {0, sample_rate}:
            raise UpstreamError("The sample rate changed in the middle of the speech.")
        now = time.perf_counter()
        self.first_sound = self.first_sound or now
        self._rate = sample_rate
        samples = audio if channels <= 1 else array("h", audio)[::channels].tobytes()
        self._audio += samples
        self._until = max(self._until, now) + len(samples) / 2 / sample_rate
        if self._player is not None and self._player.sample_rate != sample_rate:
            self._player.close()
            self._player = None
            await self._open(sample_rate)
        if self._player is not None:
            self._player.play(samples)

    def stop(self) -> None:
        """Play no more of what came so far, and keep only what was heard of it."""
        unheard = 2 * int(self.unheard * self._rate)
        if unheard:
            del self._audio[-unheard:]
        self._until = time.perf_counter()
        if self._player is not None:
            self._player.stop()

    async def finish(self) -> None:
        """Wait until everything was heard."""
        if self._player is not None:
            await self._player.finish()

    def close(self) -> None:
        """Let go of the loudspeaker."""
        if self._player is not None:
            self._player.close()

    async def _open(self, sample_rate: int) -> None:
        player = Player(sample_rate)
        try:
            await player.open()
        except FleetError as error:
            self.trouble = error.message
        else:
            self._player = player


@asynccontextmanager
async def open_output(*, play: bool) -> AsyncIterator[Output]:
    """Yield an output; where it shall not play, or cannot, it only keeps the sound."""
    output = Output()
    if play:
        await output.open()
    try:
        yield output
    finally:
        output.close()


def samples_of_wav(audio: bytes) -> tuple[bytes, int, int]:
    """Return the samples of a wav file of 16 bit, their rate and their channels.

    Raises:
        UpstreamError: It is no such file.
    """
    stream = WavStream()
    samples = stream.feed(audio)
    return samples, stream.sample_rate, stream.channels
