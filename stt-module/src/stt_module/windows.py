"""Live audio in windows of one length, however it was cut on its way here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["RATE", "SAMPLE_BYTES", "WINDOW_BYTES", "WINDOW_MS", "WINDOW_SAMPLES", "Windows", "milliseconds"]

RATE: Final = 16_000
"""Samples a second of everything inside this service: one channel of 16-bit signed PCM, little endian."""

SAMPLE_BYTES: Final = 2
WINDOW_SAMPLES: Final = 512
WINDOW_BYTES: Final = WINDOW_SAMPLES * SAMPLE_BYTES
WINDOW_MS: Final = WINDOW_SAMPLES * 1000 // RATE
"""The length Silero's model was trained on; every detector here takes the same, so that they can be exchanged."""


def milliseconds(size: int) -> int:
    """How long `size` bytes of audio last."""
    return size * 1000 // (RATE * SAMPLE_BYTES)


class Windows:
    """Gathers bytes and gives them back in whole windows.

    Where the cuts of the input were has no influence on the windows: not even a sample that is cut in two is lost.
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """What is too short for a window yet."""
        return self._rest

    def feed(self, audio: bytes) -> Iterator[bytes]:
        """Take audio in, and give the windows that are whole now."""
        held = self._rest + audio if self._rest else audio
        whole = len(held) - len(held) % WINDOW_BYTES
        self._rest = held[whole:]
        return (held[start : start + WINDOW_BYTES] for start in range(0, whole, WINDOW_BYTES))

    def flush(self) -> bytes:
        """The whole samples that are left; half a sample at the very end is dropped."""
        rest, self._rest = self._rest, b""
        return rest[: len(rest) - len(rest) % SAMPLE_BYTES]
