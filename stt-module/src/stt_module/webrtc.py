"""WebRTC's detector: a small model of frequencies, between loudness and Silero in work and exactness."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Final, Protocol

from handler_base.errors import InternalError
from stt_module.energy import NoiseGate
from stt_module.windows import RATE, SAMPLE_BYTES, WINDOW_BYTES

__all__ = ["WebrtcDetector", "WebrtcStream"]

_FRAME_BYTES: Final = RATE // 100 * SAMPLE_BYTES
"""The detector takes 10, 20 or 30 ms: three of 10 in a window, whose last 2 ms are not looked at."""
_STARTS: Final = range(0, WINDOW_BYTES - _FRAME_BYTES + 1, _FRAME_BYTES)


class Vad(Protocol):
    """The part of the package's detector that is used."""

    def is_speech(self, frame: bytes, rate: int) -> bool:
        """Tell whether there is voice in a frame."""


class WebrtcStream:
    """A session's own detector; it is 8 KB."""

    __slots__ = ("_gate", "_vad")

    def __init__(self, vad: Vad) -> None:
        self._vad = vad
        self._gate = NoiseGate()

    async def score(self, windows: Sequence[bytes]) -> list[float]:
        """See `VoiceStream`."""
        return [self._score(window) if self._gate.passes(window) else 0.0 for window in windows]

    def _score(self, window: bytes) -> float:
        voiced = [self._vad.is_speech(window[start : start + _FRAME_BYTES], RATE) for start in _STARTS]
        return sum(voiced) / len(voiced)


class WebrtcDetector:
    """WebRTC's detector.

    Args:
        strictness: 0 to 3; a stricter one takes less for speech.

    Raises:
        InternalError: The package is not installed.
    """

    def __init__(self, strictness: int = 3) -> None:
        if importlib.util.find_spec("webrtcvad") is None:
            raise InternalError("The webrtc detector takes the package webrtcvad-wheels: stt-module[light].")
        self._strictness = strictness

    def stream(self) -> WebrtcStream:
        """See `Detector`."""
        import webrtcvad  # noqa: PLC0415  # an optional package

        return WebrtcStream(webrtcvad.Vad(self._strictness))

    def close(self) -> None:
        """Nothing is held."""
