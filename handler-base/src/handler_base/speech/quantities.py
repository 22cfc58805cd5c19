"""What holds digits, in English words: amounts with their units, years, dates, times, ranges, phone numbers, codes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from handler_base.speech import numbers
from handler_base.speech.units import CENTS, CURRENCIES, currency, unit
from handler_base.speech.words import BEFORE_A_YEAR, COUNTED, MONTHS, month

__all__ = ["Spoken", "Surroundings", "say_digits"]

_NUMBER: Final = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_AMOUNT: Final = re.compile(
    rf"(?P<sign>[-+\u2212~\u2248<>\u2264\u2265\u00b1#]?)(?P<currency>(?:US)?\$|[\u20ac\u00a3\u00a5\u20b9]|)"
    rf"(?P<first>{_NUMBER})(?:[-\u2013\u2014](?:[$\u20ac\u00a3])?(?P<last>{_NUMBER}))?(?P<unit>[^\d\s][^\s]*)?",
    re.ASCII,
)
_TIME: Final = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d)(?:\.\d+)?)?(am|pm|AM|PM|h|Z)?", re.ASCII)
_TIMES: Final = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)[-\u2013\u2014]([01]?\d|2[0-4]):([0-5]\d)", re.ASCII)
_DATE: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?:T(.+))?", re.ASCII)
_SHORT_DATE: Final = re.compile(r"(\d{1,2})([./])(\d{1,2})\2(\d{4})", re.ASCII)
_PHONE: Final = re.compile(r"\+?\(?\d{1,4}\)?(?:[-./]\(?\d{2,5}\)?){1,5}|\+\d{2,15}", re.ASCII)
_GROUP: Final = re.compile(r"\d{2,5}(?:-\d{2,5})*", re.ASCII)
_GROUPS: Final = re.compile(r"\d+", re.ASCII)
_FRACTION: Final = re.compile(r"(\d{1,3})/(\d{1,3})", re.ASCII)
_RATIO: Final = re.compile(r"(\d{1,4}):(\d{1,4})", re.ASCII)
_DOTTED: Final = re.compile(r"[vV]?\d+(?:\.\d+){2,}", re.ASCII)
_TIMES_TEN: Final = re.compile(r"(-?\d+(?:\.\d+)?)[eE]([-+]?\d{1,3})", re.ASCII)
_BY: Final = re.compile(r"(\d+(?:\.\d+)?)[x\u00d7*](\d+(?:\.\d+)?)(?:[x\u00d7*](\d+(?:\.\d+)?))?", re.ASCII)
_RUNS: Final = re.compile(r"[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|[^\W\d_]+|[^\w\s]+|_+|\d+")
_SIGNS: Final = {
    "-": "minus ",
    "\u2212": "minus ",
    "+": "plus ",
    "~": "about ",
    "\u2248": "about ",
    "<": "less than ",
    ">": "more than ",
    "\u2264": "at most ",
    "\u2265": "at least ",
    "\u00b1": "plus or minus ",
    "#": "number ",
}
_SCALES: Final = {"k": "thousand", "K": "thousand", "m": "million", "M": "million", "bn": "billion", "B": "billion"}
_SCALE_WORDS: Final = frozenset(("hundred", "thousand", "million", "billion", "trillion"))
_ORDINAL_ENDS: Final = frozenset(("st", "nd", "rd", "th"))
_HALVES: Final = {"am": "am", "pm": "pm", "a.m": "am", "p.m": "pm", "AM": "am", "PM": "pm"}


class Surroundings(NamedTuple):
    """What stands around a word.

    Attributes:
        before: The word before it.
        following: The words after it that may belong to it, without the marks behind the last.
        day_first: Whether 3/4/2026 is the third of April.
    """

    before: str = ""
    following: Sequence[str] = ()
    day_first: bool = False

    @property
    def next(self) -> str:
        """The word after it; empty where none belongs to it."""
        return self.following[0] if self.following else ""


class Spoken(NamedTuple):
    """Words to say.

    Attributes:
        words: They themselves.
        used: How many of the following words they hold.
    """

    words: str
    used: int = 0


def say_digits(word: str, around: Surroundings) -> Spoken:
    """Return how a word with digits in it is said."""
    grouped = around.following and around.following[0][:1].isdigit()
    phone = _phone(word, around) if grouped and word[0] in "+(0123456789" else None
    if phone:
        return phone
    if word.isdigit() and word.isascii():
        return _whole(word, around)
    for say in _SHAPES:
        spoken = say(word, around)
        if spoken:
            return spoken
    return Spoken(_mixed(word, around))


def _whole(word: str, around: Surroundings) -> Spoken:
    value = int(word) if len(word) <= 4 else 0
    following = around.next
    if 1 <= value <= 31 and month(following) and len(following) > 2:
        the = "" if around.before == "the" else "the "
        return Spoken(f"{the}{numbers.ordinal(value)} of {MONTHS[month(following) - 1]}", 1)
    if 1 <= value <= 31 and month(around.before) and following not in COUNTED:
        return Spoken(numbers.ordinal(value))
    if following in _HALVES and 1 <= value <= 12:
        return Spoken(f"{numbers.cardinal(value)} {_HALVES[following][0]} m", 1)
    if "/" in following and _FRACTION.fullmatch(following):
        part = numbers.fraction(*map(int, following.split("/")))
        if part:
            return Spoken(f"{numbers.plain_number(word)} and {part.replace('one ', 'a ')}", 1)
    if following:
        name = unit(following, one=value == 1)
        if name:
            return Spoken(f"{numbers.plain_number(word)} {name}", 1)
    if len(word) == 4 and 1100 <= value < 2100 and _is_year(around):
        return Spoken(numbers.year(value))
    return Spoken(numbers.plain_number(word))


def _is_year(around: Surroundings) -> bool:
    if around.before.lower() in BEFORE_A_YEAR or month(around.before):
        return True
    following = around.next
    counted = following.islower() and following.endswith("s") and not following.endswith(("as", "is", "ss", "us"))
    return not counted and following not in COUNTED


def _amount(word: str, around: Surroundings) -> Spoken | None:
    found = _AMOUNT.fullmatch(word)
    if not found:
        return None
    sign, money, first, last, behind = found.groups("")
    before = _SIGNS[sign] if sign else ""
    following = "" if behind else around.next
    symbol = money or (behind if behind in CURRENCIES else following)
    if symbol in CURRENCIES:
        return _money(
            _Amount(before, symbol, first, last, behind if money else "", symbol not in {money, behind}), around
        )
    if not (last or sign or behind) and first.isdigit():
        return _whole(first, around)
    if last and not behind and not sign and _is_phone_pair(first, last):
        return None
    said = before + _range(first, last, around)
    if behind:
        return _with_ending(said, first, last, behind)
    name = unit(following, one=first == "1" and not last) if following else ""
    return Spoken(f"{said} {name}", 1) if name else Spoken(said)


def _with_ending(said: str, first: str, last: str, ending: str) -> Spoken | None:
    """Return a number with what stands directly behind it: an ordinal's end, a decade's, a unit, a plus sign."""
    value = int(last or first) if (last or first).isdigit() and len(last or first) <= 6 else -1
    if ending in _ORDINAL_ENDS and value >= 0:
        words = numbers.ordinal(value)
        return Spoken(f"{numbers.plain_number(first)} to {words}" if last else words)
    if ending in ("s", "'s", "\u2019s") and value >= 10 and value % 10 == 0 and not last:
        return Spoken(numbers.decade(value))
    if ending in _HALVES and 0 < value <= 12:
        return Spoken(f"{said} {_HALVES[ending][0]} m")
    if ending == "+":
        return Spoken(f"{said} plus")
    name = unit(ending, one=first == "1" and not last, attached=True)
    return Spoken(f"{said} {name}") if name else None


def _range(first: str, last: str, around: Surroundings) -> str:
    if not last:
        return numbers.number(first)
    if len(first) == 4 and first.isdigit() and 1100 <= int(first) < 2100 and last.isdigit() and len(last) in (2, 4):
        return f"{numbers.year(int(first))} to {numbers.year(int(last)) if len(last) == 4 else numbers.number(last)}"
    if month(around.before) and first.isdigit() and last.isdigit() and int(last[:3]) <= 31:
        return f"{numbers.ordinal(int(first[:3]))} to {numbers.ordinal(int(last[:3]))}"
    return f"{numbers.number(first)} to {numbers.number(last)}"


class _Amount(NamedTuple):
    """An amount of money as it is written; `apart` tells that its currency is a word of its own behind it."""

    before: str
    symbol: str
    first: str
    last: str
    behind: str
    apart: bool


def _money(amount: _Amount, around: Surroundings) -> Spoken | None:
    """Return an amount of money: ``$5.20``, ``€3-5 million``, ``5 €``, ``$10K``, ``$0.30/kWh``."""
    behind, slash, per = amount.behind.partition("/")
    scale = _SCALES.get(behind, "")
    if (behind and not scale) or (slash and not (unit(per, one=True) or per.isalpha())):
        return None
    used = 1 if amount.apart else 0
    if not (scale or used) and around.next in _SCALE_WORDS:
        scale, used = around.next, 1
    share = f" per {unit(per, one=True) or per}" if slash and per else ""
    if amount.last or scale:
        words = f"{_range(amount.first, amount.last, Surroundings())} {scale}".rstrip()
        return Spoken(f"{amount.before}{words} {currency(amount.symbol, one=False)}{share}", used)
    return Spoken(amount.before + _coins(amount.symbol, amount.first) + share, used)


def _coins(symbol: str, amount: str) -> str:
    """Return an amount with its hundredths: ``5.20`` is "five dollars and twenty cents"."""
    whole, _, decimals = amount.replace(",", "").partition(".")
    name = currency(symbol, one=whole == "1")
    if len(decimals) != 2 or symbol in ("\u00a5", "JPY"):
        return f"{numbers.number(amount)} {currency(symbol, one=amount == '1')}"
    cents = int(decimals)
    if not cents:
        return f"{numbers.number(whole)} {name}"
    coin = CENTS.get(currency(symbol, one=True), ("cent", "cents"))[0 if cents == 1 else 1]
    small = f"{numbers.cardinal(cents)} {coin}"
    return small if not whole.strip("0") else f"{numbers.number(whole)} {name} and {small}"


def _is_phone_pair(first: str, last: str) -> bool:
    return len(first) == 3 and len(last) == 4 and first.isdigit() and last.isdigit() and int(last) % 50 != 0


def _time(word: str, around: Surroundings) -> Spoken | None:
    between = _TIMES.fullmatch(word)
    if between:
        one, two, three, four = map(int, between.groups())
        return Spoken(f"{numbers.time_of_day(one, two)} to {numbers.time_of_day(three, four)}")
    found = _TIME.fullmatch(word)
    if not found:
        return None
    hour, minute, second, ending = found.groups(default="")
    half = _HALVES.get(ending, "")
    used = 0
    if not ending and around.next in _HALVES:
        half, used = _HALVES[around.next], 1
    return Spoken(numbers.time_of_day(int(hour), int(minute), int(second or 0), half), used)


def _date(word: str, around: Surroundings) -> Spoken | None:
    found = _DATE.fullmatch(word)
    if found:
        time = found[4] or ""
        said = _day(int(found[3]), int(found[2]), int(found[1]))
        clock = _TIME.match(time) if time else None
        if clock:
            said += f" at {numbers.time_of_day(int(clock[1]), int(clock[2]), int(clock[3] or 0))}"
        return Spoken(said) if bool(clock) == bool(time) else None
    found = _SHORT_DATE.fullmatch(word)
    if not found:
        return None
    first, mark, second, year = found.groups()
    one, two = int(first), int(second)
    day, which = (one, two) if two <= 12 and (mark == "." or around.day_first or one > 12) else (two, one)
    if not (1 <= which <= 12 and 1 <= day <= 31):
        return None
    return Spoken(_day(day, which, int(year)))


def _day(day: int, which: int, year: int) -> str:
    said = numbers.year(year) if 1100 <= year < 2100 else numbers.plain_number(str(year))
    return f"{MONTHS[which - 1]} {numbers.ordinal(day)} {said}"


def _phone(word: str, around: Surroundings) -> Spoken | None:
    """Return groups of digits, one by one: ``555-1234``, ``+1 555 123 4567``, ``(555) 123-4567``."""
    groups = [word, *around.following]
    if len(groups) == 1 or not all(_GROUP.fullmatch(group) for group in around.following):
        return _digit_groups([word]) if _PHONE.fullmatch(word) else None
    count = sum(character.isdigit() for group in groups for character in group)
    starts = word.startswith(("+", "0", "(")) or any("-" in group for group in groups)
    years = all(len(group) == 4 and "1100" <= group < "2100" for group in groups)
    if not 7 <= count <= 19 or years or not (starts or (len(groups) >= 3 and len(word) >= 2)):
        return _digit_groups([word]) if _PHONE.fullmatch(word) else None
    return Spoken(_digit_groups(groups).words, len(groups) - 1)


def _digit_groups(groups: Sequence[str]) -> Spoken:
    plus = "plus " if groups[0].startswith("+") else ""
    return Spoken(plus + ", ".join(numbers.digits(run) for group in groups for run in _GROUPS.findall(group)))


def _compound(word: str, _around: Surroundings) -> Spoken | None:
    """Return fractions, ratios, versions, powers of ten and sizes."""
    if found := _FRACTION.fullmatch(word):
        top, bottom = int(found[1]), int(found[2])
        if (top, bottom) == (24, 7):
            return Spoken("twenty-four seven")
        over = f"{numbers.plain_number(found[1])} over {numbers.plain_number(found[2])}"
        return Spoken(numbers.fraction(top, bottom) or over)
    if found := _RATIO.fullmatch(word):
        return Spoken(f"{numbers.plain_number(found[1])} to {numbers.plain_number(found[2])}")
    if _DOTTED.fullmatch(word):
        version = "version " if word[0] in "vV" else ""
        return Spoken(version + " dot ".join(numbers.plain_number(part) for part in word.lstrip("vV").split(".")))
    if found := _TIMES_TEN.fullmatch(word):
        sign = "minus " if found[1][0] == "-" else ""
        power = ("minus " if found[2][0] == "-" else "") + numbers.cardinal(int(found[2].lstrip("+-")))
        return Spoken(f"{sign}{numbers.number(found[1].lstrip('-'))} times ten to the power of {power}")
    if found := _BY.fullmatch(word):
        middle = " times " if "*" in word else " by "
        return Spoken(middle.join(numbers.number(part) for part in found.groups() if part))
    return None


def _mixed(word: str, around: Surroundings) -> str:
    """Return letters and digits of a word in turn: ``MP3`` is "MP three", ``5-year-old`` "five-year-old"."""
    said: list[str] = []
    for run in _RUNS.findall(word):
        if said and said[-1] == "to the power of" and run in _POWERS:
            said[-1] = _POWERS[run]
        elif run[0].isdigit() and run[0].isascii():
            said.append(_run_of_digits(run, around))
        elif run in {"-", "\u2013"}:
            said.append("-")
        elif name := (unit(run, one=False) if said and not run.isalpha() else ""):
            said.append(name)
        elif run.isalpha() or run not in _WITHIN:
            said.append(run)
        else:
            said.append(_WITHIN[run])
    return " ".join(part for part in said if part).replace(" - ", "-").removesuffix(" -")


def _run_of_digits(run: str, around: Surroundings) -> str:
    if len(run) == 4 and run.isdigit() and run[0] != "0" and not run.endswith("000") and not around.before:
        return numbers.year(int(run))
    return numbers.number(run)


_POWERS: Final = {"2": "squared", "3": "cubed"}
_WITHIN: Final = {
    "/": "",
    "_": "",
    ".": "dot",
    ":": "",
    "#": "number",
    "+": "plus",
    "=": "equals",
    "*": "times",
    "\u00d7": "times",
    "%": "percent",
    "<": "less than",
    ">": "greater than",
    "<=": "less than or equal to",
    ">=": "greater than or equal to",
    "==": "equals",
    "!=": "not equal to",
    "&": "and",
    "@": "at",
    "^": "to the power of",
    "**": "to the power of",
    "\\": "",
    "(": "",
    ")": "",
    "[": "",
    "]": "",
}
_SHAPES: Final[tuple[Callable[[str, Surroundings], Spoken | None], ...]] = (
    lambda word, around: _time(word, around) if ":" in word else None,
    lambda word, around: _date(word, around) if len(word) >= 8 else None,
    _amount,
    _compound,
    _phone,
)
