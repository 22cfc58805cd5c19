"""What every detector of voice promises, and the ones there are."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

__all__ = ["Detector", "DetectorKind", "VoiceStream", "open_detector"]


class DetectorKind(StrEnum):
    """The detectors, from the most exact to the lightest."""

    SILERO = "silero"
    WEBRTC = "webrtc"
    ENERGY = "energy"


class VoiceStream(Protocol):
    """One session's audio as its detector sees it: what it remembers of the windows so far."""

    async def score(self, windows: Sequence[bytes]) -> list[float]:
        """Tell of each window how likely it is speech, 0 to 1.

        One call at a time; windows come in their order. How many come in one call changes nothing.

        Raises:
            InternalError: The detector failed.
        """


class Detector(Protocol):
    """Shared by all sessions of a process."""

    def stream(self) -> VoiceStream:
        """Begin a session. There is nothing to close: what it holds goes with it."""

    def close(self) -> None:
        """Free what the detector holds."""


def open_detector(kind: DetectorKind) -> Detector:
    """Load a detector; Silero's model takes some 50 ms.

    Raises:
        InternalError: The packages it takes are not installed.
    """
    # Each brings packages of its own, which only who uses it has to have.
    match kind:
        case DetectorKind.SILERO:
            from stt_module.silero import SileroDetector  # noqa: PLC0415  # see above

            return SileroDetector()
        case DetectorKind.WEBRTC:
            from stt_module.webrtc import WebrtcDetector  # noqa: PLC0415  # see above

            return WebrtcDetector()
        case DetectorKind.ENERGY:
            from stt_module.energy import EnergyDetector  # noqa: PLC0415  # see above

            return EnergyDetector()
