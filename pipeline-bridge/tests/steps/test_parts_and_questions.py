"""Work is shared out so that nothing is done twice or not at all; questions are read from lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler_base.errors import InvalidRequestError
from handler_base.rag import Hit
from pipeline_bridge.steps.model_evaluation import relevant_golds
from pipeline_bridge.steps.parts import Part
from pipeline_bridge.steps.questions import Asked, Gold, Question, parse_asked, parse_questions


@given(st.text(), st.integers(1, 12))
@settings(max_examples=50)
def test_everything_belongs_to_exactly_one_part(name: str, count: int) -> None:
    assert sum(Part(index, count).holds(name) for index in range(count)) == 1


def test_a_part_is_read() -> None:
    assert Part.parse("2/4") == Part(2, 4)


@pytest.mark.parametrize("text", ["", "1", "4/4", "-1/4", "0/0", "a/b", "1/2/3", "0/1001", "\u0661/4"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        Part.parse(text)


def test_questions_may_be_strings_or_objects() -> None:
    text = '"How?"\n\n{"question": "Why?", "id": "w", "collection": "c", "more": 1}\n'
    assert parse_asked(text) == [Asked("How?", "1"), Asked("Why?", "w", "c")]


@pytest.mark.parametrize(
    "text", ["", "\n", "How?", '{"id": "1"}', '{"question": " "}', "[]", '"a"\n{"question": "b", "id": "1"}']
)
def test_what_are_no_questions(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_asked(text)


@given(st.lists(st.text(min_size=1).filter(lambda text: text.strip()), min_size=1))
def test_every_question_is_read_once(questions: list[str]) -> None:
    # JSON escapes what would end a line.
    text = "\n".join(json.dumps(question) for question in questions)
    assert [asked.question for asked in parse_asked(text)] == questions


def test_a_question_with_its_answer_has_all_its_fields() -> None:
    line = '{"id": "q", "kind": "direct", "question": "?", "gold": [], "facts": []}'
    assert parse_questions(line) == [Question("q", "direct", "?", (), ())]
    with pytest.raises(InvalidRequestError, match="Line 2"):
        parse_questions(f'{line}\n{{"id": "r"}}')


def test_a_passage_is_relevant_when_it_holds_the_words_of_the_right_document() -> None:
    question = Question("q", "multi", "?", (Gold("a.md", "six  o'clock"), Gold("b.md", "ten")), ())
    hits = [
        Hit(chunk_id="1", document_id="a", source_url="docs/a.md", text="at six\no'clock"),
        Hit(chunk_id="2", document_id="a", source_url="docs/a.md", text="again at six o'clock"),
        Hit(chunk_id="3", document_id="c", source_url="docs/ab.md", text="ten"),
        Hit(chunk_id="4", document_id="b", source_url="b.md", text="ten"),
    ]
    assert relevant_golds(question, hits) == ["0", "2", "3", "1"]
