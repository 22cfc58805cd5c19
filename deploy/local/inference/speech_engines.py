"""What speaks: flite where it is installed, espeak-ng elsewhere. Each sentence is one run of a program.

A run takes a few milliseconds to start, several go side by side, and one that crashes or hangs takes nobody with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import unicodedata
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handler_base.errors import InternalError, OverloadedError

__all__ = ["Speaker", "Speech", "find_espeak", "find_flite", "find_speaker"]

_ESPEAK_PROGRAM: Final = str(Path(__file__).with_name("speech_espeak.py"))
_ESPEAK_VOICES: Final = ("en-us+f2", "en-us", "en-us+m3", "en-gb-x-rp", "en-gb-scotland")
_ESPEAK_RATE: Final = 175
_ESPEAK_RATES: Final = (80, 450)
_FLITE_VOICES: Final = ("rms", "slt", "awb", "kal")
_PROGRAM_OF: Final = {"kal": "kal16"}
"""Voices that go by another name inside flite: this one speaks at 16 kHz, as the others do."""
_MARKS: Final = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014", "''\"\"--")
_LONGEST_RUN: Final = 20.0
_MOST_WAITING: Final = 256


@dataclass(frozen=True, slots=True)
class Speech:
    """Spoken text.

    Attributes:
        samples: 16 bit, little-endian, mono.
        rate: Samples a second.
    """

    samples: bytes
    rate: int


class Speaker:
    """Turns sentences into sound.

    Args:
        name: Of the program behind it.
        voices: Names of its voices, the default first.
        command: Makes the command line of a voice, a speed and a text; the command writes a WAV file to stdout.
        at_once: Runs at the same time.

    Attributes:
        name: As given.
        voices: As given.
        waiting: Sentences being spoken or waiting for that.
    """

    def __init__(
        self,
        name: str,
        voices: Sequence[str],
        command: Callable[[str, float, str], Sequence[str]],
        *,
        at_once: int = os.cpu_count() or 1,
    ) -> None:
        self.name = name
        self.voices = tuple(voices)
        self._command = command
        self.waiting = 0
        self._places = asyncio.Semaphore(at_once)

    async def say(self, text: str, *, voice: str, speed: float) -> Speech:
        """Return a sentence as sound.

        Args:
            text: One line without control characters.
            voice: One of `voices`.
            speed: 1 is normal, 2 twice as fast.

        Raises:
            OverloadedError: Too many sentences are waiting.
            InternalError: The program failed.
        """
        if self.waiting >= _MOST_WAITING:
            raise OverloadedError
        self.waiting += 1
        try:
            async with self._places:
                return _read(await _output(self._command(voice, speed, text)))
        finally:
            self.waiting -= 1


def find_speaker() -> Speaker | None:
    """Return the best speaker of this machine; None where there is none."""
    return find_flite() or find_espeak()


def find_flite() -> Speaker | None:
    """Return flite, of the environment or of the system; None where there is none that runs."""
    beside = Path(sys.executable).with_name("flite")
    program = str(beside) if beside.exists() else shutil.which("flite")
    if program is None:
        return None
    try:
        listed = subprocess.run([program, "-lv"], stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = listed.stdout.decode(errors="replace").split()
    voices = [voice for voice in _FLITE_VOICES if _PROGRAM_OF.get(voice, voice) in found]

    def command(voice: str, speed: float, text: str) -> Sequence[str]:
        stretch = f"duration_stretch={1 / speed:.3f}"
        return (
            program,
            "-voice",
            _PROGRAM_OF.get(voice, voice),
            "--setf",
            stretch,
            "-t",
            _ascii(text),
            "-o",
            "/dev/stdout",
        )

    return Speaker("flite", voices, command) if voices else None


def find_espeak() -> Speaker | None:
    """Return espeak-ng from the package index; None where its package is not installed."""
    if importlib.util.find_spec("espeakng_loader") is None:
        return None

    def command(voice: str, speed: float, text: str) -> Sequence[str]:
        least, most = _ESPEAK_RATES
        rate = min(most, max(least, round(_ESPEAK_RATE * speed)))
        return (sys.executable, "-I", _ESPEAK_PROGRAM, voice, str(rate), text)

    return Speaker("espeak-ng", _ESPEAK_VOICES, command)


def _ascii(text: str) -> str:
    """Return a text in the letters flite knows."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_MARKS))
    return decomposed.encode("ascii", "ignore").decode()


async def _output(command: Sequence[str]) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(_LONGEST_RUN):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise InternalError from error
    finally:
        if process.returncode is None:
            # It may have ended by itself in the meantime.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        raise InternalError
    return output


def _read(output: bytes) -> Speech:
    try:
        with wave.open(io.BytesIO(output)) as file:
            return Speech(file.readframes(file.getnframes()), file.getframerate())
    except (wave.Error, EOFError) as error:
        raise InternalError from error
