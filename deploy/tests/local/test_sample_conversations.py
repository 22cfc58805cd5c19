"""The scripted conversations fit the corpus and are what they claim to be, and their report judges them rightly."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.eval.conversation_report import HEADING, follow_ups_hold, render_conversations, share
from deploy.local.eval.conversations import Conversation, Outcome, ScriptedTurn, load_conversations, passages_of
from handler_base.rag import Chunk, Chunker, chunks_of, load_file
from handler_base.rag.follow_up_cues import parse
from pipeline_bridge.steps.questions import Gold

LOCAL = Path(__file__).parents[2] / "local"
CORPUS = LOCAL / "corpus"


@pytest.fixture(scope="module")
def chunks() -> list[Chunk]:
    paths = sorted(path for path in CORPUS.rglob("*") if path.is_file())
    loaded = [load_file(path, path.relative_to(CORPUS).as_posix()) for path in paths]
    return [chunk for document in loaded for chunk in chunks_of(document, Chunker())]


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    return load_conversations(LOCAL / "eval" / "conversations.jsonl")


def test_every_conversation_has_ten_turns_and_five_follow_ups(conversations: list[Conversation]) -> None:
    assert len(conversations) >= 6
    assert len({conversation.id for conversation in conversations}) == len(conversations)
    assert sum(conversation.held_out for conversation in conversations) == 3
    for conversation in conversations:
        assert len(conversation.turns) == 10
        assert sum(turn.follow_up for turn in conversation.turns) == 5
        assert {turn.held_out for turn in conversation.turns} == {conversation.held_out}
        assert not conversation.turns[0].follow_up


def test_every_answer_stands_in_a_document_that_exists(conversations: list[Conversation], chunks: list[Chunk]) -> None:
    for turn in (turn for conversation in conversations for turn in conversation.turns):
        assert turn.gold
        assert all((CORPUS / gold.document).is_file() for gold in turn.gold)
        assert passages_of(turn, chunks)


def test_no_follow_up_names_its_document(conversations: list[Conversation], chunks: list[Chunk]) -> None:
    """A word that stands in no other document would find it alone."""
    words: dict[str, set[str]] = {}
    for chunk in chunks:
        words.setdefault(chunk.source_url, set()).update(parse(chunk.text).lower)
    for turn in (turn for conversation in conversations for turn in conversation.turns if turn.follow_up):
        for word in parse(turn.question).lower:
            holding = {document for document, said in words.items() if word in said}
            assert len(holding) != 1 or not holding & {gold.document for gold in turn.gold}, (turn.question, word)


def _outcome(*, follow_up: bool, asked: bool, rewritten: bool) -> Outcome:
    turn = ScriptedTurn("c", held_out=False, follow_up=follow_up, question="And?", answer="", gold=(Gold("a", "b"),))
    found = {(reranked, new): rewritten if new else asked for reranked in (True, False) for new in (True, False)}
    return Outcome(turn, "And? words" if follow_up else "And?", found, found)


FOUND = [_outcome(follow_up=True, asked=False, rewritten=True), _outcome(follow_up=False, asked=True, rewritten=True)]


def test_the_bar_wants_follow_ups_found_and_other_questions_left_alone() -> None:
    missed = [_outcome(follow_up=True, asked=False, rewritten=False), FOUND[1]]
    easy = [_outcome(follow_up=True, asked=True, rewritten=True), FOUND[1]]
    spoiled = [FOUND[0], _outcome(follow_up=False, asked=True, rewritten=False)]

    assert follow_ups_hold(FOUND)
    assert not any(follow_ups_hold(outcomes) for outcomes in (missed, easy, spoiled))
    assert share(spoiled, "passages", reranked=True, rewritten=True) == 0.5


def test_the_report_says_what_was_taken_for_what() -> None:
    report = render_conversations(FOUND)

    assert report.startswith(HEADING)
    assert "**met**" in report
    assert "taken for follow-ups: 0 of 1." in report
    assert "taken to stand alone: 0 of 1." in report
