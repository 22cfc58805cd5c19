"""Reading documents from files: text, Markdown, HTML and PDF, told apart by suffix."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from handler_base.errors import InvalidRequestError, NotFoundError, PayloadTooLargeError, UnsupportedFormatError
from handler_base.rag.documents import SourceDocument
from handler_base.rag.html_text import html_to_text

__all__ = ["SUFFIXES", "find_files", "load_file", "source_of"]

_MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEADING: Final = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_SETEXT: Final = re.compile(r"^(?P<title>[^\n#>|-][^\n]*)\n(?P<line>=+|-{3,})[ \t]*$", re.MULTILINE)
_FRONT_MATTER: Final = re.compile(r"\A---\n(?P<fields>.*?)\n---\n", re.DOTALL)
_FRONT_TITLE: Final = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.MULTILINE | re.IGNORECASE)
_CHARSET: Final = re.compile(rb"<meta[^>]+charset=[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)


def find_files(path: Path) -> list[Path]:
    """Return the files a path means: itself, or all in a folder that can be read, sorted, without hidden ones.

    Raises:
        NotFoundError: There is nothing at the path.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NotFoundError(f"There is no file or folder {path.name!r}.")
    return sorted(
        found
        for found in path.rglob("*")
        if found.suffix.lower() in SUFFIXES
        and found.is_file()
        and not any(part.startswith(".") for part in found.relative_to(path).parts)
    )


def source_of(path: Path, root: Path) -> str:
    """Return the path relative to the root, with ``/``: what identifies a file's document on every machine.

    Raises:
        InvalidRequestError: The file is not below the root.
    """
    try:
        return str(PurePosixPath(path.resolve().relative_to(root.resolve())))
    except ValueError as error:
        raise InvalidRequestError(f"{path.name} does not lie in the given root.") from error


def load_file(path: Path, source: str) -> SourceDocument:
    """Read one file.

    Args:
        path: The file.
        source: Identity of the document; see `SourceDocument`.

    Raises:
        UnsupportedFormatError: The suffix is not one of `SUFFIXES`.
        NotFoundError: The file cannot be opened.
        PayloadTooLargeError: The file is larger than 64 MB.
        InvalidRequestError: The file is damaged, encrypted, or not in a known text encoding.
    """
    loader = SUFFIXES.get(path.suffix.lower())
    if loader is None:
        raise UnsupportedFormatError(f"Files of type {path.suffix or 'without suffix'} cannot be read.")
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise PayloadTooLargeError("The file is larger than 64 MB.")
        content = path.read_bytes()
    except OSError as error:
        raise NotFoundError("The file cannot be opened.") from error
    return loader(content, source)


def _load_text(content: bytes, source: str) -> SourceDocument:
    text = _decode(content)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    # A text file begins with its title more often than not, but then not with a whole sentence.
    title = first if 0 < len(first) <= 80 and not first.endswith((".", ",", ";")) else ""
    return SourceDocument(source, title or _name(source), text)


def _load_markdown(content: bytes, source: str) -> SourceDocument:
    text = _decode(content)
    front = _FRONT_MATTER.match(text)
    named = _FRONT_TITLE.search(front["fields"]) if front else None
    body = _SETEXT.sub(_atx_heading, text[front.end() :] if front else text)
    heading = _HEADING.search(body)
    title = named[1] if named else heading[1] if heading else ""
    return SourceDocument(source, title.strip() or _name(source), body)


def _load_html(content: bytes, source: str) -> SourceDocument:
    declared = _CHARSET.search(content[:2048])
    title, text = html_to_text(_decode(content, declared[1].decode() if declared else ""))
    heading = _HEADING.search(text)
    return SourceDocument(source, title or (heading[1] if heading else "") or _name(source), text)


def _load_pdf(content: bytes, source: str) -> SourceDocument:
    from handler_base.rag.pdf_text import pdf_pages  # noqa: PLC0415 - pypdf is loaded when a PDF is read

    title, pages = pdf_pages(content)
    starts: list[int] = []
    length = 0
    for page in pages:
        starts.append(length)
        length += len(page) + 2
    return SourceDocument(source, title or _name(source), "\n\n".join(pages), tuple(starts))


def _decode(content: bytes, declared: str = "") -> str:
    """Decode text by its byte order mark, then by what it declares, then as UTF-8."""
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), declared or "utf-8")
    try:
        text = content.decode(encoding)
    except LookupError as error:
        raise InvalidRequestError(f"The encoding {encoding!r} is not known.") from error
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"The text is not valid {encoding} (byte {error.start}). Convert the file to UTF-8."
        ) from error
    if "\x00" in text:
        raise InvalidRequestError("The file holds binary data, not text.")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _atx_heading(match: re.Match[str]) -> str:
    return ("# " if match["line"].startswith("=") else "## ") + match["title"].strip()


def _name(source: str) -> str:
    """Return a title made of the file's name."""
    stem = PurePosixPath(source).stem
    return re.sub(r"[\s_-]+", " ", stem).strip() or source


SUFFIXES: Final[dict[str, Callable[[bytes, str], SourceDocument]]] = {
    ".txt": _load_text,
    ".text": _load_text,
    ".md": _load_markdown,
    ".markdown": _load_markdown,
    ".html": _load_html,
    ".htm": _load_html,
    ".pdf": _load_pdf,
}
"""What reads each type of file."""
