"""Work shared out among several processes, such as the pods of a workflow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from handler_base.errors import InvalidRequestError

__all__ = ["MOST_PARTS", "Part"]

MOST_PARTS: Final = 1000
"""Most parts of one run."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of several parts of the work, each done by a process of its own.

    A thing belongs to the same part in every process: by its name, not by its place in a list.

    Attributes:
        index: Which, from 0.
        count: How many there are.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read ``index/count``.

        Raises:
            InvalidRequestError: It is something else.
        """
        index, _, count = text.partition("/")
        if not (index.isascii() and index.isdecimal() and count.isascii() and count.isdecimal()):
            raise InvalidRequestError("A part is written index/count, such as 0/4.")
        if not (0 <= int(index) < int(count) <= MOST_PARTS):
            raise InvalidRequestError(f"The index of a part is below its count, which is {MOST_PARTS} at most.")
        return cls(int(index), int(count))

    def holds(self, name: str) -> bool:
        """Whether what has this name belongs to this part."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index
