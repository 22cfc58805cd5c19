"""What a question asks for, by its wording, and whether a sentence holds such a thing: a date, a length, a name."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["holds_what_is_asked", "names_in"]

_NUMBER: Final = (
    r"(?:\d[\d,.]*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fourteen|twenty|thirty|forty|fifty|"
    r"sixty|hundred|thousand|half)"
)
_MONTH: Final = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_TIME: Final = (
    rf"(?:\d{{1,2}}:\d\d|{_MONTH}|(?:Sun|Mon|Tues|Wednes|Thurs|Fri|Satur)days?|noon|midnight|\b1[89]\d\d\b|\b20\d\d\b)"
)
_DURATION: Final = r"(?:second|minute|hour|day|night|week|month|year)s?"
_LENGTH: Final = r"(?:milli|centi|kilo)?met(?:re|er)s?|miles?"
_MASS: Final = r"(?:kilo)?grams?|tonnes?|pounds?"
_MONEY: Final = r"marks?|euros?|dollars?|percent"

_ASKED: Final = tuple(
    (re.compile(rf"\b(?:{question})\b", re.IGNORECASE), re.compile(answer))
    for question, answer in (
        (r"when|what time|which day|what day|what date|on which", _TIME),
        (r"how long", rf"\b{_NUMBER}[\w -]{{0,12}} (?:{_DURATION}|{_LENGTH})\b|\b(?:until|since)\b|\blength\b"),
        (r"how (?:deep|high|tall|wide|far|big|large)", rf"\b{_NUMBER} (?:{_LENGTH}|hectares?|[a-z]+watts?)\b"),
        (r"how heavy|what weight", rf"\b{_NUMBER} (?:{_MASS})\b"),
        (r"how (?:old|soon)", rf"\b{_NUMBER} {_DURATION}\b"),
        (r"how often", rf"\b(?:every|daily|weekly|monthly|yearly|twice|once)\b|\b{_NUMBER} {_DURATION}\b"),
        (r"what (?:price|fee|fine|share)|price|cost|costs|pay", rf"\b{_NUMBER} (?:{_MONEY})\b|\bfree\b"),
        (r"how (?:much|many)|which number|what number|extension", rf"\b{_NUMBER}\b"),
        (r"where|which shelf|what shelf", r"\b(?:in|on|at|behind|below|beside|under|above) \w"),
        (r"why|what caused", r"\b(?:because|since|so that|cause|reason|for the sake)\b"),
        (r"who|whose|whom", r"(?<=[a-z,] )[A-Z][a-z]+|^[A-Z][a-z]+ [A-Z][a-z]+"),
    )
)
_NAME: Final = re.compile(r"(?<=[\w,] )(?!I\b)[A-Z][a-z\u00e0-\u00ff]+")
_IDENTIFIER: Final = re.compile(r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z\d]+(?:[-/.][A-Za-z\d]+)*\b|\b\d+\b")


def holds_what_is_asked(question: str, sentence: str) -> bool:
    """Tell whether the sentence holds the kind of thing that the question asks for, beyond the question's own words."""
    rest = sentence
    for known in {*names_in(question), *_IDENTIFIER.findall(question)}:
        rest = rest.replace(known, "")
    return any(asked.search(question) and answer.search(rest) for asked, answer in _ASKED)


def names_in(question: str) -> list[str]:
    """Return the proper names and identifiers of a question, such as `Kessock` or `SK-114`."""
    return [*_NAME.findall(question), *_IDENTIFIER.findall(question)]
