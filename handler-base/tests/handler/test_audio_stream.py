"""However the sound arrives, the chunks hold all of it, in order, each of the right length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.clients.audio import SpeechChunk
from handler_base.handler.audio_stream import Chunk, Chunker

RATES = st.sampled_from([8_000, 16_000, 22_050, 24_000, 48_000])


def cut(sizes: list[int], rate: int, channels: int, longest: float) -> list[Chunk]:
    chunker = Chunker(longest)
    chunks: list[Chunk] = []
    for number, size in enumerate(sizes):
        chunks += chunker.feed(SpeechChunk(bytes([number % 256]) * (size * 2 * channels), rate, channels))
    return [*chunks, chunker.close()]


@given(
    sizes=st.lists(st.integers(1, 30_000), min_size=1, max_size=12),
    rate=RATES,
    channels=st.sampled_from([1, 2]),
    longest=st.sampled_from([0.02, 0.04, 0.1]),
)
def test_all_of_it_in_order_and_of_the_right_length(sizes: list[int], rate: int, channels: int, longest: float) -> None:
    chunks = cut(sizes, rate, channels, longest)
    whole = b"".join(bytes([number % 256]) * (size * 2 * channels) for number, size in enumerate(sizes))
    assert b"".join(chunk.audio for chunk in chunks) == whole
    frame = 2 * channels
    shortest = int(rate * 0.02) * frame
    assert all(len(chunk.audio) % frame == 0 and chunk.audio for chunk in chunks)
    assert all(shortest <= len(chunk.audio) <= int(rate * longest) * frame for chunk in chunks[:-1])
    assert len(chunks[-1].audio) < 2 * shortest
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


@given(sizes=st.lists(st.integers(1, 5_000), min_size=2, max_size=6), rates=st.lists(RATES, min_size=2, max_size=6))
def test_no_chunk_mixes_rates(sizes: list[int], rates: list[int]) -> None:
    chunker = Chunker(0.1)
    sent: dict[int, int] = {}
    chunks: list[Chunk] = []
    for size, rate in zip(sizes, rates, strict=False):
        sent[rate] = sent.get(rate, 0) + size * 2
        chunks += chunker.feed(SpeechChunk(b"\0" * (size * 2), rate))
    chunks.append(chunker.close())
    for rate, size in sent.items():
        assert sum(len(chunk.audio) for chunk in chunks if chunk.sample_rate == rate) == size


@pytest.mark.parametrize(("samples", "seconds"), [(24_000, 1.0), (480, 0.02)])
def test_how_long_a_chunk_plays(samples: int, seconds: float) -> None:
    assert Chunk(b"\0" * (samples * 2), 24_000, 1).seconds == seconds
