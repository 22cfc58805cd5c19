"""The forward pass: what is known of all-MiniLM-L6-v2 must hold for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deploy.local.inference import weights
from deploy.local.inference.encoder import DIMENSION, MAX_TOKENS, SentenceEncoder
from deploy.local.inference.weights import map_tensors, model_directory

SENTENCES = ["That is a happy person", "That is a very happy person", "That is a happy dog", "Today is a sunny day"]


def test_a_vector_has_384_dimensions_and_length_one(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(SENTENCES)

    assert vectors.shape == (4, DIMENSION)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_the_cosines_are_those_the_model_is_published_with(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(SENTENCES)

    np.testing.assert_allclose(vectors[1:] @ vectors[0], [0.943, 0.695, 0.257], atol=0.005)


def test_the_same_text_has_cosine_one(encoder: SentenceEncoder) -> None:
    first, second = encoder.encode(["The ferry sails at noon."] * 2)

    assert float(first @ second) == pytest.approx(1, abs=1e-6)


def test_a_paraphrase_is_nearer_than_something_else(encoder: SentenceEncoder) -> None:
    question, paraphrase, other = encoder.encode(
        ["How deep is the well?", "What depth does the water shaft have?", "The baker sells rolls on Sundays."]
    )

    assert question @ paraphrase > question @ other + 0.3


def test_a_text_has_the_same_vector_alone_and_in_a_batch(encoder: SentenceEncoder) -> None:
    texts = ["short", "a somewhat longer text about boats " * 12, "numbers 12, 14 and 16", "ünïcödé \U0001f41d"]

    batch = encoder.encode(texts)

    for text, vector in zip(texts, batch, strict=True):
        np.testing.assert_allclose(encoder.encode([text])[0], vector, atol=1e-5)


def test_a_long_text_is_cut_at_the_last_token_that_fits(encoder: SentenceEncoder) -> None:
    words = [f"word{number % 10}" for number in range(900)]
    (ids,) = encoder.tokenize([" ".join(words)])

    assert len(ids) == MAX_TOKENS
    assert ids[-1] == encoder.tokenize(["x"])[0][-1], "the end marker is kept"
    same, cut = encoder.encode([" ".join(words[:300]), " ".join(words[:300] + ["lighthouse"] * 600)])
    np.testing.assert_allclose(same, cut, atol=1e-6)


def test_the_bound_can_be_raised_to_the_512_positions_of_the_model() -> None:
    wide = SentenceEncoder(max_tokens=4096)
    early, late = wide.encode(["sea " * 300, "sea " * 300 + "lighthouse " * 100])

    assert wide.max_tokens == 512
    assert [len(ids) for ids in wide.tokenize(["sea " * 2000])] == [512]
    assert float(early @ late) < 0.99, "words past the 256th count"


def test_no_text_gives_no_vector(encoder: SentenceEncoder) -> None:
    assert encoder.encode([]).shape == (0, DIMENSION)


def test_the_word_embeddings_stay_on_disk_and_cannot_be_written() -> None:
    words = map_tensors(model_directory() / "model.safetensors")["embeddings.word_embeddings.weight"]

    assert words.shape == (30522, DIMENSION)
    with pytest.raises(ValueError, match="read-only"):
        words[0, 0] = 1


def test_missing_weights_are_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_PACKAGE", "a_package_that_is_not_there")

    with pytest.raises(FileNotFoundError, match="make install"):
        model_directory()


def test_a_directory_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SentenceEncoder(tmp_path)
