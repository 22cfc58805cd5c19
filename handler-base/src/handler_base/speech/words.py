"""English words that say how the ones around them are read: abbreviations, months, openers of sentences."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ABBREVIATIONS",
    "BEFORE_A_NUMBER",
    "BEFORE_A_YEAR",
    "COUNTED",
    "ENDS_WITH_ITS_MARK",
    "MONTHS",
    "NEVER_LAST",
    "SHORTENED",
    "STARTERS",
    "month",
]

_MONTHS: Final = "January February March April May June July August September October November December"
MONTHS: Final = tuple(_MONTHS.split())
_MONTH_NUMBERS: Final = {name: index for index, name in enumerate(MONTHS, 1)} | {
    name[:3]: index for index, name in enumerate(MONTHS, 1) if len(name) > 3
}
_MONTH_NUMBERS["Sept"] = 9

_STARTERS: Final = (
    "A After All Although An And Another As At Because Before But By Each For From He Her His How However I If In It "
    "Its Later Most My No Not Now On Once One Or Our She Since So Some That The Their Then There These They This Those "
    "Though Thus To Today Under Until We What When Where Which While Who Why With Yes You Your"
)
STARTERS: Final = frozenset(_STARTERS.split())
"""Words that begin a sentence where a name seldom does: after a mark that may belong to an abbreviation."""

_BEFORE_A_YEAR: Final = "in since until till during circa year years summer winter spring autumn fall early late mid"
BEFORE_A_YEAR: Final = frozenset(_BEFORE_A_YEAR.split())
"""Words before four digits that make a year of them, whatever follows."""

COUNTED: Final = frozenset(("people", "men", "women", "children", "percent", "mice", "feet", "of", "more", "fewer"))
"""Words after a number that tell that things are counted, beside those that end in s."""

ABBREVIATIONS: Final = {
    "e.g": "for example",
    "eg": "for example",
    "i.e": "that is",
    "etc": "et cetera",
    "vs": "versus",
    "v.s": "versus",
    "cf": "compare",
    "al": "al",
    "approx": "approximately",
    "ca": "circa",
    "resp": "respectively",
    "incl": "including",
    "excl": "excluding",
    "max": "maximum",
    "est": "estimated",
    "dept": "department",
    "govt": "government",
    "Dr": "Doctor",
    "Mr": "Mister",
    "Mrs": "Missus",
    "Ms": "Miz",
    "Prof": "Professor",
    "Gen": "General",
    "Capt": "Captain",
    "Sgt": "Sergeant",
    "Lt": "Lieutenant",
    "Col": "Colonel",
    "Rev": "Reverend",
    "Hon": "Honorable",
    "Sen": "Senator",
    "Gov": "Governor",
    "Jr": "Junior",
    "Sr": "Senior",
    "Mt": "Mount",
    "Ave": "Avenue",
    "Blvd": "Boulevard",
    "Rd": "Road",
    "Inc": "Incorporated",
    "Ltd": "Limited",
    "Corp": "Corporation",
    "Co": "Company",
    "Bros": "Brothers",
    "a.m": "a m",
    "p.m": "p m",
    "Ph.D": "P H D",
    "Jan": "January",
    "Feb": "February",
    "Mar": "March",
    "Apr": "April",
    "Aug": "August",
    "Sep": "September",
    "Sept": "September",
    "Oct": "October",
    "Nov": "November",
    "Dec": "December",
}
"""What an abbreviation says, without its last mark. `St.` and those of `BEFORE_A_NUMBER` depend on what follows."""

BEFORE_A_NUMBER: Final = {
    "No": "number",
    "no": "number",
    "Nr": "number",
    "nos": "numbers",
    "Nos": "numbers",
    "Fig": "figure",
    "fig": "figure",
    "Figs": "figures",
    "Vol": "volume",
    "vol": "volume",
    "Ch": "chapter",
    "ch": "chapter",
    "Sec": "section",
    "sec": "section",
    "Eq": "equation",
    "p": "page",
    "pp": "pages",
    "v": "version",
    "ver": "version",
    "Art": "article",
}

SHORTENED: Final = frozenset(
    spelling for word in (*ABBREVIATIONS, *BEFORE_A_NUMBER, "St") for spelling in (word, word[0].upper() + word[1:])
)
"""Every abbreviation as it is written."""

_ENDS_WITH_ITS_MARK: Final = (
    "etc al a.m p.m Jr Sr Ave Blvd Rd St Inc Ltd Corp Co Bros Ph.D max dept govt usw ff p.ej e.V"
)
ENDS_WITH_ITS_MARK: Final = frozenset(_ENDS_WITH_ITS_MARK.split())
"""Abbreviations that may be the last word of a sentence."""

NEVER_LAST: Final = (
    frozenset(ABBREVIATIONS) | {"St", "z.B", "d.h", "u.a", "bzw", "vgl", "Abb", "Bd", "Hr", "Fr", "Hrsg", "evtl", "ggf"}
) - ENDS_WITH_ITS_MARK
"""Abbreviations that another word follows, so that their mark ends no sentence."""


def month(word: str) -> int:
    """Return which month a word names, in full or short; 0 for any other word."""
    return _MONTH_NUMBERS.get(word.rstrip(".,"), 0)
