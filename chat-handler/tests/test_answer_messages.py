"""Answers as messages of the contract."""

from __future__ import annotations

import pytest

from chat_handler.answers import failed_answer, greeting, source_names, validate
from chat_handler.streaming import ChatStream
from handler_base.answering import source_of
from handler_base.errors import InvalidRequestError, OverloadedError
from handler_base.messages import ChatRequest, DocumentSource, GreetingRequest
from handler_base.rag import Hit

HIT = Hit(
    chunk_id="c1", document_id="d1", text="words", title="Title", source_url="a.md", position=3, page=2, score=0.5
)


def test_a_source_has_everything_that_is_known_of_a_passage() -> None:
    assert source_of(HIT) == DocumentSource(
        text="words",
        score=0.5,
        document_id="d1",
        chunk_id="c1",
        title="Title",
        source_url="a.md",
        position=3,
        page=2,
    )


def test_a_source_is_called_by_the_best_name_there_is() -> None:
    untitled = Hit(chunk_id="c", document_id="d2", text="t", source_url="b.md")
    nameless = Hit(chunk_id="c", document_id="d3", text="t")
    assert source_names([HIT, untitled, nameless]) == ["Title", "b.md", "d3"]


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (GreetingRequest(), "Hello! What would you like to know?"),
        (GreetingRequest(username="ann.a"), "Hello ann.a! What would you like to know?"),
        (GreetingRequest(username="ann.a", nickname="Annie"), "Hello Annie! What would you like to know?"),
        (GreetingRequest(username="  "), "Hello! What would you like to know?"),
        (
            GreetingRequest(nickname="Annie", premium=True),
            "Hello Annie! Thank you for being a premium member. What would you like to know?",
        ),
    ],
)
def test_a_greeting_calls_the_user_by_name(request_: GreetingRequest, line: str) -> None:
    assert greeting(request_).greeting == line


def test_a_failed_answer_says_whose_it_is_and_why() -> None:
    request = ChatRequest(request_id="r1", user_id="ann", session_id="s1", message="hi")
    answer = failed_answer(request, OverloadedError("Too many questions."))
    assert (answer.request_id, answer.user_id, answer.session_id) == ("r1", "ann", "s1")
    assert (answer.success, answer.error, answer.response) == (False, "Too many questions.", "")


@pytest.mark.parametrize(("top_k", "rerank_top_k"), [(1, 1), (50, 50), (5, 3), (3, 5)])
def test_what_can_be_asked_for_is_valid(top_k: int, rerank_top_k: int) -> None:
    validate(ChatRequest(message="hi", top_k=top_k, rerank_top_k=rerank_top_k), most_top_k=50)


@pytest.mark.parametrize("request_", [ChatRequest(), ChatRequest(message="\t"), ChatRequest(message="hi", top_k=0)])
def test_what_cannot_is_invalid(request_: ChatRequest) -> None:
    with pytest.raises(InvalidRequestError):
        validate(request_, most_top_k=50)


def test_older_publishers_ask_in_another_field() -> None:
    validate(ChatRequest(query="hi"), most_top_k=50)


def test_an_error_ends_a_stream_with_its_type() -> None:
    end = ChatStream("r1").error(4, OverloadedError("Too many questions."))
    assert (end.type, end.done, end.sequence, end.error_type) == ("error", True, 4, "overloaded")
    assert end.content == "Too many questions."
