"""Pieces of text to be spoken: where they end, and that they are the same however the text was cut."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import InvalidRequestError
from handler_base.speech import ClauseSplitter, split_sentences

WORDS = (
    'The lamp Dr. St. e.g. No. 5 U.S. etc. J. a . .. ... \u2026 ! ? ?! " ( ) \u201c \u201d \u300c \u300d \u3002 \uff01 '
    "\uff0c \u2014 - \u2013 , ; : 3.14 https://x.org/a.b?c Then then word averyveryverylongwordwithoutanyblankinit "
    "\u00e9 e\u0301 \u200d \u4e2d\u6587"
)
PARTS = st.sampled_from([*WORDS.split(" "), " ", "  ", "\n", "\n\n", "\t"])
TEXTS = st.lists(PARTS | st.just(" "), max_size=60).map("".join) | st.text(max_size=200)
LENGTHS = st.integers(5, 80).flatmap(
    lambda most: st.tuples(st.integers(0, most), st.integers(1, most), st.just(most)),
)


def pieces_of(text: str, cuts: list[int], lengths: tuple[int, int, int]) -> list[str]:
    splitter = ClauseSplitter(*lengths)
    ends = sorted(cut % (len(text) + 1) for cut in cuts)
    pieces = []
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        pieces += splitter.feed(text[start:end])
    return pieces + splitter.close()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \n ", []),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Smith met J. R. R. Tolkien. They spoke.", ["Dr. Smith met J. R. R. Tolkien.", "They spoke."]),
        ("It is 3.14 km, e.g. by foot, approx. an hour.", ["It is 3.14 km, e.g. by foot, approx. an hour."]),
        ("The U.S. Army left the U.S. They stayed.", ["The U.S. Army left the U.S.", "They stayed."]),
        ("No. 5 is alive. No. It is not.", ["No. 5 is alive.", "No.", "It is not."]),
        ("Apples, pears, etc. They are ripe.", ["Apples, pears, etc.", "They are ripe."]),
        ("At 9 a.m. we left, at 5 p.m. We slept.", ["At 9 a.m. we left, at 5 p.m.", "We slept."]),
        ("Take vitamin C. The end.", ["Take vitamin C.", "The end."]),
        ("See https://x.org/a.b?c=d! It is there.", ["See https://x.org/a.b?c=d!", "It is there."]),
        ("Well... maybe. Wait... What?", ["Well... maybe.", "Wait...", "What?"]),
        ('"I am here. You are there." He left.', ['"I am here. You are there."', "He left."]),
        ("\u201cReally?\u201d he said. Yes.", ["\u201cReally?\u201d he said.", "Yes."]),
        ("He left (to be safe. And sound). Then?", ["He left (to be safe. And sound).", "Then?"]),
        ("milk\neggs\n1. First. Then\n2. Second", ["milk", "eggs", "1. First.", "Then", "2. Second"]),
        (
            "A line that was wrapped at some eighty characters goes\non in the next one.",
            ["A line that was wrapped at some eighty characters goes\non in the next one."],
        ),
        ("Das ist z. B. so, usw. Dann nicht.", ["Das ist z. B. so, usw.", "Dann nicht."]),
        (
            "\u4eca\u65e5\u306f\u3044\u3044\u3002\u6563\u6b69\uff01\u300c\u306f\u3044\u3002\u300d\u3068",
            ["\u4eca\u65e5\u306f\u3044\u3044\u3002", "\u6563\u6b69\uff01", "\u300c\u306f\u3044\u3002\u300d", "\u3068"],
        ),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text, 240) == sentences


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("The lamp is lit at dusk, and then it burns.", "The lamp is lit at dusk,"),
        ("Yes, the lamp is lit at dusk, and it burns.", "Yes, the lamp is lit at dusk,"),
        ("There are three ways: by bus, by foot.", "There are three ways:"),
        ("The lamp \u2013 an old one \u2013 is lit.", "The lamp \u2013"),
        ("The lamp\u2014an old one\u2014is lit.", "The lamp\u2014"),
        ("It costs 1,234.50 now, not more.", "It costs 1,234.50 now,"),
        ("A well-known half-life (short, it is) ends.", "A well-known half-life (short, it is) ends."),
        (
            "\u4eca\u65e5\u306f\u5929\u6c17\u304c\u3068\u3066\u3082\uff0c\u6563\u6b69\u3002",
            "\u4eca\u65e5\u306f\u5929\u6c17\u304c\u3068\u3066\u3082\uff0c",
        ),
    ],
)
def test_the_first_piece_may_be_a_clause(text: str, first: str) -> None:
    assert pieces_of(text, [], (9, 40, 240))[0] == first


def test_the_first_clause_comes_before_the_sentence_ends() -> None:
    splitter = ClauseSplitter(20, 40, 240)
    assert splitter.feed("The lamp is lit at dusk,") == []
    assert splitter.feed(" and") == ["The lamp is lit at dusk,"]
    assert splitter.feed(" it burns all night, until the morning comes again.") == []
    assert splitter.feed(" Then") == ["and it burns all night, until the morning comes again."]
    assert splitter.close() == ["Then"]


def test_short_sentences_stay_together() -> None:
    assert split_sentences("Yes. No. It is so. A longer sentence follows here.", 240, 15) == [
        "Yes. No. It is so.",
        "A longer sentence follows here.",
    ]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a sentence with a clause, that is far too long", ["a sentence with a clause,", "that is far too long"]),
        ("a sentence without any mark that is too long", ["a sentence without any mark", "that is too long"]),
        ("x" * 70, ["x" * 30, "x" * 30, "x" * 10]),
        ("So (it is. Really so, and so on it goes.", ["So (it is. Really so,", "and so on it goes."]),
    ],
)
def test_what_is_too_long_is_cut_at_the_best_place(text: str, pieces: list[str]) -> None:
    assert split_sentences(text, 30) == pieces


def test_a_quote_that_never_closes_does_not_hold_up_speech() -> None:
    text = 'It is 5" long. ' + "A sentence is here. " * 20
    assert len(split_sentences(text, 1000)) > 10
    assert len(split_sentences('An "open quote. ' + "A sentence is here. " * 20, 1000)) > 10


@given(TEXTS, st.lists(st.integers(0, 500), max_size=20), LENGTHS)
def test_pieces_are_the_same_however_the_text_is_cut(text: str, cuts: list[int], lengths: tuple[int, int, int]) -> None:
    assert pieces_of(text, cuts, lengths) == pieces_of(text, [], lengths)


@given(TEXTS, LENGTHS)
def test_pieces_are_the_same_letter_by_letter(text: str, lengths: tuple[int, int, int]) -> None:
    assert pieces_of(text, list(range(len(text))), lengths) == pieces_of(text, [], lengths)


@given(TEXTS, LENGTHS)
def test_nothing_is_lost_and_no_piece_is_too_long(text: str, lengths: tuple[int, int, int]) -> None:
    pieces = pieces_of(text, [], lengths)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(piece) <= lengths[2] for piece in pieces)
    assert all(piece == piece.strip() for piece in pieces)


@pytest.mark.parametrize("lengths", [(0, 0, 10), (0, 11, 10), (11, 5, 10), (-1, 5, 10)])
def test_lengths_that_do_not_go_together_are_refused(lengths: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidRequestError):
        ClauseSplitter(*lengths)


@pytest.mark.parametrize("mark", ["a", " ", ". ", ".", "\n", '"', "(", "Dr. ", "\u3002", ", ", "- ", "word ", "\u2014"])
def test_a_stream_costs_in_proportion(mark: str) -> None:
    def cost(size: int, piece: int) -> float:
        text = mark * (size // len(mark))
        splitter = ClauseSplitter()
        began = time.thread_time()
        for start in range(0, len(text), piece):
            splitter.feed(text[start : start + piece])
        splitter.close()
        return time.thread_time() - began

    for piece in (7, 1_000_000):
        short = min(cost(16_000, piece) for _ in range(3))
        long = min(cost(64_000, piece) for _ in range(3))
        # Linear is 4, quadratic 16; below some milliseconds the clock tells nothing.
        assert long < 9 * short + 0.005
