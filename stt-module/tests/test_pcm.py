"""Raw samples of other layouts, and that only their values matter."""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import FleetError, InvalidRequestError, UnsupportedFormatError
from stt_module.pcm import PcmFormat, PcmReader

LAYOUTS = st.builds(
    PcmFormat,
    rate=st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]),
    channels=st.integers(1, 3),
    bits=st.sampled_from([8, 16, 24, 32]),
)


def read(layout: PcmFormat, *pieces: bytes) -> bytes:
    reader = PcmReader(layout)
    return b"".join([reader.feed(piece) for piece in pieces]) + reader.flush()


def tone(rate: int, seconds: float = 1.0, pitch: float = 440.0) -> bytes:
    at = np.arange(int(rate * seconds)) / rate
    return (np.sin(2 * np.pi * pitch * at) * 10_000).astype("<i2").tobytes()


def test_16_khz_mono_passes_untouched() -> None:
    assert PcmReader(PcmFormat()).feed(b"\x01\x02\x03") == b"\x01\x02\x03"


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_another_rate_becomes_16_khz(rate: int) -> None:
    samples = np.frombuffer(read(PcmFormat(rate=rate), tone(rate)), "<i2")
    assert abs(len(samples) - 16_000) <= 32
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(int(spectrum.argmax()) * 16_000 / len(samples) - 440) < 2


@pytest.mark.parametrize(
    ("layout", "audio"),
    [
        (PcmFormat(bits=8), bytes([128, 192, 0])),
        (PcmFormat(bits=24), b"\xff\x00\x00" + b"\x00\x00\x40" + b"\x00\x00\x80"),
        (PcmFormat(bits=32), struct.pack("<3i", 0, 1 << 30, -(1 << 31))),
        (PcmFormat(channels=2), struct.pack("<6h", 5, -5, 16_384, 16_384, -32_768, -32_768)),
    ],
)
def test_samples_of_other_sizes_keep_their_values(layout: PcmFormat, audio: bytes) -> None:
    assert struct.unpack("<3h", read(layout, audio)) == (0, 16_384, -32_768)


def test_floats_are_clipped_and_nonsense_is_silence() -> None:
    audio = struct.pack("<4f", 0.5, 3.0, float("nan"), float("-inf"))
    assert struct.unpack("<4h", read(PcmFormat(bits=32, floats=True), audio)) == (16_384, 32_767, 0, -32_767)


@given(LAYOUTS, st.binary(max_size=12_000), st.lists(st.integers(0, 12_000), max_size=8))
def test_how_it_was_cut_changes_nothing(layout: PcmFormat, audio: bytes, places: list[int]) -> None:
    edges = sorted([0, *(min(place, len(audio)) for place in places), len(audio)])
    pieces = [audio[start:end] for start, end in pairwise(edges)]
    assert read(layout, *pieces) == read(layout, audio)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"rate": 0}, InvalidRequestError),
        ({"rate": 10**6}, InvalidRequestError),
        ({"channels": 0}, InvalidRequestError),
        ({"channels": 99}, InvalidRequestError),
        ({"bits": 12}, UnsupportedFormatError),
        ({"floats": True}, UnsupportedFormatError),
    ],
)
def test_what_is_no_sound_is_refused(wrong: dict[str, int], error: type[FleetError]) -> None:
    with pytest.raises(error):
        PcmFormat(**wrong)  # type: ignore[arg-type]  # that is the point
