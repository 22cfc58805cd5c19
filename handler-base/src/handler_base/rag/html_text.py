"""HTML as text: headings, paragraphs, lists and tables in Markdown's form, without what is not content."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

__all__ = ["html_to_text"]

_SKIPPED: Final = frozenset({"script", "style", "noscript", "template", "svg", "nav", "footer", "iframe"})
_BLOCKS: Final = frozenset(
    {"p", "div", "section", "article", "main", "header", "aside", "ul", "ol", "table", "blockquote", "figure", "dl"}
)
_LINES: Final = frozenset({"br", "tr", "li", "dt", "dd", "hr"})
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_FENCE: Final = "```"
_SPACE: Final = re.compile(r"\s+")
_BLANK_LINES: Final = re.compile(r"\n{3,}")


def html_to_text(markup: str) -> tuple[str, str]:
    """Return the title (empty when there is none) and the text of a page; broken markup is read as browsers would."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return _SPACE.sub(" ", reader.title).strip(), reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self._parts: list[str] = []
        self._skipping: list[str] = []
        self._in_title = False
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        if tag in _SKIPPED:
            self._skipping.append(tag)
        elif tag == "title":
            self._in_title = not self.title
        elif tag == "pre":
            self._preformatted += 1
            self._parts.append(f"\n\n{_FENCE}\n")
        elif tag in _HEADINGS:
            self._parts.append("\n\n" + "#" * _HEADINGS[tag] + " ")
        elif tag == "li":
            self._parts.append("\n- ")
        elif tag in {"td", "th"}:
            self._parts.append(" | ")
        elif tag in _LINES:
            self._parts.append("\n")
        elif tag in _BLOCKS:
            self._parts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        if self._skipping:
            # A skipped element that is never closed would swallow the rest; its own end tag ends it.
            if tag in self._skipping:
                del self._skipping[self._skipping.index(tag) :]
        elif tag == "title":
            self._in_title = False
        elif tag == "pre" and self._preformatted:
            self._preformatted -= 1
            self._parts.append(f"\n{_FENCE}\n\n")
        elif tag in _HEADINGS or tag in _BLOCKS:
            self._parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        """Take text."""
        if self._skipping:
            return
        if self._in_title:
            self.title += data
        elif self._preformatted:
            self._parts.append(data)
        else:
            self._parts.append(_SPACE.sub(" ", data))

    def text(self) -> str:
        """Return what was read, tidied."""
        inside = False
        lines = []
        for line in "".join(self._parts).split("\n"):
            if line == _FENCE:
                inside = not inside
            lines.append(line.rstrip() if inside else line.strip())
        return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()
