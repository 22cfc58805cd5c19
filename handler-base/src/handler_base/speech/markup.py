"""Markdown and HTML as they come, without what is only there to be looked at.

Left out are code blocks, the targets of links, citation marks, tags, rules, emoji and every mark of emphasis; what a
link, a heading, a table or inline code says stays. White space comes out as one blank or one line end between words.

A part is skipped as it comes, however long it is; only what may still become a mark is held back, and no further than
a look ahead of `LOOK` characters. So a text takes time in proportion to its length, and means the same however it
was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from handler_base.speech import marks
from handler_base.speech.skipping import LOOK, Skipping
from handler_base.speech.spacing import BLANK, CELL, LINE, LOOSE

__all__ = ["MOST_HELD", "PlainText"]

MOST_HELD: Final = 256
"""Characters that are held back at most."""

_LONGEST_RUN: Final = 64
_LITERAL_IN_CODE: Final = frozenset("*_~<&|!#\\\u3010")


class PlainText(Skipping):
    """Takes the markup out of a text that comes in pieces."""

    def _begin_line(self) -> None:
        self._part = PlainText._line_start

    def _resume(self) -> None:
        self._part = PlainText._plain

    def _line_start(self, text: str, at: int) -> int:
        first = text[at]
        if first in " \t>":
            return at + 1
        if first in "-*_=|:+":
            return self._rule_or_bullet(text, at)
        starts = PlainText._starts.get(first)
        if starts:
            self._part = PlainText._plain
            return starts(self, text, at)
        if first in "\u2022\u2023\u25e6\u25aa\u25cf":
            return at + 1
        self._part = PlainText._plain
        return at

    def _rule_or_bullet(self, text: str, at: int) -> int:
        rule = marks.RULE.match(text, at, at + LOOK)
        end = rule.end() if rule else at
        if end - at >= LOOK:
            return end
        if self._grows(text, end):
            return at
        if text[end : end + 1] in "\r\n":
            return end
        bullets = marks.BULLETS.match(text, at)
        if bullets:
            return bullets.end()
        self._part = PlainText._plain
        return at + 1 if text[at] == "|" else at

    def _heading_mark(self, text: str, at: int) -> int:
        found = marks.HEADING.match(text, at)
        end = found.end() if found else at
        self._heading = end - at <= 6 and text[end : end + 1] in " \t\r\n"
        if self._grows(text, end) or self._heading:
            self._part = PlainText._line_start
        return end if self._heading and not self._grows(text, end) else at

    def _list_number(self, text: str, at: int) -> int:
        """Leave out numbers that count up from one; any other number at the start of a line is said."""
        found = marks.NUMBERED.match(text, at)
        if not found:
            possible = marks.POSSIBLE_NUMBER.match(text, at)
            if possible and self._grows(text, possible.end()):
                self._part = PlainText._line_start
            return at
        number = int(found[1])
        if number not in {0, 1, self._number, self._number + 1}:
            return at
        self._number = number
        self._part = PlainText._line_start
        return found.end()

    def _definition(self, text: str, at: int) -> int:
        """Leave out a task's box and lines that say where a link leads."""
        task = marks.TASK.match(text, at)
        if task:
            return task.end()
        close = text.find("]", at, at + 62)
        other = close > 0 and text[close + 1 : close + 2] not in {":", ""}
        if not other and len(text) < at + 90 and "\n" not in text[at:] and not self._final:
            self._part = PlainText._line_start
        elif marks.DEFINITION.match(text, at):
            self._part = PlainText._rest_of_line
        return at

    def _fence_of_tildes(self, text: str, at: int) -> int:
        end = _end_of_run(text, at)
        if self._grows(text, end) and end - at < _LONGEST_RUN:
            self._part = PlainText._line_start
            return at
        return self._open_block(text[at:end], end) if end - at >= 3 else at

    def _plain(self, text: str, at: int) -> int:
        """Write what has no mark; let each mark's own method tell what becomes of it."""
        search = (marks.ASCII_MARK if text.isascii() else marks.MARK).search
        write = self._out.write
        while found := search(text, at):
            index = found.start()
            mark = text[index]
            if mark == ":":
                return self._colon(text, at, index)
            if index > at:
                write(text[at:index])
            if self._code and mark in _LITERAL_IN_CODE:
                write(mark)
                at = index + 1
                continue
            at = PlainText._handlers.get(mark, PlainText._other)(self, text, index)
            if at == index or self._part is not PlainText._plain:
                return at
        end = len(text)
        if not self._final:
            scheme = marks.POSSIBLE_SCHEME.search(text, max(at, end - 5))
            end = scheme.start() if scheme else end
        write(text[at:end])
        return end

    def _colon(self, text: str, at: int, index: int) -> int:
        """Take the scheme of an address."""
        scheme = marks.SCHEME.search(text, max(at, index - 5), index)
        start = scheme.start() if scheme else index
        self._out.write(text[at:start])
        if text.startswith("://", index):
            self._out.gap(LOOSE)
            self._part = PlainText._host
            return index + 3
        if self._grows(text, index + 2) or self._grows(text, index + 1):
            return start
        self._out.write(text[start : index + 1])
        return index + 1

    # Marks: each method takes one and returns where it ends, or where it begins while that depends on what is to come.

    def _line_end(self, _text: str, index: int) -> int:
        self._out.gap(LINE)
        self._code = 0
        self._heading = False
        self._part = PlainText._line_start
        return index + 1

    def _ticks(self, text: str, index: int) -> int:
        end = _end_of_run(text, index)
        count = end - index
        if self._grows(text, end) and count < _LONGEST_RUN:
            return index
        if self._code:
            self._code = 0 if count == self._code else self._code
        elif count >= 3:
            return self._open_block(text[index:end], end)
        else:
            self._code = count
        return end

    def _emphasis(self, text: str, index: int) -> int:
        end = _end_of_run(text, index)
        if self._grows(text, end) and end - index < _LONGEST_RUN:
            return index
        mark = text[index]
        before = text[index - 1] if index else self._before
        after = text[end : end + 1]
        if mark == "_":
            said = before.isalnum() and after.isalnum()
        elif mark == "~":
            said = end - index == 1 and after.isdigit()
        elif before.isspace() and after.isspace():
            said = end - index == 1
        else:
            said = (before.isdigit() or before == ")") and (after.isdigit() or after == "(")
        if said:
            self._out.write(text[index:end])
        return end

    def _bracket(self, text: str, index: int) -> int:
        found = None if self._code else marks.CITATION.match(text, index)
        end = found.end() if found else index
        if found and not self._grows(text, end):
            self._out.loosen()
            if text[end : end + 1] == "(":
                self._part = PlainText._target
            return end
        possible = marks.POSSIBLE_CITATION.match(text, index)
        if possible and not self._code and self._grows(text, possible.end()) and possible.end() - index < LOOK:
            return index
        self._out.gap(LOOSE)
        return index + 1

    def _end_of_label(self, text: str, index: int) -> int:
        end = index + 1
        if not self._code:
            if self._grows(text, end):
                return index
            if text.startswith("(", end):
                self._part = PlainText._target
                return end
            if text.startswith("[", end):
                possible = marks.POSSIBLE_REFERENCE.match(text, end)
                if possible and self._grows(text, possible.end()) and possible.end() - end <= 60:
                    return index
                reference = marks.REFERENCE.match(text, end)
                end = reference.end() if reference else end
        self._out.gap(LOOSE)
        return end

    def _parenthesis(self, text: str, index: int) -> int:
        if self._code:
            self._out.gap(LOOSE)
        elif text[index] == "(":
            self._out.open()
        else:
            self._out.shut()
        return index + 1

    def _brace(self, _text: str, index: int) -> int:
        self._out.gap(LOOSE)
        return index + 1

    def _cell(self, _text: str, index: int) -> int:
        self._out.gap(CELL)
        return index + 1

    def _image(self, text: str, index: int) -> int:
        if self._grows(text, index + 1):
            return index
        if not text.startswith("[", index + 1):
            self._out.write("!")
        return index + 1

    def _number_sign(self, text: str, index: int) -> int:
        """Leave out the marks that close a heading."""
        end = _end_of_run(text, index)
        if self._heading and self._grows(text, end) and end - index < _LONGEST_RUN:
            return index
        if not self._heading or text[end : end + 1] not in "\r\n":
            self._out.write(text[index:end])
        return end

    def _tag(self, text: str, index: int) -> int:
        possible = marks.POSSIBLE_TAG.match(text, index)
        end = possible.end() if possible else index + 1
        second = text[index + 1 : index + 2]
        if self._grows(text, end) and end - index <= LOOK and (second.isalpha() or second in "/!"):
            return index
        tag = marks.TAG.match(text, index, end + 1)
        gap = marks.gap_of_tag(tag) if tag else None
        if tag and gap is not None:
            if gap:
                self._out.gap(CELL if gap == "|" else LINE)
            return tag.end()
        inside = text[index + 1 : end]
        before = text[index - 1] if index else self._before
        if second.isalpha() and "://" in inside:
            return index + 1
        if text.startswith(">", end) and not before.isalnum() and marks.PLACEHOLDER.fullmatch(inside):
            self._out.write(inside)
            return end + 1
        self._out.write("<")
        return index + 1

    def _entity(self, text: str, index: int) -> int:
        possible = marks.POSSIBLE_ENTITY.match(text, index)
        if possible and self._grows(text, possible.end()) and possible.end() - index < 34:
            return index
        found = marks.ENTITY.match(text, index)
        self._out.write(marks.decoded(found[0]) if found else "&")
        return found.end() if found else index + 1

    def _escape(self, text: str, index: int) -> int:
        if self._grows(text, index + 1):
            return index
        escaped = text[index + 1 : index + 2]
        if escaped in "\r\n:":
            return index + 1
        if escaped in "()[]":
            self._out.gap(LOOSE)  # the marks around a formula
            return index + 2
        if escaped.isalnum() or not escaped.isascii() or not escaped.isprintable() or escaped == " ":
            self._out.write("\\")
            return index + 1
        self._out.write("" if escaped == "`" else escaped)
        return index + 2

    def _source(self, text: str, index: int) -> int:
        found = marks.SOURCE.match(text, index)
        if found and found[1]:
            self._out.loosen()
            return found.end()
        if found and self._grows(text, found.end()) and found.end() - index <= 60:
            return index
        self._out.gap(LOOSE)
        return index + 1

    def _other(self, text: str, index: int) -> int:
        """Leave out pictures and what cannot be seen; any white space is a blank, or nothing between digits."""
        character = text[index]
        picture = marks.EMOJI.match(text, index)
        if picture:
            if self._grows(text, picture.end()) and picture.end() - index < _LONGEST_RUN:
                return index
            self._out.loosen()
            return picture.end()
        if character in "\u00a0\u2009\u202f" and (text[index - 1] if index else self._before).isdigit():
            if self._grows(text, index + 1):
                return index
            if text[index + 1 : index + 2].isdigit():
                return index + 1
        if character.isspace() or character < " ":
            self._out.gap(BLANK)
        return index + 1

    _starts: ClassVar[Mapping[str, Callable[[PlainText, str, int], int]]] = {
        "#": _heading_mark,
        "[": _definition,
        "~": _fence_of_tildes,
        **dict.fromkeys("0123456789", _list_number),
    }
    _handlers: ClassVar[Mapping[str, Callable[[PlainText, str, int], int]]] = {
        "\n": _line_end,
        "\r": _line_end,
        "`": _ticks,
        "*": _emphasis,
        "_": _emphasis,
        "~": _emphasis,
        "[": _bracket,
        "]": _end_of_label,
        "(": _parenthesis,
        ")": _parenthesis,
        "{": _brace,
        "}": _brace,
        "<": _tag,
        "&": _entity,
        "\\": _escape,
        "|": _cell,
        "!": _image,
        "#": _number_sign,
        "\u3010": _source,
    }


def _end_of_run(text: str, at: int) -> int:
    found = marks.RUNS[text[at]].match(text, at)
    return found.end() if found else at + 1
