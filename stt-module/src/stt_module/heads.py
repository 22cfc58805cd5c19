"""How a container begins: what a decoder that joins in the middle has to read first."""

from __future__ import annotations

from typing import Final

__all__ = ["entry_of", "head_of"]

_EBML: Final = b"\x1a\x45\xdf\xa3"
_CLUSTER: Final = b"\x1f\x43\xb6\x75"
_OGG: Final = b"OggS"
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
    if audio[:4] == _EBML:
        end = audio.find(_CLUSTER)
    elif audio[:4] == _OGG:
        end = _page(audio, _OGG_HEADER_PAGES)
    else:
        return b""
    if end < 0 and len(audio) < _LONGEST:
        return None
    return audio[:end] if 0 < end <= _LONGEST else b""


def entry_of(head: bytes, audio: bytes) -> int:
    """Return where a decoder that has read a container's head can begin to read the rest; -1 where it cannot."""
    return audio.find(_CLUSTER if head.startswith(_EBML) else _OGG)


def _page(audio: bytes, number: int) -> int:
    """Return where a page begins, counted from 0; -1 where it has not come."""
    at = 0
    for _ in range(number):
        at = audio.find(_OGG, at + 4)
        if at < 0:
            return -1
    return at
