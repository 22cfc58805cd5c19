"""Numbers in English words."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = ["cardinal", "decade", "digits", "fraction", "number", "ordinal", "plain_number", "time_of_day", "year"]

_BELOW_TWENTY: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_SMALL: Final = _BELOW_TWENTY.split()
_TENS: Final = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES: Final = ("", " thousand", " million", " billion", " trillion")
_MOST_DIGITS: Final = 15
_ORDINALS: Final = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_PARTS: Final = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 8: "eighth", 10: "tenth"}


@lru_cache(maxsize=1024)
def cardinal(value: int) -> str:
    """Return a whole number below 10^15 in words: ``42`` is "forty-two"."""
    if value < 20:
        return _SMALL[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return f"{_TENS[tens]}-{_SMALL[ones]}" if ones else _TENS[tens]
    if value < 1000:
        hundreds, rest = divmod(value, 100)
        return f"{_SMALL[hundreds]} hundred {cardinal(rest)}" if rest else f"{_SMALL[hundreds]} hundred"
    groups = []
    scale = 0
    while value:
        value, group = divmod(value, 1000)
        if group:
            groups.append(cardinal(group) + _SCALES[scale])
        scale += 1
    return " ".join(reversed(groups))


def ordinal(value: int) -> str:
    """Return the place in a row: ``22`` is "twenty-second"."""
    words = cardinal(value)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    if last in _ORDINALS:
        return words[:cut] + _ORDINALS[last]
    return words[:-1] + "ieth" if last.endswith("y") else words + "th"


def year(value: int) -> str:
    """Return four digits as a year is said: ``1984`` is "nineteen eighty-four"."""
    century, rest = divmod(value, 100)
    if century % 10 == 0 and rest < 10:
        return cardinal(value)
    if not rest:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def decade(value: int) -> str:
    """Return ten years: ``1990`` is "nineteen nineties", ``80`` is "eighties"."""
    words = year(value) if value >= 1000 else cardinal(value)
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def digits(text: str) -> str:
    """Return digits one by one: ``404`` is "four zero four"; anything else in the text is left out."""
    return " ".join(_SMALL[int(digit)] for digit in text if digit in "0123456789")


def plain_number(text: str) -> str:
    """Return a run of digits as a number, or digit by digit where it is a code: ``007``, or too long to be grasped."""
    if len(text) > _MOST_DIGITS or (text[0] == "0" and len(text) > 1):
        return digits(text)
    return cardinal(int(text))


def number(text: str) -> str:
    """Return a number with thousands marks and decimals: ``1,234.5``."""
    whole, point, decimals = text.replace(",", "").partition(".")
    words = plain_number(whole) if whole else ""
    return f"{words} point {digits(decimals)}".lstrip() if point else words


def fraction(top: int, bottom: int) -> str:
    """Return a fraction: ``3/4`` is "three quarters"; the empty string where it is not said as one."""
    if bottom not in _PARTS or not 0 < top < bottom:
        return ""
    if top == 1:
        return f"one {_PARTS[bottom]}"
    return f"{cardinal(top)} {_PARTS[bottom]}s"


def time_of_day(hour: int, minute: int, second: int = 0, half: str = "") -> str:
    """Return a time: ``14:30`` is "fourteen thirty", ``9:05 am`` is "nine oh five a m".

    Args:
        hour: 0 to 24.
        minute: 0 to 59.
        second: Said only when it is not 0.
        half: ``am``, ``pm`` or empty.
    """
    words = cardinal(hour)
    if minute:
        words += f" {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    elif not half and hour == 0:
        words = "midnight"
    elif not half:
        words += " o'clock" if hour <= 12 else " hundred"
    if second:
        words += f" and {cardinal(second)} second{'' if second == 1 else 's'}"
    return f"{words} {half[0]} m" if half else words
