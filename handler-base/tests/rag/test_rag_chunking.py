"""Passages: what they hold, how long they are, where they are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import InvalidRequestError
from handler_base.rag import Chunker, estimate_tokens

_PIECES = st.sampled_from(
    [
        *(
            "# One\n",
            "## Two ##\n",
            "###### Six\n",
            "\n",
            "\n\n",
            "    ",
            "\t\n",
            "- item\n",
            "1. first\n",
            "| a | b |\n",
        ),
        *(
            "```\n",
            "```python\n",
            "~~~\n",
            "x = [1]\n",
            "Dr. A. Smith, e.g. here. ",
            "A sentence. ",
            "Really?! ",
            "no end ",
        ),
        *("\u706f\u53f0\u3002\u706f", "w" * 90, "\u00e9t\u00e9 ", "\U0001f41d", "\r", "\x0b", "\u2028", "tail"),
    ]
)
_TEXTS = st.lists(_PIECES, max_size=60).map("".join)


@given(_TEXTS, st.integers(16, 60), st.integers(0, 7))
def test_passages_cover_the_text_within_the_limit_in_order(text: str, limit: int, overlap: int) -> None:
    passages = Chunker(max_tokens=limit, overlap_tokens=overlap).split(text)

    covered = 0
    for passage in passages:
        assert passage.text == text[passage.start : passage.end]
        assert passage.text == passage.text.strip() != ""
        assert estimate_tokens(passage.text) <= limit
        assert not text[covered : passage.start].strip(), "nothing lies between two passages"
        assert passage.end > covered, "every passage brings something new"
        covered = passage.end
    assert not text[covered:].strip()
    assert [passage.start for passage in passages] == sorted({passage.start for passage in passages})


@given(_TEXTS)
def test_without_overlap_nothing_comes_twice(text: str) -> None:
    passages = Chunker(max_tokens=20, overlap_tokens=0).split(text)

    assert "".join("".join(passage.text.split()) for passage in passages) == "".join(text.split())


def test_a_heading_begins_a_passage_and_names_what_follows() -> None:
    text = "# Island\n\nIntro.\n\n## Ferry\n\nIt crosses twice.\n\n## Bees\n\nThey make honey.\n"

    passages = Chunker().split(text)

    assert [passage.text for passage in passages] == [
        "# Island\n\nIntro.",
        "## Ferry\n\nIt crosses twice.",
        "## Bees\n\nThey make honey.",
    ]
    assert [passage.headings for passage in passages] == [("Island",), ("Island", "Ferry"), ("Island", "Bees")]


def test_a_later_passage_of_a_section_tells_its_headings() -> None:
    sentences = " ".join(f"This is sentence number {number} of the section." for number in range(12))

    passages = Chunker(max_tokens=60, overlap_tokens=0).split(f"# Island\n\n## Ferry\n\n{sentences}")

    assert len(passages) > 2
    assert passages[0].with_headings.startswith("# Island\n\n## Ferry\n\nThis is sentence number 0")
    assert passages[1].with_headings == f"Island > Ferry\n\n{passages[1].text}"


def test_neighbours_overlap_by_whole_sentences() -> None:
    text = " ".join(f"Sentence {number} is here." for number in range(20))

    passages = Chunker(max_tokens=40, overlap_tokens=10).split(text)

    for before, after in itertools.pairwise(passages):
        assert after.start < before.end
        assert after.text.startswith("Sentence ")
        assert estimate_tokens(text[after.start : before.end]) <= 10


def test_sentences_are_not_cut_at_abbreviations() -> None:
    text = "Ask Dr. Smith, e.g. on Mondays. The value is 3.14 or so. See No. 7 for J. Doe. Then go."

    passages = Chunker(max_tokens=16, overlap_tokens=0).split(text)

    assert [passage.text for passage in passages] == [
        "Ask Dr. Smith, e.g. on Mondays. The value is 3.14 or so.",
        "See No. 7 for J. Doe. Then go.",
    ]


def test_headings_inside_code_are_code() -> None:
    text = "# Setup\n\n```sh\n# not a heading\nmake run\n```\n"

    (passage,) = Chunker().split(text)

    assert passage.headings == ("Setup",)


def test_a_long_paragraph_of_abbreviations_takes_linear_time() -> None:
    assert Chunker(max_tokens=100).split("A. " * 60_000)


@pytest.mark.parametrize("text", ["", " \n\t\n", "\u2003"])
def test_nothing_makes_no_passages(text: str) -> None:
    assert Chunker().split(text) == []


@pytest.mark.parametrize(("limit", "overlap"), [(15, 0), (100, 50), (100, -1)])
def test_senseless_sizes_are_refused(limit: int, overlap: int) -> None:
    with pytest.raises(InvalidRequestError):
        Chunker(max_tokens=limit, overlap_tokens=overlap)
