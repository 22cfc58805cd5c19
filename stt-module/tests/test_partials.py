"""Partial transcripts, whose confirmed words never change."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from stt_module.partials import Partial, Partials, PartialSchedule

WORD = st.sampled_from(
    ["the", "The", "cat", "sat,", "on", "a", "mat.", "ice", "cream", "icecream", "你", "好", "-", " "]
)
HYPOTHESIS = st.lists(WORD, max_size=8).map(" ".join)


def test_a_word_is_confirmed_by_the_second_reading_that_has_it() -> None:
    partials = Partials()
    assert partials.hear("what is the cab") == Partial("", "what is the cab")
    assert partials.hear("What is the capital of") == Partial("What is the", " capital of")
    assert partials.hear("what was the capital of France") == Partial("What is the capital of", " France")
    assert partials.last.text == "What is the capital of France"


def test_what_says_nothing_new_is_not_said_again() -> None:
    partials = Partials()
    assert partials.hear(" ") is None
    partials.hear("hello")
    assert partials.hear("hello") is None
    assert partials.hear(" hello ") is None


def test_the_last_word_waits_for_one_behind_it() -> None:
    partials = Partials()
    partials.hear("tomor")
    assert partials.hear("tomor") is None
    assert partials.last == Partial("", "tomor")


def test_a_reading_that_joins_confirmed_words_loses_none_behind_them() -> None:
    partials = Partials()
    partials.hear("ice cream is")
    partials.hear("ice cream is good")
    assert partials.hear("icecream is good today") == Partial("ice cream is good", " today")


def test_scripts_without_spaces_are_confirmed_by_the_character() -> None:
    partials = Partials()
    partials.hear("你好世")
    assert partials.hear("你好世界") == Partial("你好世", "界")


@given(st.lists(HYPOTHESIS, max_size=12))
def test_what_was_confirmed_never_changes(hypotheses: list[str]) -> None:
    partials, before = Partials(), ""
    for hypothesis in hypotheses:
        partials.hear(hypothesis)
        now = partials.last
        assert now.confirmed.startswith(before)
        assert now.text.startswith(now.confirmed)
        before = now.confirmed


@given(st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat"]), max_size=10), st.data())
def test_a_recogniser_that_is_never_wrong_is_believed(words: list[str], data: st.DataObject) -> None:
    partials = Partials()
    ends = sorted(data.draw(st.lists(st.integers(0, len(words)), max_size=8)))
    for end in ends:
        partials.hear(" ".join(words[:end]))
        assert partials.last.text == " ".join(words[:end])
    before = sorted(ends)[-2] if len(ends) > 1 else 0
    assert len(partials.last.confirmed.split()) >= min(before, len(words[: (ends or [0])[-1]]) - 1)


def test_questions_are_asked_one_at_a_time_and_further_apart() -> None:
    schedule = PartialSchedule(timedelta(milliseconds=500), 0.5)
    assert [ms for ms in range(0, 800, 100) if schedule.due(ms)] == [500]
    assert not schedule.due(5_000)
    schedule.answered()
    asked = []
    for ms in range(700, 10_000, 100):
        if schedule.due(ms):
            asked.append(ms)
            schedule.answered()
    assert asked == [1_000, 1_500, 2_300, 3_500, 5_300, 8_000]
