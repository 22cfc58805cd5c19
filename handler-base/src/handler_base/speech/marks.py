"""The marks of Markdown and HTML. No pattern looks further than its numbers say, nor goes back over what it took."""

from __future__ import annotations

import html
import re
from typing import Final

__all__ = [
    "ASCII_MARK",
    "BULLETS",
    "CITATION",
    "DEFINITION",
    "EMOJI",
    "ENTITY",
    "HEADING",
    "HOST",
    "LINK_REST",
    "LINK_STOP",
    "MARK",
    "NUMBERED",
    "PATH",
    "PLACEHOLDER",
    "POSSIBLE_CITATION",
    "POSSIBLE_ENTITY",
    "POSSIBLE_NUMBER",
    "POSSIBLE_REFERENCE",
    "POSSIBLE_SCHEME",
    "POSSIBLE_TAG",
    "REFERENCE",
    "RULE",
    "RUNS",
    "SCHEME",
    "SOURCE",
    "TAG",
    "TASK",
    "decoded",
    "gap_of_tag",
]

_ASCII_MARKS: Final = r"\\`*_~\[\](){}<&|:!#\x00-\x1f\x7f"
_PICTURES: Final = (
    "\u00a9\u00ae\u2122\u20e3\u2300-\u23ff\u25a0-\u27bf\u2b00-\u2bff\ufe00-\ufe0f"
    "\U0001f000-\U0001faff\U000e0001-\U000e007f"
)
_OTHER_MARKS: Final = (
    f"{_PICTURES}\u0080-\u00a0\u00ad\u1680\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u3000\u3010\ufeff"
)
# A colon matters before slashes and an exclamation mark before a bracket; at the end they may stand before one.
_THAT_MATTERS: Final = r"(?:(?<![:!])|(?<=:)(?=//|/?\Z)|(?<=!)(?=\[|\Z))"
ASCII_MARK: Final = re.compile(f"[{_ASCII_MARKS}]{_THAT_MATTERS}")
MARK: Final = re.compile(f"[{_ASCII_MARKS}{_OTHER_MARKS}]{_THAT_MATTERS}")
EMOJI: Final = re.compile(f"[{_PICTURES}][{_PICTURES}\u200d]{{0,63}}")

RUNS: Final = {mark: re.compile(re.escape(mark) + "{1,64}") for mark in "`*_~#"}
RULE: Final = re.compile(r"[-*_=|:+ \t]+")
BULLETS: Final = re.compile(r"(?:[-*+\u2022\u2023\u25e6\u25aa\u25cf][ \t]+)+")
NUMBERED: Final = re.compile(r"([0-9]{1,3})[.)][ \t]+")
POSSIBLE_NUMBER: Final = re.compile(r"[0-9]{1,3}[.)]?")
HEADING: Final = re.compile(r"#{1,7}")
TASK: Final = re.compile(r"\[[ xX]\][ \t]")
DEFINITION: Final = re.compile(r"\[[^\]\n]{1,60}\]:[ \t]{0,4}<?[A-Za-z]{2,10}://")

CITATION: Final = re.compile(r"\[(?:\^[^\]\[\s]{1,40}|\d{1,3}(?:[ \t]?[,;\u2013-][ \t]?\d{1,3}){0,15})\]")
POSSIBLE_CITATION: Final = re.compile(r"\[(?:\^[^\]\[\s]{0,40}|[\d \t,;\u2013-]{0,100})\]?")
SOURCE: Final = re.compile("\u3010[^\u3011\n]{0,60}(\u3011?)")
REFERENCE: Final = re.compile(r"\[(?![0-9 ,;-]*\])[^\[\]\n]{0,60}\]")
POSSIBLE_REFERENCE: Final = re.compile(r"\[[^\[\]\n]{0,60}")
LINK_STOP: Final = re.compile(r"[()\n \t]")
LINK_REST: Final = re.compile(r"[ \t][^()\n]{0,199}")

SCHEME: Final = re.compile(r"(?:https?|ftp)\Z", re.IGNORECASE)
POSSIBLE_SCHEME: Final = re.compile(r"(?:h(?:t(?:tp?)?)?|https|ft?|ftp)\Z", re.IGNORECASE)
HOST: Final = re.compile(r"[^\s/?#<>()\[\]{}\"'`|\\*,;!]{0,120}")
PATH: Final = re.compile(r"[^\s<>()\[\]{}\"'`|*]*")

ENTITY: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
POSSIBLE_ENTITY: Final = re.compile(r"&#?[A-Za-z0-9]{0,32}")
PLACEHOLDER: Final = re.compile(r"[A-Za-z][\w .,'@+-]*")
POSSIBLE_TAG: Final = re.compile(r"<[^<>\n]{0,200}")
TAG: Final = re.compile(
    r"<(?P<close>/?)(?P<name>[A-Za-z][A-Za-z0-9-]{0,30})(?P<attributes>(?:[ \t]++[A-Za-z_:@][\w:.-]{0,40}+"
    r"=(?:\"[^\"<>\n]*+\"|'[^'<>\n]*+'|[^\s\"'<>=]++))*+)[ \t]*+/?>|<!(?P<comment>[^<>\n]*+)>"
)

_INLINE: Final = (
    "a abbr b bdi bdo big cite code del dfn em font i img input ins kbd label mark q s samp small span strike strong "
    "sub sup svg time tt u var wbr"
)
_CELLS: Final = frozenset(("td", "th"))
_LINES: Final = (
    "address article aside blockquote body br caption center dd details div dl dt figcaption figure footer form h1 h2 "
    "h3 h4 h5 h6 head header hr html li main nav ol p pre section summary table tbody tfoot thead tr ul"
)
_INLINE_TAGS: Final = frozenset(_INLINE.split())
_LINE_TAGS: Final = frozenset(_LINES.split())


def gap_of_tag(tag: re.Match[str]) -> str | None:
    """Return what stands in the place of a tag: nothing, a cell's border or a line end; `None` where it is no tag."""
    name = (tag["name"] or "").lower()
    if name in _CELLS:
        return "|"
    if name in _LINE_TAGS:
        return "\n"
    known = name in _INLINE_TAGS or tag["close"] or tag["attributes"] or not name
    return "" if known else None


def decoded(entity: str) -> str:
    """Return the character of an entity; a blank for white space, nothing for what is never said."""
    text = html.unescape(entity)
    if text.isspace():
        return " "
    return "" if MARK.fullmatch(text) and text not in "*<&|:!#~" else text
