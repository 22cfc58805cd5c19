"""What of an answer can be said aloud.

A model may repeat one mark for a whole answer, so every step here takes time in proportion to the text: no pattern
may look ahead past the next mark of its own kind.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["speakable"]

_CODE_BLOCK: Final = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_LABEL: Final = r"\[([^\[\]\n]*+)\]"
_TARGET: Final = r"\((?:[^()\n]|\([^()\n]*+\))*+\)"
_LINK: Final = re.compile(rf"!?{_LABEL}{_TARGET}")
_CITATION: Final = re.compile(rf"[ \t]{{0,8}}\[\d{{1,3}}(?:[ \t]?[,;-][ \t]?\d{{1,3}}){{0,15}}\](?:{_TARGET})?")
_URL: Final = re.compile(r"<?https?://[^\s<>()]*+>?")
_EMPTY_BRACKETS: Final = re.compile(r"\([ \t]{0,8}\)")
_LINE_MARK: Final = re.compile(r"(?:>[ \t]*+)*+(?:(?:#{1,6}|[-*+]|\d{1,9}[.)])[ \t]++)?")
_STRONG: Final = re.compile(r"(?<!\d)(?:\*{2,}+|_{2,}+|~~)|(?:\*{2,}+|_{2,}+|~~)(?!\d)")
_LIGHT: Final = re.compile(r"(?<![\w*])[*_](?=[^\s*])|(?<=[^\s*])[*_](?![\w*])")
_BLANKS: Final = re.compile(r"[ \t]++")


def speakable(markdown: str) -> str:
    """Return the words of an answer without its markup: no code blocks, link targets, citation marks or rules."""
    text = _CODE_BLOCK.sub("\n", markdown).replace("`", "")
    text = _LINK.sub(r"\1", _CITATION.sub("", text))
    text = _EMPTY_BRACKETS.sub("", _URL.sub("", text))
    lines = (_spoken_line(line.strip()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _spoken_line(line: str) -> str:
    if not line.strip("-*_|: \t"):
        return ""  # a rule, or the line under the head of a table
    line = _LINE_MARK.sub("", line, count=1)
    line = _LIGHT.sub("", _STRONG.sub("", line))
    return _BLANKS.sub(" ", line.replace("|", " ")).strip()
