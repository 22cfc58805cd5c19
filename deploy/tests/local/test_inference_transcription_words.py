"""What the recogniser learns from documents, and where it cuts recordings."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.inference.transcription_words import Words, pronounce_by_flite, read_words

pytest.importorskip("pocketsphinx", reason="pocketsphinx cannot be had here")

from deploy.local.inference.transcription_decoder import Decoder, dictionary, regions

RATE = 16_000
KNOWN = frozenset(["the", "pump", "draws", "forty", "six", "litres", "a", "minute", "it's", "old"])
PIECES = st.lists(st.tuples(st.booleans(), st.floats(0.02, 6.0)), max_size=12)


def _learn(folder: Path, text: str, known: frozenset[str] = KNOWN) -> Words | None:
    (folder / "a.md").write_text(text, "utf-8")
    return read_words(folder, known, lambda word: "T AA L IY" if word == "tolley" else "")


def test_sentences_are_spelled_out_and_new_words_get_sounds(tmp_path: Path) -> None:
    words = _learn(tmp_path, "# Tolley\n\nThe Tolley pump draws 46 litres a minute. It\u2019s qwrtz **old**.\n")

    assert words is not None
    assert words.sounds == {"tolley": "T AA L IY"}
    assert "forty six litres" in words.model
    assert "it's old" in words.model
    assert "qwrtz" not in words.model


@pytest.mark.parametrize("text", ["", "## \n", "qwrtz", "1234567890" * 50 + "\n|-|-|"])
def test_a_folder_with_nothing_to_learn(tmp_path: Path, text: str) -> None:
    assert _learn(tmp_path, text, frozenset()) is None
    assert read_words(tmp_path / "nowhere", KNOWN, lambda _: "") is None


def test_flite_pronounces_in_sounds_the_recogniser_knows() -> None:
    sounds = pronounce_by_flite("kessock")
    if not sounds:
        pytest.skip("flite cannot be had here")

    assert sounds == "K EH S AH K"
    assert {"pump", "library"} <= dictionary()


def test_a_sound_nobody_knows_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("The pump draws qwrtz.", "utf-8")
    words = read_words(tmp_path, KNOWN, lambda _: "QQ XX")
    decoder = Decoder(words)
    noise = np.random.default_rng(1).normal(0, 100, RATE).astype("<i2").tobytes()
    try:
        assert "qwrtz" not in decoder.hear(noise)
    finally:
        decoder.close()


@settings(max_examples=40, deadline=None)
@given(PIECES, st.integers(0, 2**32 - 1))
def test_pieces_are_in_order_do_not_overlap_and_are_not_too_long(pieces: list[tuple[bool, float]], seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [random.normal(0, 6000 if loud else 3, int(seconds * RATE)) for loud, seconds in pieces]
    samples = np.concatenate([np.zeros(0), *parts]).clip(-32_768, 32_767).astype("<i2").tobytes()
    found = list(regions(samples))

    assert all(begin % 2 == end % 2 == 0 for begin, end in found)
    assert all(0 <= begin < end <= len(samples) for begin, end in found)
    assert all(before <= after for (_, before), (after, _) in itertools.pairwise(found))
    assert all(end - begin <= 17 * 2 * RATE for begin, end in found)


def test_a_long_piece_is_cut_where_it_is_quietest() -> None:
    random = np.random.default_rng(3)
    noise = random.normal(0, 6000, 20 * RATE)
    noise[int(11.95 * RATE) : int(12.05 * RATE)] *= 0.3
    samples = noise.clip(-32_768, 32_767).astype("<i2").tobytes()

    assert [round(begin / 2 / RATE, 1) for begin, _ in regions(samples)] == [0.0, 12.0]
