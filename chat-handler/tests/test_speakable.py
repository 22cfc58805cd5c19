"""What of an answer is said aloud."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_handler.speech import speakable

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)
SENTENCES = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
MARKED = st.one_of(
    SENTENCES,
    SENTENCES.map(lambda text: f"**{text}**"),
    SENTENCES.map(lambda text: f"*{text}*"),
    SENTENCES.map(lambda text: f"__{text}__"),
    SENTENCES.map(lambda text: f"`{text}`"),
    SENTENCES.map(lambda text: f"~~{text}~~"),
    SENTENCES.map(lambda text: f"[{text}](https://example.org/{text.replace(' ', '-')})"),
    SENTENCES.map(lambda text: f"![{text}](image-{text.replace(' ', '-')}.png)"),
    SENTENCES.map(lambda text: f"{text} [1][2]"),
)
LINES = st.one_of(
    MARKED,
    MARKED.map(lambda text: f"- {text}"),
    MARKED.map(lambda text: f"## {text}"),
    MARKED.map(lambda text: f"> {text}"),
    MARKED.map(lambda text: f"1. {text}"),
    SENTENCES.map(lambda text: f"```\n{text.upper()}\n```"),
    st.just("---"),
)
DOCUMENTS = st.lists(LINES, min_size=1, max_size=8).map("\n\n".join)


@pytest.mark.parametrize(
    ("markdown", "words"),
    [
        ("", ""),
        ("plain words", "plain words"),
        ("# Title\n\ntext", "Title\ntext"),
        ("**bold** and *slanted* and ***both***", "bold and slanted and both"),
        ("__bold__ and _slanted_ but snake_case_name", "bold and slanted but snake_case_name"),
        ("2 * 3 * 4 is 24", "2 * 3 * 4 is 24"),
        ("~~old~~ new", "old new"),
        ("run `make test` now", "run make test now"),
        ("before\n```sh\nrm -rf /\n```\nafter", "before\nafter"),
        ("before\n```\nnever closed", "before"),
        ("see [the page](https://example.org/a?b=c)", "see the page"),
        ("see ![a picture](pic.png)", "see a picture"),
        ("at https://example.org/x now", "at now"),
        ("at <https://example.org/x>", "at"),
        ("opens at nine [1], closes at five [2][3].", "opens at nine, closes at five."),
        ("opens at nine [1, 2].", "opens at nine."),
        ("- one\n* two\n+ three\n1. four\n2) five", "one\ntwo\nthree\nfour\nfive"),
        ("> quoted", "quoted"),
        ("above\n\n---\n\nbelow", "above\nbelow"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a b\n1 2"),
        ("5 - 3", "5 - 3"),
        ("opens at nine [1](https://example.org/1).", "opens at nine."),
        ("see [a page](https://example.org/a_(b)) or (https://example.org/c)", "see a page or"),
        ("half**way** there", "halfway there"),
        ("2**3 is 8 and 2*3 is 6", "2**3 is 8 and 2*3 is 6"),
        ("an *open mark and a `tick", "an open mark and a tick"),
        ("> - **quoted** item", "quoted item"),
        ("grüße aus köln, 你好", "grüße aus köln, 你好"),
    ],
)
def test_markup_is_not_said(markdown: str, words: str) -> None:
    assert speakable(markdown) == words


@given(DOCUMENTS)
def test_no_markup_is_left_of_well_formed_text(markdown: str) -> None:
    said = speakable(markdown)
    for mark in ("**", "__", "~~", "`", "](", "https://", "##", "[1]"):
        assert mark not in said
    assert not re.search(r"[A-Z]", said), "code is not said"
    assert said == said.strip()
    assert "\n\n" not in said


@given(DOCUMENTS)
def test_every_word_outside_code_is_said(markdown: str) -> None:
    text = re.sub(r"\(\S*\)", "", re.sub(r"```.*?```", "", markdown, flags=re.DOTALL))
    assert re.findall(r"[a-z]+", speakable(markdown)) == re.findall(r"[a-z]+", text)


@given(st.text(max_size=300))
def test_any_text_can_be_taken(text: str) -> None:
    said = speakable(text)
    assert "```" not in said
    assert len(said) <= len(text)


@pytest.mark.parametrize(
    "mark",
    ["*a ", "**a ", "_a ", "-", "- ", "|-", "[a", "![", "[1 ", "[1,", "](", "[a](", "\n ", " ", "`a", "> ", "http://"],
)
def test_a_mark_repeated_for_a_whole_answer_costs_no_more_than_words(mark: str) -> None:
    def cost(text: str) -> float:
        began = time.thread_time()
        speakable(text)
        return time.thread_time() - began

    times = 64_000 // len(mark)
    words = min(cost("word " * (64_000 // 5)) for _ in range(3))
    # A pattern that looks ahead to the end at every mark is some thousand times slower than words are.
    assert min(cost(mark * times + "x") for _ in range(3)) < 50 * words + 0.01
