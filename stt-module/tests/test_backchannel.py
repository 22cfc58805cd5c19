"""What interrupts an answer and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_module.backchannel import InterruptWatch, is_backchannel, is_command


@pytest.mark.parametrize("text", ["mhm", "Yes.", "Uh-huh.", "Okay, right.", "I see.", "yeah yeah yeah", "oh really?"])
def test_words_of_a_listener(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize("text", ["", "...", "yes but why", "what", "no", "yes yes yes yes yes", "42"])
def test_words_that_are_more(text: str) -> None:
    assert not is_backchannel(text)


@pytest.mark.parametrize(("text", "language"), [("ja genau", "de-DE"), ("d\u2019accord", "fr"), ("sí, claro", "es_MX")])
def test_listeners_of_other_languages(text: str, language: str) -> None:
    assert is_backchannel(text, language)


def test_a_language_without_a_list_is_taken_for_english() -> None:
    assert is_backchannel("okay", "xx")
    assert is_command("stop", "")


@pytest.mark.parametrize("text", ["Stop!", "no, the other one", "please wait", "Okay, stop."])
def test_commands(text: str) -> None:
    assert is_command(text)
    assert InterruptWatch().hear(200, text)


@pytest.mark.parametrize(
    ("voiced_ms", "words", "interrupts"),
    [
        (300, "", False),
        (700, "", False),
        (701, "", True),
        (300, "what about", False),
        (800, "what about", True),
        (800, "mhm", False),
        (1_500, "okay right", False),
        (1_501, "okay right", True),
    ],
)
def test_how_long_speech_is_let_go_by(voiced_ms: int, words: str, interrupts: bool) -> None:
    assert InterruptWatch().hear(voiced_ms, words) is interrupts


@given(st.lists(st.tuples(st.integers(0, 3_000), st.sampled_from(["", "mhm", "stop", "what is it"])), max_size=20))
def test_it_interrupts_at_most_once(heard: list[tuple[int, str]]) -> None:
    watch = InterruptWatch()
    assert sum(watch.hear(voiced_ms, words) for voiced_ms, words in heard) <= 1
