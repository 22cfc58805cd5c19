"""Containers that come in piece by piece."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handler_base.errors import FleetError, PayloadTooLargeError, UnsupportedFormatError
from handler_base.testing.waiting import wait_until
from stt_module.live import LiveDecoder

from .sounds import encoded, pitch_of, tone, wav

CONTAINERS = ("webm", "ogg", "mp3")
ENCODED = {**{name: encoded(tone(2.0), name) for name in CONTAINERS}, "wav": wav(tone(2.0, rate=48_000), rate=48_000)}


def live_threads() -> int:
    return sum(thread.name == "live-audio" for thread in threading.enumerate())


async def decoded(pieces: list[bytes]) -> bytes:
    decoder = LiveDecoder()
    try:
        return b"".join([await decoder.feed(piece) for piece in pieces]) + await decoder.end()
    finally:
        decoder.close()


@pytest.mark.parametrize("container", ENCODED)
async def test_a_growing_container_is_decoded(container: str) -> None:
    audio = ENCODED[container]
    samples = await decoded([audio[start : start + 500] for start in range(0, len(audio), 500)])
    assert abs(len(samples) / 32_000 - 2) < 0.1
    assert abs(pitch_of(samples) - 440) < 2


async def test_samples_come_while_it_grows() -> None:
    decoder, audio = LiveDecoder(), encoded(tone(10.0), "webm")
    early = b"".join([await decoder.feed(audio[start : start + 1_000]) for start in range(0, len(audio) // 2, 1_000)])
    assert len(early) > 32_000
    decoder.close()


@settings(max_examples=25, deadline=None)
@example("mp3", [82, 238])
@given(st.sampled_from(sorted(ENCODED)), st.lists(st.integers(0, 10**6), max_size=20))
async def test_how_it_was_cut_changes_nothing(container: str, places: list[int]) -> None:
    audio = ENCODED[container]
    edges = [0, *sorted(place % len(audio) for place in places), len(audio)]
    assert await decoded([audio[start:end] for start, end in pairwise(edges)]) == await decoded([audio])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(ENCODED)), st.integers(0, 10**6), st.binary(min_size=1, max_size=400))
async def test_damaged_audio_is_read_or_a_typed_error(container: str, place: int, wrong: bytes) -> None:
    audio = bytearray(ENCODED[container])
    place %= len(audio)
    audio[place : place + len(wrong)] = wrong
    pieces = [bytes(audio[start : start + 3_000]) for start in range(0, len(audio), 3_000)]
    try:
        samples = await decoded(pieces)
    except FleetError:
        return
    assert len(samples) % 2 == 0


async def test_an_error_is_told_to_whoever_goes_on() -> None:
    decoder = LiveDecoder()
    for audio in (b"PK\x03\x04 no sound in here", ENCODED["ogg"]):
        with pytest.raises(UnsupportedFormatError):
            await decoder.feed(audio)
    with pytest.raises(PayloadTooLargeError):
        await LiveDecoder(most_bytes=10).feed(bytes(11))
    with pytest.raises(PayloadTooLargeError):
        await LiveDecoder(most_bytes=30_000).feed(ENCODED["ogg"])


async def test_no_thread_outlives_its_session() -> None:
    decoders = [LiveDecoder() for _ in range(20)]
    await asyncio.gather(*[decoder.feed(ENCODED["webm"][:2_000]) for decoder in decoders])
    assert live_threads() >= 20
    for decoder in decoders:
        decoder.close()
    await wait_until(lambda: live_threads() == 0)


async def test_what_is_too_short_to_be_known_is_nothing() -> None:
    decoder = LiveDecoder()
    assert await decoder.feed(b"RI") == b""
    assert await decoder.end() == b""
    decoder.close()
