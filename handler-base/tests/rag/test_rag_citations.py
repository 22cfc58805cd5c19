"""Citation markers: the valid are told, the others taken out, streamed or not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.rag import CitationFilter, citations


@pytest.mark.parametrize(
    ("answer", "text", "numbers"),
    [
        ("The lamp is lit at dusk [1].", "The lamp is lit at dusk [1].", (1,)),
        ("Honey[3][1] and ferries [2, 3].", "Honey[3][1] and ferries [2][3].", (3, 1, 2)),
        ("Logs [9]. More [4].", "Logs. More.", ()),
        ("Both [1, 9].", "Both [1].", (1,)),
        (
            "A range [1-3] and one that is too long [2\u20139].",
            "A range [1][2][3] and one that is too long [2][3].",
            (1, 2, 3),
        ),
        ("Zero [0] and backwards [3-1].", "Zero and backwards.", ()),
        ("Code `a[7]` and ``b`[8]`` [2]", "Code `a[7]` and ``b`[8]`` [2]", (2,)),
        ("```\nrow[9]\n\nrow[8]\n``` then [9][1]", "```\nrow[9]\n\nrow[8]\n``` then[1]", (1,)),
        ("A lone ` here\n\nand [9] there [1]", "A lone ` here\n\nand there [1]", (1,)),
        ("A [link](x) and [1](http://example.org)", "A [link](x) and [1](http://example.org)", ()),
        ("[not a number] [] [1", "[not a number] [] [1", ()),
        ("In [2024] nothing happened.", "In [2024] nothing happened.", ()),
        ("", "", ()),
    ],
)
def test_markers(answer: str, text: str, numbers: tuple[int, ...]) -> None:
    cited = citations(answer, 3)

    assert (cited.text, cited.numbers) == (text, numbers)


_PIECES = st.lists(
    st.sampled_from(
        ["[1]", "[9]", "[", "]", "1", "2", ", ", "-", " ", "  ", "\t", "`", "```", "\n", "(", "x", "[2, 7]", "\u2013"]
    ),
    max_size=40,
)


@given(_PIECES, st.data())
def test_a_stream_is_filtered_as_the_whole_is(pieces: list[str], data: st.DataObject) -> None:
    answer = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=12)))
    scanner = CitationFilter(3)

    shown = [scanner.feed(answer[start:end]) for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    text = "".join(shown) + scanner.close()

    whole = citations(answer, 3)
    assert (text, scanner.numbers) == (whole.text, whole.numbers)


def test_text_without_markers_is_shown_at_once() -> None:
    scanner = CitationFilter(1)

    assert [scanner.feed(piece) for piece in ("The", " lamp", " is lit", " [1]", ".")] == [
        "The",
        " lamp",
        " is lit",
        "",
        " [1].",
    ]


def test_a_hostile_answer_takes_linear_time() -> None:
    assert len(citations("[1," * 100_000 + " " * 100_000, 3).text) == 400_000


@pytest.mark.parametrize("repeated", ["`", " ", "\n", "[1", "[", "1,", "`[", "x"])
def test_a_stream_holds_back_no_more_than_a_marker(repeated: str) -> None:
    scanner = CitationFilter(3)

    shown = [scanner.feed(repeated) for _ in range(1000)]

    assert len("".join(shown)) >= 1000 * len(repeated) - 120


def test_a_run_of_backticks_is_counted_across_pieces() -> None:
    scanner = CitationFilter(1)

    shown = [scanner.feed(piece) for piece in ("`", "`", "`", "a[9]", "``", "`", " [9]", "[1]", ".")]

    assert "".join(shown) == "```a[9]```[1]."
    assert scanner.numbers == (1,)


@pytest.mark.parametrize("piece", ["````", "`[", "[1, ", "  ", "word "])
def test_a_stream_takes_linear_time(piece: str) -> None:
    def seconds(pieces: int) -> float:
        scanner = CitationFilter(3)
        began = time.process_time()
        for _ in range(pieces):
            scanner.feed(piece)
        scanner.close()
        return time.process_time() - began

    count = 4_000
    short = min(seconds(count) for _ in range(3))
    long = min(seconds(4 * count) for _ in range(3))

    # Linear is 4, quadratic 16.
    assert long < 9 * short
