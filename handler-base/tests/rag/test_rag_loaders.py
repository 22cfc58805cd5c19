"""Reading files of every type, whole, damaged and hostile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import (
    FleetError,
    InvalidRequestError,
    NotFoundError,
    PayloadTooLargeError,
    UnsupportedFormatError,
)
from handler_base.rag import SourceDocument, load_file
from handler_base.rag.html_text import html_to_text
from handler_base.rag.loaders import find_files, source_of

Load = Callable[[str, bytes], SourceDocument]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a file and loads it."""

    def written(name: str, content: bytes) -> SourceDocument:
        path = tmp_path / name
        path.write_bytes(content)
        return load_file(path, name)

    return written


def test_a_text_file_is_titled_by_its_first_line(load: Load) -> None:
    document = load("log.txt", b"\nThe Harbour Log\r\n\r\nA ship came in.\r\n")

    assert document.title == "The Harbour Log"
    assert document.text == "\nThe Harbour Log\n\nA ship came in.\n"


def test_a_text_file_that_begins_with_a_sentence_is_titled_by_its_name(load: Load) -> None:
    assert load("harbour-log_2.txt", b"A ship came in.").title == "harbour log 2"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark_are_read(load: Load, encoding: str) -> None:
    assert load("a.txt", "Höhe über Meer".encode(encoding)).text == "Höhe über Meer"


def test_text_in_another_encoding_is_a_clear_error(load: Load) -> None:
    with pytest.raises(InvalidRequestError, match=r"not valid utf-8 \(byte 1\)\. Convert"):
        load("a.txt", "Höhe".encode("latin-1"))


def test_binary_data_is_refused(load: Load) -> None:
    with pytest.raises(InvalidRequestError, match="binary"):
        load("a.txt", b"a\x00b")


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("# The Ferry #\n\ntext", "The Ferry"),
        ("---\ntitle: 'From the front'\nx: 1\n---\n# Other\n", "From the front"),
        ("The Ferry\n=========\n\ntext", "The Ferry"),
        ("text only", "a"),
    ],
)
def test_markdown_titles(load: Load, content: str, title: str) -> None:
    assert load("a.md", content.encode()).title == title


def test_markdown_keeps_its_headings_and_loses_its_front_matter(load: Load) -> None:
    document = load("a.md", b"---\ntitle: T\n---\nTop\n===\n\nPart\n----\n\n- item\n---\n")

    assert document.text == "# Top\n\n## Part\n\n- item\n---\n"


PAGE = """<!doctype html><html><head><title> The
 Island </title><style>p{}</style><script>var a = "<p>no</p>";</script></head>
<body><nav><a>Menu</a></nav><h1>The Island</h1><p>It has a <b>lighthouse</b>,&nbsp;a ferry &amp; bees.
<h2>Times</h2><ul><li>Monday<li>Friday</ul><table><tr><th>Day<th>Hour<tr><td>Mon<td>9</table>
<pre>  x = 1

  y = 2</pre><footer>imprint</footer></body></html>"""


def test_html_becomes_text_with_structure(load: Load) -> None:
    document = load("a.html", PAGE.encode())

    assert document.title == "The Island"
    assert document.text == (
        "# The Island\n\nIt has a lighthouse, a ferry & bees.\n\n## Times\n\n- Monday\n- Friday\n\n"
        "| Day | Hour\n| Mon | 9\n\n```\n  x = 1\n\n  y = 2\n```"
    )


def test_html_is_decoded_as_it_declares(load: Load) -> None:
    page = '<meta charset="iso-8859-1"><p>Höhe</p>'

    assert load("a.htm", page.encode("latin-1")).text == "Höhe"
    with pytest.raises(InvalidRequestError, match="not known"):
        load("b.htm", b'<meta charset="klingon">')


@pytest.mark.parametrize(
    "markup", ["<script>never closed", "<title>", "</footer></p>", "<svg><nav></svg>after", "<!--", "<"]
)
def test_broken_html_is_read(markup: str) -> None:
    _, text = html_to_text(markup)

    assert "never" not in text


@given(st.text())
def test_any_html_gives_text_without_markup_left_over(markup: str) -> None:
    title, text = html_to_text(f"<p>{markup}</p>")

    assert isinstance(title, str)
    assert text == text.strip()


def test_a_pdf_is_read_page_by_page(load: Load, make_pdf: Callable[[list[str]], bytes]) -> None:
    document = load("island.pdf", make_pdf(["The lamp is lit at dusk.", "", "Bees make honey."]))

    assert document.title == "island"
    assert document.text == "The lamp is lit at dusk.\n\n\n\nBees make honey."
    assert [document.page_at(document.text.index(word)) for word in ("lamp", "honey")] == [1, 3]


def test_a_pdf_with_a_password_is_refused(load: Load, make_pdf: Callable[..., bytes]) -> None:
    with pytest.raises(InvalidRequestError, match="password"):
        load("a.pdf", make_pdf(["secret"], password="x"))


@pytest.mark.parametrize("content", [b"", b"%PDF", b"%PDF-1.7\nxref\ntrailer <</Root 1 0 R>>\n%%EOF", b"hello"])
def test_a_damaged_pdf_is_refused(load: Load, content: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="damaged"):
        load("a.pdf", content)


@pytest.mark.parametrize("name", ["a.docx", "a", "a.PDF.exe"])
def test_other_types_are_refused(load: Load, name: str) -> None:
    with pytest.raises(UnsupportedFormatError):
        load(name, b"x")


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_file(tmp_path / "a.txt", "a.txt")
    with pytest.raises(NotFoundError):
        find_files(tmp_path / "a")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)

    with pytest.raises(PayloadTooLargeError):
        load_file(path, "a.txt")


def test_a_folder_is_read_in_order_without_what_is_hidden_or_unknown(tmp_path: Path) -> None:
    for name in ("b.md", "a/z.TXT", "a/y.html", ".git/x.md", "a/.w.md", "c.docx"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")

    assert [source_of(path, tmp_path) for path in find_files(tmp_path)] == ["a/y.html", "a/z.TXT", "b.md"]
    assert find_files(tmp_path / "b.md") == [tmp_path / "b.md"]


def test_a_file_outside_the_root_has_no_source(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError):
        source_of(tmp_path / "a.txt", tmp_path / "sub")


def test_a_document_needs_a_source_and_a_title() -> None:
    for source, title in (("", "t"), ("s", "")):
        with pytest.raises(FleetError):
            SourceDocument(source, title, "text")
