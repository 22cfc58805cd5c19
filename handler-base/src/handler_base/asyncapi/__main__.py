"""Writes the AsyncAPI document: ``python -m handler_base.asyncapi docs/asyncapi.yaml``."""

from __future__ import annotations

import sys
from pathlib import Path

from handler_base.asyncapi.document import document, to_yaml

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Write the document to the file that is named, or to standard output."""
    text = to_yaml(document())
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
