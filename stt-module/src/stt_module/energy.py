"""Voice by loudness: how far a window stands out of the noise around it.

Enough in a quiet room, and cheap everywhere: the other detectors are only asked about windows that pass this gate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import Final

import numpy as np

__all__ = ["EnergyDetector", "EnergyStream", "GateRules", "NoiseGate"]

_BLOCK: Final = 8
_BLOCKS: Final = 8
_UNKNOWN_FLOOR: Final = -45.0
_SLOPE: Final = 0.03
_FULL_SCALE: Final = 90.309  # decibels of a square wave of the largest 16-bit samples


@dataclass(frozen=True, slots=True)
class GateRules:
    """What is too quiet to be asked about."""

    least_level: float = -60.0
    """Decibels of full scale; noise below it counts as this loud, so that it takes more to be speech."""
    least_above_noise: float = 2.0
    """Decibels above the noise that pass the gate."""
    hold: int = 30
    """Windows the gate stays open after the last loud one: a model tells the end of a word by what follows it."""


class NoiseGate:
    """Follows the level of the noise: the least of the last two seconds, as speech has gaps and noise has none."""

    __slots__ = ("_count", "_held", "_least", "_minima", "_rules")

    def __init__(self, rules: GateRules | None = None) -> None:
        self._rules = rules or GateRules()
        self._minima: deque[float] = deque([_UNKNOWN_FLOOR], maxlen=_BLOCKS)
        self._least = 0.0
        self._count = 0
        self._held = 0

    def above_noise(self, window: bytes) -> float:
        """Take a window in; tell how many decibels it is above the noise."""
        samples = np.frombuffer(window, "<i2").astype(np.float32)
        power = float(np.dot(samples, samples)) / len(samples)
        level = 10 * log10(power + 1e-3) - _FULL_SCALE
        self._least = min(self._least, level)
        floor = max(self._rules.least_level, min(self._least, *self._minima))
        self._count += 1
        if self._count == _BLOCK:
            self._minima.append(self._least)
            self._least, self._count = 0.0, 0
        above = max(0.0, level - floor)
        self._held = self._rules.hold if above >= self._rules.least_above_noise else max(0, self._held - 1)
        return above

    def passes(self, window: bytes) -> bool:
        """Take a window in; tell whether it may be speech."""
        self.above_noise(window)
        return self._held > 0


class EnergyStream:
    """A session whose voice is told by its loudness alone.

    Args:
        above_noise: Decibels above the noise that are as likely speech as not.
    """

    __slots__ = ("_above", "_gate")

    def __init__(self, above_noise: float) -> None:
        self._gate = NoiseGate()
        self._above = above_noise

    async def score(self, windows: Sequence[bytes]) -> list[float]:
        """See `VoiceStream`."""
        return [self._likely(self._gate.above_noise(window)) for window in windows]

    def _likely(self, above: float) -> float:
        return min(1.0, max(0.0, 0.5 + (above - self._above) * _SLOPE)) if above > 0 else 0.0


class EnergyDetector:
    """Loudness alone.

    Args:
        above_noise: Decibels above the noise that are as likely speech as not.
    """

    def __init__(self, above_noise: float = 9.0) -> None:
        self._above_noise = above_noise

    def stream(self) -> EnergyStream:
        """See `Detector`."""
        return EnergyStream(self._above_noise)

    def close(self) -> None:
        """Nothing is held."""
