"""The token estimate against a real tokenizer, and cutting by it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.rag import estimate_tokens, truncate_tokens

PROSE = (
    "The keeper of the lighthouse lights the lamp at dusk and writes the weather into the log. When fog comes in, "
    "he rings the bell every thirty seconds, as the harbour rules of 1894 demand. Nobody has counted the rings."
)


@given(st.text())
def test_the_estimate_is_at_most_the_utf8_length(text: str) -> None:
    assert (estimate_tokens(text) > 0) == bool(text)
    assert estimate_tokens(text) <= len(text.encode("utf-8", "surrogatepass"))


@given(st.text(), st.text())
def test_the_estimate_never_falls_when_a_text_grows(text: str, more: str) -> None:
    assert estimate_tokens(text) <= estimate_tokens(text + more)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # Counted with the 30,000-piece vocabulary of BERT.
        (PROSE, 45),
        ("def add(left: int, right: int) -> int:\n    return left + right\n", 19),
    ],
)
def test_the_estimate_is_within_its_bound(text: str, tokens: int) -> None:
    assert 0.7 * tokens <= estimate_tokens(text) <= 1.4 * tokens


def test_a_text_is_cut_between_words() -> None:
    assert truncate_tokens("alpha beta gamma delta", 4) == "alpha beta"
    assert truncate_tokens("alpha", 9) == "alpha"
    assert truncate_tokens("alpha beta", 0) == ""


def test_a_text_without_spaces_is_cut_between_characters() -> None:
    assert truncate_tokens("\u706f\u53f0" * 50, 10) == "\u706f\u53f0\u706f\u53f0\u706f\u53f0\u706f"


@given(st.text(), st.integers(0, 50))
def test_what_is_left_fits_and_is_the_beginning(text: str, limit: int) -> None:
    cut = truncate_tokens(text, limit)

    assert estimate_tokens(cut) <= limit
    assert text.startswith(cut)
