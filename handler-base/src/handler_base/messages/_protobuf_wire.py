"""A look at the wire form of Protocol Buffers before it is parsed.

The parser makes objects of all it finds: a map entry of four bytes becomes a hundred. What is read here are
only the numbers and lengths of a message's own fields, so that a body made to grow is refused unread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from handler_base.messages._bounds import MAX_KEYS, TEXT_LIMIT

__all__ = ["check_growth"]

_FIXED: Final[dict[int, int]] = {1: 8, 5: 4}
"""Wire type → bytes of its value."""


def check_growth(payload: bytes, texts: frozenset[int], repeated: Mapping[int, int]) -> None:
    """Refuse a message that would take many times its size in memory.

    Args:
        payload: The message.
        texts: Numbers of its text fields.
        repeated: Number of a list or map → most entries it may have.

    Raises:
        ValueError: It would grow, or it is not well formed.
    """
    counts: Counter[int] = Counter()
    for number, start, end in _fields(payload):
        counts[number] += 1
        if end - start > TEXT_LIMIT and number in texts and not payload[start:end].isascii():
            raise ValueError("a text is too long")
    for number, most in repeated.items():
        if counts[number] > most:
            raise ValueError("a list or map has too many entries")


def _fields(payload: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field's value."""
    position, size = 0, len(payload)
    for _ in range(MAX_KEYS):
        if position >= size:
            break
        tag, start = _varint(payload, position)
        wire_type = tag & 7
        if wire_type == 0:
            position = _varint(payload, start)[1]
        elif wire_type == 2:
            length, start = _varint(payload, start)
            position = start + length
        elif wire_type in _FIXED:
            position = start + _FIXED[wire_type]
        else:
            raise ValueError("groups are not used")
        yield tag >> 3, start, position
    if position != size:
        raise ValueError("too many fields, or cut short")


def _varint(payload: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(payload):
            break
        byte = payload[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("cut short, or a number of more than ten bytes")
