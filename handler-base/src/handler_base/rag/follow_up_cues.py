"""Which questions cannot be searched for without what was said before them.

Most questions leave after one look at their words: nothing points back, and something in them can be searched for. The
others are read more closely. What a language is good for here is a list of small words, so none is asked for: the
language whose small words a question has most of is taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from handler_base.rag.follow_up_words import ENGLISH, FRENCH, GERMAN, LANGUAGES, SMALL_TALK, Language, words
from handler_base.rag.prompt import HistoryTurn

__all__ = ["Question", "needs_context", "parse"]

_LONGEST: Final = 200
"""A longer question brings its own context; the bound also bounds the cost."""

_WORD: Final = re.compile(r"\w+(?:'\w+|-(?!(?:t-)?(?:ils?|elles?)\b)\w+)*|[,;.!?](?=\s+\w)")
"""A word, or a mark between two. Hyphens join, but for French inversions; the time is linear in the length."""
_MARKS: Final = frozenset(",;.!?")
_SENTENCE_ENDS: Final = frozenset(".!?")

_DEMONSTRATIVES: Final = frozenset({"this", "that", "these", "those", "there"})
_PERIODS: Final = words(
    "year week month morning afternoon evening summer winter spring autumn season weekend time jahr jahre woche monat"
    " sommer année semaine mois été hiver año días semana mes verano invierno"
)
_EXISTENCE: Final = frozenset({"is", "are", "was", "were", "be", "been", "isn't", "aren't", "gibt", "gab", "y"})
_IMPERSONAL: Final = words(
    "take takes took cost costs possible allowed permitted forbidden legal safe easy hard difficult necessary worth"
    " usual dangerous important useful better best true"
)
"""With these, "it" stands for nothing: "is it allowed to ...", "is it true that ..."."""
_WEATHER: Final = words("raining rain rains rained snow snows snowing freezes freezing dark foggy windy stormy")
_SAYING: Final = words("know knows knew tell tells told say says said think thinks thought sure mean means believe")
_CLOCK: Final = frozenset({"time", "day", "date", "year", "month"})
_ASSISTANT: Final = frozenset({"you", "your", "yours", "you're", "du", "dein", "deine", "tu", "usted"})
_JOINTS: Final = frozenset({"and", "or", "but", "und", "oder", "aber", "et", "ou", "mais", "y", "o", "pero"})
_WHAT_ABOUT: Final = frozenset(
    {
        ("what", "about"),
        ("how", "about"),
        ("was", "ist", "mit"),
        ("wie", "ist", "es"),
        ("wie", "sieht", "es"),
        ("qu'en", "est"),
        ("qué", "tal"),
        ("qué", "pasa", "con"),
    }
)

_CUES: Final = _DEMONSTRATIVES.union(
    ("about", "mit", "qu'en", "tal", "pasa"),
    *(
        language.pronouns | language.possessives | language.pointers | language.compared | language.ones
        for language in LANGUAGES
    ),
)
_BEGINNINGS: Final = SMALL_TALK.union(
    *(language.leads | language.prepositions | language.determiners for language in LANGUAGES)
)
_NO_SUBJECT: Final = _MARKS.union(*(language.stop | language.generic for language in LANGUAGES))


@dataclass(slots=True)
class Question:
    """The words of a question, and what they do in it.

    Attributes:
        words: As they were written, without a greeting or thanks at the beginning; marks count as words.
        lower: The same in lower case; every mark is a comma.
        language: The language they seem to be.
        names: Which of them look like names or identifiers.
    """

    words: list[str]
    lower: list[str]
    language: Language
    names: list[bool]

    def says(self, index: int) -> bool:
        """Tell whether a word can be searched for, other than a property of something."""
        if self.names[index]:
            return True
        word, language = self.lower[index], self.language
        return not (word == "," or word in language.stop or word in language.generic or word in language.compared)

    def subjects(self, start: int, end: int) -> list[int]:
        """Return where the words of a part are that can be searched for."""
        return [index for index in range(start, end) if self.says(index)]

    @property
    def fragment(self) -> bool:
        """Whether there is neither a question word nor an auxiliary."""
        language, said = self.language, self.lower
        return language.questions.isdisjoint(said) and language.auxiliaries.isdisjoint(said)


def parse(text: str) -> Question:
    """Read a text closely."""
    written = _WORD.findall(text.replace("\u2019", "'"))
    lower = ["," if word in _MARKS else word.lower() for word in written]
    begin = next((index for index, word in enumerate(lower) if word not in SMALL_TALK and word != ","), len(lower))
    written, lower = written[begin:], lower[begin:]
    seen = set(lower)
    # Of equals the first is taken, which is English.
    language = max(LANGUAGES, key=lambda language: len(language.stop & seen))
    # German writes every noun with a capital, and some people every word: that tells no name from another word.
    telling = language is not GERMAN and any(word[0].islower() for word in written[1:])
    names = [
        (telling and word[0].isupper() and not _must_be_capital(written, index))
        or (not word.isalpha() and any(map(str.isdigit, word)))
        for index, word in enumerate(written)
    ]
    return Question(written, lower, language, names)


def _must_be_capital(words: Sequence[str], index: int) -> bool:
    return not index or words[index - 1] in _SENTENCE_ENDS or words[index] == "I" or words[index].startswith("I'")


def needs_context(question: str, history: Sequence[HistoryTurn]) -> bool:
    """Tell whether a question leans on what was said before it.

    Args:
        question: As it was asked, in English, German, French or Spanish; others are taken to stand alone.
        history: Earlier turns; without any, every question stands alone.
    """
    if not history:
        return False
    if len(question) > _LONGEST:
        question = question.strip()
        if len(question) > _LONGEST:
            return False
    said = _WORD.findall(question.lower().replace("\u2019", "'"))
    if not said or (len(said) < 6 and SMALL_TALK.issuperset(said)):
        return False
    if len(said) > 1 and said[0] not in _BEGINNINGS and _CUES.isdisjoint(said) and not _NO_SUBJECT.issuperset(said):
        return False
    return _leans(parse(question), asks="?" in question)


def _leans(question: Question, *, asks: bool) -> bool:
    if not question.words:
        return False
    subjects = question.subjects(0, len(question.words))
    if not subjects:
        return _is_empty(question)
    return (
        _continues(question, subjects)
        or _is_fragment(question, subjects, asks=asks)
        or _stands_in(question)
        or _compares(question, subjects)
        or any(_points_back(question, index) for index, word in enumerate(question.lower) if word in _CUES)
    )


def _is_empty(question: Question) -> bool:
    """Judge a question that names nothing: it leans on something, but for the clock and the assistant itself."""
    lower = question.lower
    if not _ASSISTANT.isdisjoint(lower):
        return any(word in question.language.generic for word in lower) and "your" not in lower
    asks_the_clock = lower[0] == "what" and lower[1:2] and lower[1] in _CLOCK and lower[2:4] == ["is", "it"]
    return not asks_the_clock


def _continues(question: Question, subjects: Sequence[int]) -> bool:
    """Judge by the first words: "and", "what about"; not when a whole question with a subject of its own follows."""
    lower = question.lower
    if tuple(lower[:2]) in _WHAT_ABOUT or tuple(lower[:3]) in _WHAT_ABOUT:
        return True
    if lower[0] not in question.language.leads:
        return False
    named = any(question.names[index] for index in subjects)
    return question.fragment or not (named or len(subjects) >= 3)


def _is_fragment(question: Question, subjects: Sequence[int], *, asks: bool) -> bool:
    """Judge a question without a verb: "in winter?", "the mate?", "children?"."""
    lower, language = question.lower, question.language
    if lower[0] in language.prepositions and len(lower) <= 6:
        return language.auxiliaries.isdisjoint(lower)
    if not question.fragment or len(subjects) > 1:
        return False
    return (lower[0] in language.determiners and len(lower) <= 3) or (
        len(lower) == 1 and asks and not question.names[0]
    )


def _stands_in(question: Question) -> bool:
    """Look for "the cheaper one": a noun left out that does not come before."""
    ones, lower = question.language.ones, question.lower
    for index in range(1, len(lower)):
        if lower[index] not in ones:
            continue
        before = lower[index - 1]
        stands = before in {"the", "which", "this", "that"} or before not in question.language.stop
        ends = not any(question.says(at) for at in range(index + 1, min(index + 2, len(lower))))
        if stands and ends and not question.subjects(0, index - 1):
            return True
    return False


def _compares(question: Question, subjects: Sequence[int]) -> bool:
    """Look for "which is cheaper?": a comparison whose other side is not in the question."""
    lower, language = question.lower, question.language
    compared = [word for word in lower if word in language.compared]
    if compared == ["too"] and lower[-1] != "too":
        return False
    other_side = not language.than.isdisjoint(lower) or "or" in lower or any(question.names[i] for i in subjects)
    return bool(compared) and not other_side and len(subjects) <= 1


def _points_back(question: Question, index: int) -> bool:
    """Judge one word: whether it stands for something that the question itself does not name before it."""
    word, language = question.lower[index], question.language
    if word in language.possessives or (word == "her" and _has_noun_after(question, index)):
        return not _owner_before(question, index)
    if language is ENGLISH and word in _DEMONSTRATIVES:
        points = _demonstrates(question, index)
    elif word in language.pointers:
        points = question.lower[index + 1 : index + 2] == [] or question.lower[index + 1] not in _PERIODS
    else:
        points = word in language.pronouns and not _is_impersonal(question, index)
    return points and not _antecedent_before(question, index)


def _has_noun_after(question: Question, index: int) -> bool:
    """Tell "her boat" and "her own" from "who helps her"."""
    after = "".join(question.lower[index + 1 : index + 2])
    return after == "own" or (bool(after) and after not in question.language.stop)


def _owner_before(question: Question, index: int) -> bool:
    """Tell whether what a possessive belongs to stands before it: "do visitors pay for their berths"."""
    subjects = question.subjects(0, index)
    indefinite = any(question.lower[at - 1] in question.language.indefinite for at in subjects if at)
    plural = question.lower[index] == "their" and any(question.lower[at].endswith("s") for at in subjects)
    return indefinite or plural or len(subjects) > 1 or any(question.names[at] for at in subjects)


def _antecedent_before(question: Question, index: int) -> bool:
    """Tell whether what a pronoun stands for is in an earlier clause: "when was the boat built and who owns it"."""
    lower, language = question.lower, question.language
    # French says the subject twice when it turns the verb: "le ferry part-il".
    if language is FRENCH and any(not language.determiners.isdisjoint(lower[:i]) for i in question.subjects(0, index)):
        return True
    for at in range(index - 1, 0, -1):
        word = lower[at]
        if word != "," and word not in language.boundaries:
            continue
        subjects = question.subjects(0, at)
        definite = any(not language.determiners.isdisjoint(lower[max(0, i - 2) : i]) for i in subjects)
        plural = lower[index] in {"they", "them"} and any(lower[i].endswith("s") for i in subjects)
        named = any(question.names[i] for i in subjects)
        if named or definite or plural or len(subjects) >= (1 if word in _JOINTS else 2):
            return True
    return False


def _demonstrates(question: Question, index: int) -> bool:
    """Tell "how much is that" and "that boat" from "the boat that sank", "is there" and "this year"."""
    lower, stop = question.lower, question.language.stop
    word, before, after = lower[index], lower[index - 1] if index else "", "".join(lower[index + 1 : index + 2])
    if word == "there":
        return before not in _EXISTENCE and after not in _EXISTENCE
    if word != "that":
        return after not in _PERIODS and not (word == "those" and after in {"who", "that", "with", "of", "in"})
    if after in _PERIODS and index and not before:
        return True
    if not before or not after:
        return True
    if before in stop or before in _SAYING:
        return before != "so" and before not in _SAYING
    return after not in stop and (index < 2 or lower[index - 2] not in question.language.determiners)


def _is_impersonal(question: Question, index: int) -> bool:
    """Tell pronouns that stand for nothing, or for the reader: "is it allowed to ...", "gibt es", the German "Sie"."""
    lower, word = question.lower, question.lower[index]
    neighbours = lower[max(0, index - 1) : index] + lower[index + 1 : index + 2]
    if question.language is GERMAN:
        formal = index > 0 and question.words[index][0].isupper()
        return formal or (word == "es" and not _EXISTENCE.isdisjoint(neighbours))
    if word == "il":
        return "faut" in neighbours or "y" in lower[max(0, index - 3) : index + 2]
    if word != "it":
        return False
    following = lower[index + 1 :]
    if not _WEATHER.isdisjoint(following[:3]):
        return True
    for at, joint in enumerate(following[:5]):
        if joint in {"to", "that", "if"} and not _IMPERSONAL.isdisjoint(
            following[:at] + lower[max(0, index - 2) : index]
        ):
            return joint != "to" or _is_infinitive(question, index + 1 + at)
    return False


def _is_infinitive(question: Question, index: int) -> bool:
    """Tell "to land" from "to the mainland" and "to Port Ellery"."""
    after = question.lower[index + 1 : index + 2]
    language = question.language
    return bool(after) and not (
        question.names[index + 1] or after[0] in language.determiners or after[0] in language.possessives
    )
