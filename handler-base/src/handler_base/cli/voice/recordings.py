"""Recordings in files: read whole, or as samples at the pace at which they were spoken."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.terminal import fail
from handler_base.clients.audio import pcm_to_wav

__all__ = ["Samples", "format_named", "read_recording", "read_samples", "save", "save_samples"]

_MOST_BYTES: Final = 64 * 1024 * 1024
_RATE: Final = 16_000
_PIECE_SECONDS: Final = 0.04
_FORMATS: Final = {".wav": "wav", ".wave": "wav", ".webm": "webm", ".mp3": "mp3"}


@dataclass(frozen=True, slots=True)
class Samples:
    """Sound without a container.

    Attributes:
        audio: 16 bit, little-endian, mono.
        sample_rate: Samples a second.
    """

    audio: bytes
    sample_rate: int

    @property
    def seconds(self) -> float:
        """How long it takes to play."""
        return len(self.audio) / 2 / self.sample_rate

    async def at_its_pace(self) -> AsyncIterator[bytes]:
        """Yield pieces of 40 ms, each when a microphone would have heard it."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        step = 2 * int(self.sample_rate * _PIECE_SECONDS)
        for start in range(0, len(self.audio), step):
            piece = self.audio[start : start + step]
            due = begun + (start + len(piece)) / 2 / self.sample_rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            yield piece


def format_named(path: Path) -> str:
    """Return the format that a file's name tells: `wav` where it tells none, since its bytes tell in the end."""
    return _FORMATS.get(path.suffix.lower(), "wav")


def read_recording(path: Path) -> bytes:
    """Return the bytes of a file, or end the command.

    Raises:
        typer.Exit: It cannot be read, or is larger than any recording.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            fail(f"{path} is larger than {_MOST_BYTES // 1024 // 1024} MiB.", ExitCode.USAGE)
        return path.read_bytes()
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}.", ExitCode.USAGE)


def read_samples(path: Path) -> Samples:
    """Return the sound of a file, or end the command.

    Plain wav takes nothing but Python; all else PyAV.

    Raises:
        typer.Exit: It cannot be read, or not as sound.
    """
    data = read_recording(path)
    samples = _plain_wav(data) or _decoded(path, data)
    if not samples.audio:
        fail(f"There is no sound in {path}.", ExitCode.USAGE)
    return samples


def save(path: Path, audio: bytes) -> None:
    """Write a file, or end the command.

    Raises:
        typer.Exit: It cannot be written.
    """
    try:
        path.write_bytes(audio)
    except OSError as error:
        fail(f"The speech cannot be saved: {error}.", ExitCode.USAGE)


def save_samples(path: Path, samples: Samples) -> None:
    """Write a wav file, or end the command.

    Raises:
        typer.Exit: It cannot be written.
    """
    save(path, pcm_to_wav(samples.audio, samples.sample_rate))


def _plain_wav(data: bytes) -> Samples | None:
    try:
        with wave.open(io.BytesIO(data)) as file:
            if file.getsampwidth() == 2 and file.getnchannels() == 1:
                return Samples(file.readframes(file.getnframes()), file.getframerate())
    except (wave.Error, EOFError):
        return None
    return None


def _decoded(path: Path, data: bytes) -> Samples:
    try:
        import av  # noqa: PLC0415 - plain wav needs none of it
        from av.error import FFmpegError  # noqa: PLC0415
    except ImportError:
        fail("Only plain wav (16 bit, mono) is read without PyAV; install it with: pip install av", ExitCode.USAGE)
    audio = bytearray()
    try:
        with av.open(io.BytesIO(data), "r") as container:
            resampler = av.AudioResampler("s16", "mono", _RATE)
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    audio += bytes(piece.planes[0])[: 2 * piece.samples]
            for piece in resampler.resample(None):
                audio += bytes(piece.planes[0])[: 2 * piece.samples]
    except (FFmpegError, IndexError, ValueError):
        fail(f"{path} is not a recording that can be read (wav, webm, mp3, ogg).", ExitCode.USAGE)
    return Samples(bytes(audio), _RATE)
