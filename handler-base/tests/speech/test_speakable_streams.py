"""Speakable text as it comes: the same however it is cut, soon, and at a cost in proportion to its length."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handler_base.speech import SpeakableText, speakable
from handler_base.speech.speakable import MOST_HELD

WORDS = (
    "the lamp Dr. St. e.g. No. 5 12 2026 1,234.5 $5.20 km/h km % November 20 555-1234 (555) 123-4567 0800 123 a.m. "
    "U.S. The etc. ** * _ ` ``` ~~~ ~~ [ ] ( ) [1] ](http://x.org/a ](x) ![ ! http:// https://ex.org/a. www. : :// "
    '- * 1. 2. # ## > ||---| <b> </b> <br> < &amp; & \\ \\* \\( \u2014 \u2013 ... ? . , " snake_case +1 = 14:30 '
    "2026-11-20 [^1] [x] [a]:http://q.org <a\thref='x'> 1/2 \u00bd m\u00b2 { \u30104\u2020s\u3011 $ million C# | "
    "\u00e9 \U0001f389 \U0001f469\u200d\U0001f469 \u200d \u4e2d\u6587"
)
PARTS = st.sampled_from([*WORDS.split(" "), " ", "  ", "\n", "\n\n", "\u00a0", "\t"])
ANSWERS = st.lists(PARTS | st.just(" "), max_size=30).map("".join)
LANGUAGES = st.sampled_from(["en", "de"])


def said_in_pieces(text: str, cuts: list[int], language: str) -> str:
    stream = SpeakableText(language)
    ends = sorted(cut % (len(text) + 1) for cut in cuts)
    said = [stream.feed(text[start:end]) for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    return "".join(said) + stream.close()


@given(ANSWERS, st.lists(st.integers(0, 500), max_size=20), LANGUAGES)
@example("a" * 75 + "-etc. 5", [80], "en")
@example("<\u00b2 * ://0800## ", [1, 2, 5], "en")
@example("U.S.456<!\nw/o 2026> ** ", [9, 10], "en")
def test_an_answer_is_said_the_same_however_it_is_cut(text: str, cuts: list[int], language: str) -> None:
    assert said_in_pieces(text, cuts, language) == speakable(text, language)


@given(ANSWERS | st.text(max_size=200), LANGUAGES)
def test_an_answer_is_said_the_same_letter_by_letter(text: str, language: str) -> None:
    assert said_in_pieces(text, list(range(len(text))), language) == speakable(text, language)


@given(st.lists(st.text("ab-.,1 \n", max_size=100), max_size=8))
def test_words_of_any_length_are_said_the_same(pieces: list[str]) -> None:
    stream = SpeakableText()
    said = "".join(stream.feed(piece) for piece in pieces) + stream.close()
    assert said == speakable("".join(pieces))


def test_words_are_said_as_soon_as_the_next_begins() -> None:
    stream = SpeakableText()
    said = [stream.feed(piece) for piece in ("The", " **lamp**", " is", " 3", " km", " away", ",", " and", " on")]
    assert said == ["", "The ", "lamp ", "is ", "", "three kilometers ", "", "away, ", "and "]
    assert stream.feed(".") + stream.close() == "on."


@pytest.mark.parametrize(
    "repeated",
    [
        "a",
        "*",
        "`",
        "[1, ",
        "[a ",
        "](",
        "](a b",
        "<a ",
        "<",
        "&a",
        "\\",
        "- ",
        "1",
        "5 ",
        "555 ",
        "St. ",
        "http://",
        " ",
        "\n",
    ],
)
@pytest.mark.parametrize("language", ["en", "de"])
def test_a_stream_holds_back_little(repeated: str, language: str) -> None:
    stream = SpeakableText(language)
    most = 0
    for _ in range(1000):
        stream.feed(repeated)
        most = max(most, stream.held)
    assert most <= MOST_HELD


@given(ANSWERS)
def test_no_answer_makes_it_hold_back_much(text: str) -> None:
    stream = SpeakableText()
    for _ in range(5):
        stream.feed(text)
        assert stream.held <= MOST_HELD


MARKS = (
    "*a !**a !_a !-!- !|-![a![[![1 ![1,!](![a](!\n ! !`a!> !http://!<a !<!&a!\\!1. !5 !$!"
    '"!(!a.b@!\u4e2d!\U0001f389!```!x<y!555 !St. !...!a_b!](x !http://a.!# !\u00a0!{!\u3010!|'
)
HOSTILE = [*MARKS.split("!"), "![", "!"]


@pytest.mark.parametrize("mark", HOSTILE)
def test_a_mark_repeated_costs_in_proportion(mark: str) -> None:
    def cost(size: int) -> float:
        text = mark * (size // len(mark)) + "x"
        began = time.thread_time()
        speakable(text)
        return time.thread_time() - began

    short = min(cost(16_000) for _ in range(3))
    long = min(cost(64_000) for _ in range(3))

    # Linear is 4, quadratic 16; below some milliseconds the clock tells nothing.
    assert long < 9 * short + 0.005


@pytest.mark.parametrize("piece", ["*a", "[1,", "](a", "<a ", "word ", "5 ", "http://a", "x"])
def test_a_stream_costs_in_proportion(piece: str) -> None:
    def cost(pieces: int) -> float:
        stream = SpeakableText()
        began = time.thread_time()
        for _ in range(pieces):
            stream.feed(piece)
        stream.close()
        return time.thread_time() - began

    short = min(cost(2_000) for _ in range(3))
    long = min(cost(8_000) for _ in range(3))

    assert long < 9 * short + 0.005
