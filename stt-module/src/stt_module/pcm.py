"""Raw samples of any layout to the one this service works with."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from handler_base.errors import InvalidRequestError, UnsupportedFormatError
from stt_module.windows import RATE

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler

__all__ = ["PcmFormat", "PcmReader", "decoder_installed"]

_RATES: Final = (4_000, 192_000)
_MOST_CHANNELS: Final = 8
_BLOCKS_A_SECOND: Final = 50
Samples = npt.NDArray[np.int16]


def decoder_installed() -> bool:
    """Whether PyAV is there, which resamples and opens containers."""
    return importlib.util.find_spec("av") is not None


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """How raw samples are laid out."""

    rate: int = RATE
    channels: int = 1
    bits: int = 16
    """Of a sample: 16, 24 or 32 signed, 8 unsigned; little endian."""
    floats: bool = False
    """The samples are 32-bit floats from -1 to 1."""

    def __post_init__(self) -> None:
        """Refuse what is no sound."""
        if not _RATES[0] <= self.rate <= _RATES[1]:
            raise InvalidRequestError(f"The sample rate must be {_RATES[0]} to {_RATES[1]}.")
        if not 1 <= self.channels <= _MOST_CHANNELS:
            raise InvalidRequestError(f"There can be 1 to {_MOST_CHANNELS} channels.")
        if self.bits not in {8, 16, 24, 32} or (self.floats and self.bits != 32):
            raise UnsupportedFormatError("Samples must have 8, 16, 24 or 32 bits.")

    @property
    def frame_bytes(self) -> int:
        """Size of one sample of every channel."""
        return self.channels * self.bits // 8

    @property
    def ready(self) -> bool:
        """Whether nothing has to be done to it."""
        return (self.rate, self.channels, self.bits, self.floats) == (RATE, 1, 16, False)


class PcmReader:
    """Turns a stream of raw samples into 16 kHz mono, however it was cut.

    Args:
        layout: How the samples come in.

    Raises:
        UnsupportedFormatError: It takes PyAV to change their rate, which is not installed.
    """

    __slots__ = ("_block", "_layout", "_resampler", "_rest")

    def __init__(self, layout: PcmFormat) -> None:
        self._layout = layout
        self._rest = b""
        self._resampler: _Resampler | None = None
        # Samples are handed on in blocks of one length: what comes out then does not depend on how they came in.
        self._block = layout.frame_bytes
        if layout.rate != RATE:
            self._resampler = _Resampler(layout.rate)
            self._block *= max(1, layout.rate // _BLOCKS_A_SECOND)

    def feed(self, audio: bytes) -> bytes:
        """Take samples in and give those that are ready."""
        if self._layout.ready:
            return audio
        held = self._rest + audio if self._rest else audio
        whole = len(held) - len(held) % self._block
        self._rest = held[whole:]
        samples = _mono(held[:whole], self._layout)
        if self._resampler is None:
            return samples.tobytes()
        length = self._block // self._layout.frame_bytes
        blocks = [samples[start : start + length] for start in range(0, len(samples), length)]
        return b"".join([self._resampler.feed(block) for block in blocks])

    def flush(self) -> bytes:
        """What is left at the end; a frame that is not whole is dropped."""
        rest, self._rest = self._rest, b""
        samples = _mono(rest[: len(rest) - len(rest) % self._layout.frame_bytes], self._layout)
        if self._resampler is None:
            return samples.tobytes()
        return self._resampler.feed(samples) + self._resampler.flush()


def _mono(audio: bytes, layout: PcmFormat) -> Samples:
    """One channel of 16 bits out of any."""
    if layout.bits == 16 and layout.channels == 1:
        return np.frombuffer(audio, "<i2")
    samples = _wide(audio, layout)
    mixed = samples.reshape(-1, layout.channels).mean(axis=1)
    samples16: Samples = np.clip(np.rint(mixed), -32768, 32767).astype("<i2")
    return samples16


def _wide(audio: bytes, layout: PcmFormat) -> npt.NDArray[Any]:
    """Samples as numbers on the scale of 16 bits."""
    if layout.floats:
        return np.nan_to_num(np.frombuffer(audio, "<f4").astype(np.float64), posinf=1, neginf=-1) * 32767
    match layout.bits:
        case 8:
            return (np.frombuffer(audio, "u1").astype(np.float64) - 128) * 256
        case 16:
            return np.frombuffer(audio, "<i2").astype(np.float64)
        case 24:
            octets = np.frombuffer(audio, "u1").reshape(-1, 3)
            # The low byte is below what 16 bits can tell.
            return np.ascontiguousarray(octets[:, 1:]).view("<i2").reshape(-1).astype(np.float64)
        case _:
            return np.frombuffer(audio, "<i4").astype(np.float64) / 65536


class _Resampler:
    """PyAV's resampler for a mono stream."""

    __slots__ = ("_frame", "_rate", "_resampler")

    def __init__(self, rate: int) -> None:
        if not decoder_installed():
            raise UnsupportedFormatError("Audio must have 16,000 samples a second.")
        # Raw 16 kHz audio needs none of PyAV's 40 MB.
        from av.audio.frame import AudioFrame  # noqa: PLC0415  # see above
        from av.audio.resampler import AudioResampler  # noqa: PLC0415  # see above

        self._rate = rate
        self._frame: type[AudioFrame] = AudioFrame
        self._resampler: AudioResampler = AudioResampler(format="s16", layout="mono", rate=RATE)

    def feed(self, samples: Samples) -> bytes:
        if not len(samples):
            return b""
        frame = self._frame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self._rate
        return _joined(self._resampler.resample(frame))

    def flush(self) -> bytes:
        return _joined(self._resampler.resample(None))


def _joined(frames: list[AudioFrame]) -> bytes:
    return b"".join([frame.to_ndarray().tobytes() for frame in frames])
