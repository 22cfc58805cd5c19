"""Scripted conversations about the sample corpus, and what is found for their follow-ups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from deploy.local.eval.questions import place, relevant_chunks
from handler_base.deadline import Deadline
from handler_base.rag import Chunk, Hit
from handler_base.rag.follow_ups import QueryRewriter
from pipeline_bridge.steps.measuring import Pipeline
from pipeline_bridge.steps.questions import Gold, Question

__all__ = ["Conversation", "Outcome", "ScriptedTurn", "load_conversations", "measure_conversations", "passages_of"]

_PATIENCE: Final = timedelta(seconds=30)
_SHOWN: Final = 3
"""Passages that the chat shows to the model by default; a hit is a right one among them."""


class ScriptedTurn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn.

    Attributes:
        conversation: Which conversation it is part of.
        held_out: Whether its figures were left unseen until the rewriting was finished.
        follow_up: Whether the question leans on what was said before.
        question: What is asked.
        answer: A true answer in a sentence: what the later turns have as history.
        gold: Where the answer stands; any of them will do.
    """

    conversation: str
    held_out: bool
    follow_up: bool
    question: str
    answer: str
    gold: tuple[Gold, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in their order.

    Attributes:
        id: Identity.
        held_out: Whether its figures were left unseen until the rewriting was finished.
        turns: What was asked and answered.
    """

    id: str
    held_out: bool
    turns: tuple[ScriptedTurn, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found for one turn.

    Attributes:
        turn: The turn.
        text: What was searched for with rewriting on; the question itself where it was left alone.
        documents: Whether a right document was among the first three, by (reranked, rewritten).
        passages: Likewise a right passage.
    """

    turn: ScriptedTurn
    text: str
    documents: Mapping[tuple[bool, bool], bool]
    passages: Mapping[tuple[bool, bool], bool]

    @property
    def rewritten(self) -> bool:
        """Whether it was taken for a follow-up."""
        return self.text != self.turn.question


def load_conversations(path: Path) -> list[Conversation]:
    """Read a file with one turn a line, the turns of a conversation one after another."""
    lines = path.read_text(encoding="utf-8").splitlines()
    turns = [msgspec.json.decode(line, type=ScriptedTurn) for line in lines if line.strip()]
    groups = [(name, tuple(group)) for name, group in groupby(turns, key=lambda turn: turn.conversation)]
    return [Conversation(name, group[0].held_out, group) for name, group in groups]


def passages_of(turn: ScriptedTurn, chunks: Sequence[Chunk]) -> set[str]:
    """Return the places of the chunks that hold a turn's answer.

    Raises:
        ValueError: The turn no longer fits the corpus.
    """
    name = f"{turn.conversation}: {turn.question}"
    return set(relevant_chunks(Question(name, "conversation", turn.question, turn.gold, ()), chunks))


async def measure_conversations(
    pipeline: Pipeline, conversations: Sequence[Conversation], chunks: Sequence[Chunk], rewriter: QueryRewriter
) -> list[Outcome]:
    """Search for every turn, as it was asked and as it is rewritten, with reranking and without."""
    outcomes: list[Outcome] = []
    for conversation in conversations:
        for index, turn in enumerate(conversation.turns):
            history = conversation.turns[:index]
            text = await rewriter.rewrite(turn.question, history, deadline=Deadline.after(_PATIENCE))
            outcomes.append(await _outcome(pipeline, turn, text, passages_of(turn, chunks)))
    return outcomes


async def _outcome(pipeline: Pipeline, turn: ScriptedTurn, text: str, right: set[str]) -> Outcome:
    names = {gold.document for gold in turn.gold}
    documents: dict[tuple[bool, bool], bool] = {}
    passages: dict[tuple[bool, bool], bool] = {}
    for reranked in (True, False):
        hits: Sequence[Hit] = ()
        for rewritten in (False, True):
            if not rewritten or text != turn.question:
                found = await pipeline.retrieve(text if rewritten else turn.question, rerank=reranked)
                hits = found.hits[:_SHOWN]
            documents[reranked, rewritten] = any(hit.source_url in names for hit in hits)
            passages[reranked, rewritten] = any(place(hit) in right for hit in hits)
    return Outcome(turn, text, documents, passages)
