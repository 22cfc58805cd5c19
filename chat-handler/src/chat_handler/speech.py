"""What of an answer can be said aloud."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["speakable"]

_CODE_BLOCK: Final = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_IMAGE: Final = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_CITATION: Final = re.compile(r"\s*\[\d+(?:\s*,\s*\d+)*\]")
_URL: Final = re.compile(r"<?https?://\S+")
_LINE_MARK: Final = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+][ \t]+|\d+[.)][ \t]+)", re.MULTILINE)
_RULE: Final = re.compile(r"^[ \t]*(?:[-*_][ \t]*){3,}$", re.MULTILINE)
_TABLE_RULE: Final = re.compile(r"^[ \t]*\|?[ \t:|-]*-[ \t:|-]*\|?[ \t]*$", re.MULTILINE)
_EMPHASIS: Final = re.compile(r"(\*\*\*|\*\*|\*|___|__|~~)(?=\S)(.+?)(?<=\S)\1", re.DOTALL)
_UNDERSCORE: Final = re.compile(r"(?<!\w)_(?=\S)(.+?)(?<=\S)_(?!\w)", re.DOTALL)
_INLINE_CODE: Final = re.compile(r"`([^`]+)`")
_BLANKS: Final = re.compile(r"[ \t]+")
_LINES: Final = re.compile(r"\s*\n\s*")


def speakable(markdown: str) -> str:
    """Return the words of an answer without its markup: no code blocks, link targets, citation marks or rules."""
    text = _CODE_BLOCK.sub(" ", markdown)
    text = _IMAGE.sub(r"\1", text)
    text = _CITATION.sub("", text)
    text = _LINK.sub(r"\1", text)
    text = _URL.sub("", text)
    for rule in (_RULE, _TABLE_RULE, _LINE_MARK):
        text = rule.sub("", text)
    text = _EMPHASIS.sub(r"\2", text)
    text = _UNDERSCORE.sub(r"\1", text)
    text = _INLINE_CODE.sub(r"\1", text).replace("|", " ")
    return _LINES.sub("\n", _BLANKS.sub(" ", text)).strip()
