"""How a container begins, and how it went on lately: what a decoder that joins in the middle has to read first."""

from __future__ import annotations

from typing import Final

__all__ = ["entry_of", "head_of", "newest_of"]

_EBML: Final = b"\x1a\x45\xdf\xa3"
_CLUSTER: Final = b"\x1f\x43\xb6\x75"
_OGG: Final = b"OggS"
_ID3: Final = b"ID3\x04\x00\x00\x00\x00\x00\x00"
"""An empty tag: MP3 has no head, and its frames can be read from any of them on."""

_FRAMES: Final = 4096
"""Bytes of MP3 in which a decoder finds its place, and what a frame borrows from those before it."""

_LONGEST_PART: Final = 128 * 1024
_LONGEST: Final = 4096
_OGG_HEADER_PAGES: Final = 2
"""Opus has its header on the first page and its comments on the second."""


def head_of(audio: bytes) -> bytes | None:
    """Return the part of a container before its sound.

    Args:
        audio: How the container begins, as far as it came.

    Returns:
        The head; empty where a decoder needs none, None where there is not enough of it yet.
    """
    if len(audio) < len(_EBML):
        return None
    if audio[:4] == _EBML:
        end = audio.find(_CLUSTER)
    elif audio[:4] == _OGG:
        end = _page(audio, _OGG_HEADER_PAGES)
    else:
        return _ID3
    if end < 0 and len(audio) < _LONGEST:
        return None
    return audio[:end] if 0 < end <= _LONGEST else b""


def entry_of(head: bytes, audio: bytes) -> int:
    """Return where a decoder that has read a container's head can begin to read the rest; -1 where it cannot."""
    return audio.find(_mark(head))


def newest_of(head: bytes, audio: bytes) -> bytes:
    """Return the part of what followed a head by which another decoder gets to where this one is.

    Args:
        head: How the container begins.
        audio: What this returned before, and what came since.

    Returns:
        The newest two of its parts, since a decoder may not be through with the first of them; next to nothing where
        they are too long to be kept.
    """
    mark = _mark(head)
    if not head or not mark:
        return audio[-_FRAMES:] if head else b""
    newest = audio.rfind(mark)
    before = audio.rfind(mark, 0, max(newest, 0))
    for place in (before, newest):
        if place >= 0 and len(audio) - place <= _LONGEST_PART:
            return audio[place:]
    return audio[1 - len(mark) :]  # how the next part may begin


def _mark(head: bytes) -> bytes:
    """Return what each part begins with that a decoder can begin at."""
    if head.startswith(_ID3[:3]):
        return b""
    return _CLUSTER if head.startswith(_EBML) else _OGG


def _page(audio: bytes, number: int) -> int:
    """Return where a page begins, counted from 0; -1 where it has not come."""
    at = 0
    for _ in range(number):
        at = audio.find(_OGG, at + 4)
        if at < 0:
            return -1
    return at
