"""Which questions need what was said before them, and the search text made of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.rag.follow_ups import contextual_query, needs_context
from handler_base.sessions import Turn

HISTORY = [Turn.of("When was the Heron built?", "The Heron was built in 1987.")]

LEANING = [
    "and in winter?",
    "what about the second one?",
    "why?",
    "how much does that cost?",
    "Which is cheaper?",
    "the cheaper one",
    "Who owns it?",
    "What is the name of its captain?",
    "How long does it take to Northport?",
    "How often does it have to be painted?",
    "What part do I need when it breaks?",
    "Who is the owner?",
    "tell me more",
    "Children?",
    "the mate?",
    "Thanks. And in winter?",
    "How did that happen?",
    "What does the blue one cost?",
    "how do I get there",
    "Und im Winter?",
    "Was kostet das?",
    "Wem gehört es?",
    "Was ist mit den Kindern?",
    "Et en hiver ?",
    "Combien coûte-t-il pour un enfant ?",
    "Qui l\u2019a construit ?",
    "¿Y en invierno?",
    "¿Cuánto cuesta?",
    "¿Quién es su dueño?",
]
STANDING = [
    "When was the Heron built and who owns it?",
    "Where is the library and when does it open?",
    "Does Ada Marsh have her own boat?",
    "What do visitors pay for their berths at the quay?",
    "Can a member sell his share?",
    "Who is the man that found the comet?",
    "How do people know that electricity is free at the moment?",
    "Is it allowed to land cattle on Sundays?",
    "How long does it take to get to the mainland?",
    "What happens to the pump when it freezes?",
    "Is there a doctor on the island?",
    "Is the new pump better than the old one?",
    "Which is older, the Heron or the Tern?",
    "And what happened to the dome of the observatory in July 2023?",
    "What does the ferry cost this year?",
    "ferry timetable winter",
    "LHS-0026",
    "How much rain fell in May 2024?",
    "What time is it?",
    "Who are you?",
    "Hello",
    "hi there",
    "Thank you very much!",
    "Good morning",
    "",
    " ?!",
    "Wann wurde die Fähre gebaut und wem gehört sie?",
    "Gibt es einen Arzt auf der Insel?",
    "Wo kann ich Sie wegen der Fähre erreichen?",
    "Quand le ferry part-il en hiver ?",
    "Y a-t-il un médecin sur l'île ?",
    "¿Cuándo sale el ferry en invierno?",
    "冬のフェリーはいつ出ますか",
]


@pytest.mark.parametrize("question", LEANING)
def test_a_question_that_points_back_needs_its_context(question: str) -> None:
    assert needs_context(question, HISTORY)
    assert not needs_context(question, []), "there is nothing it could lean on"


@pytest.mark.parametrize("question", STANDING)
def test_a_question_that_says_what_it_is_about_stands_alone(question: str) -> None:
    assert not needs_context(question, HISTORY)


@given(st.text(max_size=400))
def test_any_text_can_be_judged_and_keeps_its_words(text: str) -> None:
    needs_context(text, HISTORY)
    assert contextual_query(text, [Turn.of(text, text), *HISTORY]).startswith(text.strip())


HOSTILE = ["it " * 21_845, " " * 65_536, "a-" * 32_768, "a'" * 32_768, "-il" * 21_845, ", " * 32_768, "\u0130" * 65_536]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    started = time.perf_counter()
    needs_context(text, HISTORY)
    contextual_query("And why?", [Turn.of(text, text)] * 8)
    contextual_query(text, HISTORY)

    assert time.perf_counter() - started < 0.5


def test_a_usual_question_costs_next_to_nothing() -> None:
    def timed() -> float:
        started = time.perf_counter()
        for _ in range(1000):
            needs_context("How many residents does the island have?", HISTORY)
        return (time.perf_counter() - started) / 1000

    # 2 µs where it was written; the bound leaves room for a slow machine under load.
    assert min(timed() for _ in range(5)) < 30e-6


def test_it_stands_for_what_the_previous_question_named() -> None:
    query = contextual_query("Who owns it?", HISTORY)

    assert query.split()[:3] == ["Who", "owns", "it?"]
    assert "Heron" in query


def test_a_chain_of_follow_ups_keeps_what_it_began_with() -> None:
    turns = [*HISTORY, Turn.of("How long is she?", "14 metres."), Turn.of("And how wide?", "4 metres.")]

    assert "Heron" in contextual_query("Where does she lie?", turns)


def test_a_person_is_taken_from_the_answer() -> None:
    turns = [
        Turn.of("Who runs the mill?", "The miller is Ada Marsh."),
        Turn.of("And who helps her?", "Her helper is Tom Reed."),
    ]

    assert "Tom Reed" in contextual_query("What did he do before?", turns)


def test_a_fragment_asks_for_the_same_property() -> None:
    turns = [Turn.of("What does the ferry cost for a child?", "Seven marks.")]

    query = contextual_query("And with a car?", turns)

    assert "ferry" in query
    assert "cost" in query


def test_what_was_talked_about_before_the_topic_changed_is_left_out() -> None:
    turns = [*HISTORY, Turn.of("When is the library open?", "On Wednesdays.")]

    assert "Heron" not in contextual_query("And on Saturdays?", turns)


def test_the_questions_own_words_lead() -> None:
    long = Turn.of("Which " + " ".join(f"subject{number}" for number in range(200)) + " is it?", "None.")

    query = contextual_query("Does it fit the green harbour crane on the northern quay?", [long])

    assert len(query.split()) == 11 + 3
    assert len(contextual_query("Why?", [Turn.of("x" * 280 + " y", "")])) <= 300
