"""The follow-ups' section of the report, and whether their bar is met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from deploy.local.eval.conversations import Outcome
from deploy.local.eval.report import table

__all__ = ["HEADING", "follow_ups_hold", "render_conversations", "share"]

HEADING: Final = "# Follow-ups in conversations"
"""What follows it in the report is this section; what stands before it is not."""

_AT_LEAST: Final = 0.8
_WITHOUT_AT_MOST: Final = 0.4
_TOLERANCE: Final = 1e-9

_Unit = Literal["documents", "passages"]
_UNITS: Final[tuple[_Unit, ...]] = ("documents", "passages")

_CAVEATS: Final = """\
## How far to trust this

- The figure as asked depends on the wording. As the conversations were first written it was 0.47 (documents,
  reranked), above the 0.4 of the bar, and 1.00 rewritten. Six follow-ups held a word that stands in one document
  only, such as "silvered"; they were then reworded, one of them in a held-out conversation, and a test now keeps
  such words out. This was done after the first figure as asked, 0.50 of the conversations that are not held out, had
  been seen. What rewriting gains is large with either wording.
- Held out means that no figure of these conversations was looked at before the rewriting was finished; corrections
  made later, for other tests, changed none of them. They are by the same author as the rewriting, who knew its rules:
  they are no blind test.
- A corpus of 68 documents is small: chance alone finds the right one more often than it would in a large one.
"""


def share(outcomes: Sequence[Outcome], unit: _Unit, *, reranked: bool, rewritten: bool) -> float:
    """Return the share of turns with a right document, or passage, among the first three."""
    found = [outcome.documents if unit == "documents" else outcome.passages for outcome in outcomes]
    return sum(hits[reranked, rewritten] for hits in found) / len(found) if found else 0.0


def follow_ups_hold(outcomes: Sequence[Outcome]) -> bool:
    """Tell whether rewriting finds what follow-ups ask for and leaves other questions as good as they were.

    Measured on documents, as the chat searches by default: reranked.
    """
    follow_ups, others = _parted(outcomes)
    without = share(follow_ups, "documents", reranked=True, rewritten=False)
    return (
        share(follow_ups, "documents", reranked=True, rewritten=True) >= _AT_LEAST
        and without <= _WITHOUT_AT_MOST + _TOLERANCE
        and all(
            share(others, unit, reranked=reranked, rewritten=True)
            >= share(others, unit, reranked=reranked, rewritten=False)
            for unit in _UNITS
            for reranked in (True, False)
        )
    )


def render_conversations(outcomes: Sequence[Outcome]) -> str:
    """Return the section as Markdown."""
    follow_ups, others = _parted(outcomes)
    conversations = {outcome.turn.conversation for outcome in outcomes}
    verdict = "met" if follow_ups_hold(outcomes) else "NOT met"
    mistaken = [outcome.turn.question for outcome in others if outcome.rewritten]
    missed = [outcome.turn.question for outcome in follow_ups if not outcome.rewritten]
    return "\n".join(
        [
            HEADING,
            "",
            f"{len(conversations)} conversations of ten turns: {len(follow_ups)} follow-ups, and {len(others)}",
            "questions that stand alone. The history of a turn is the questions before it, each with a true answer of",
            "a sentence. Rewriting adds words of the conversation, without a model (mode `context`).",
            "",
            "hit@3: the share of turns with the right one among the three passages that the chat shows the model.",
            "",
            "## As the chat searches by default: hybrid, five passages, reranked",
            "",
            *_figures(outcomes, reranked=True),
            "",
            "Bar: right document for the follow-ups, reranked, at least 0.8 rewritten and at most 0.4 as asked;",
            f"standalone questions no worse than as asked, reranked or not: **{verdict}**.",
            "",
            "## Without reranking",
            "",
            *_figures(outcomes, reranked=False),
            "",
            "## What was taken for what",
            "",
            f"- Standalone questions taken for follow-ups: {len(mistaken)} of {len(others)}{_listed(mistaken)}",
            f"- Follow-ups taken to stand alone: {len(missed)} of {len(follow_ups)}{_listed(missed)}",
            "",
            *_CAVEATS.splitlines(),
            "",
        ]
    )


def _figures(outcomes: Sequence[Outcome], *, reranked: bool) -> list[str]:
    rows = [["turns", "of", "document, as asked", "rewritten", "passage, as asked", "rewritten"]]
    for name, group in zip(("follow-ups", "standalone"), _parted(outcomes), strict=True):
        held_out = [outcome for outcome in group if outcome.turn.held_out]
        known = [outcome for outcome in group if not outcome.turn.held_out]
        for label, part in ((f"{name}, all", group), (f"{name}, held out", held_out), (f"{name}, others", known)):
            figures = [
                f"{share(part, unit, reranked=reranked, rewritten=rewritten):.2f}"
                for unit in _UNITS
                for rewritten in (False, True)
            ]
            rows.append([label, str(len(part)), *figures])
    return table(rows)


def _parted(outcomes: Sequence[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """Return the follow-ups, and the questions that stand alone."""
    return [o for o in outcomes if o.turn.follow_up], [o for o in outcomes if not o.turn.follow_up]


def _listed(questions: Sequence[str]) -> str:
    return ": " + "; ".join(f'"{question}"' for question in questions) + "." if questions else "."
