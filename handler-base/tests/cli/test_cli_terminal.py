"""What is printed cannot control the terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.cli.terminal import clean, clean_line, print_json

HIDING = {"Cc", "Cs"}


@given(st.text(alphabet=st.characters(codec=None)))
def test_no_control_character_is_left(text: str) -> None:
    cleaned = clean(text)
    assert not {unicodedata.category(char) for char in cleaned if char not in "\t\n"} & HIDING
    assert clean(cleaned) == cleaned


@given(st.text(alphabet=st.characters(codec=None)), st.integers(2, 20))
def test_a_line_is_one_line_of_a_length(text: str, most: int) -> None:
    line = clean_line(text, most)
    assert len(line) <= most
    assert len(line.splitlines()) <= 1


def test_harmless_text_stays() -> None:
    assert clean("Grüße, 世界 👋\n\tdone") == "Grüße, 世界 👋\n\tdone"


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b31m", "\u202egnp.exe", "a\u2028b", "ü\ud800"])
def test_json_is_safe_and_lossless(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": text})
    printed = capsys.readouterr().out
    assert not {unicodedata.category(char) for char in printed if char != "\n"} & HIDING
    assert json.loads(printed) == {"text": text}
