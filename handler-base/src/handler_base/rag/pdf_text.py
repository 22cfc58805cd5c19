"""The text of a PDF, page by page, by pypdf."""

from __future__ import annotations

import io
import logging
import re
from typing import Final

from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError, PyPdfError

from handler_base.errors import InvalidRequestError

__all__ = ["pdf_pages"]

_log = logging.getLogger(__name__)

_DAMAGE: Final = (
    *(PyPdfError, ArithmeticError, AttributeError, LookupError),
    *(OSError, RecursionError, TypeError, ValueError),
)
"""What pypdf raises for a damaged file: whatever its broken objects happen to cause."""

_HYPHENATED: Final = re.compile(r"(?<=[a-z\u00df-\u00ff])-\n(?=[a-z\u00df-\u00ff])")
_WRAPPED: Final = re.compile(r"(?<=[^\n.:;!?])\n(?=[a-z\u00df-\u00ff(])")


def pdf_pages(content: bytes) -> tuple[str, list[str]]:
    """Return the title (empty when it has none) and the text of each page; a scanned page has none.

    Raises:
        InvalidRequestError: The file is damaged, or needs a password.
    """
    logging.getLogger("pypdf").setLevel(logging.ERROR)
    try:
        reader = PdfReader(io.BytesIO(content))
        title = (reader.metadata.title if reader.metadata else None) or ""
        pages = [_tidy(page.extract_text()) for page in reader.pages]
    except FileNotDecryptedError as error:
        raise InvalidRequestError("The PDF needs a password.") from error
    except _DAMAGE as error:
        _log.warning("a PDF cannot be read", extra={"error": type(error).__name__})
        raise InvalidRequestError("The PDF is damaged.") from error
    return str(title).strip(), pages


def _tidy(text: str) -> str:
    """Join words and sentences that the page's width broke, so that they can be found and quoted."""
    return _WRAPPED.sub(" ", _HYPHENATED.sub("", text.replace("\r\n", "\n"))).strip()
