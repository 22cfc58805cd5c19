"""Writes the generated part of the sample corpus: `python -m deploy.local.eval.make_corpus`.

The facts and their wordings are written by hand, in `facts/`; a seeded generator chooses the wordings, so a second run
changes nothing.
Handbook and archive in `deploy/local/corpus` are written by hand altogether.
"""

from __future__ import annotations

import calendar
import html
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from deploy.local.eval.pdf import render_pdf

__all__ = ["documents"]

Row = Mapping[str, str]

_FACTS: Final = Path(__file__).parent / "facts"
_CORPUS: Final = Path(__file__).parent.parent / "corpus"
_MACHINE_FILES: Final = {
    "P": ("pumps", "Pumps"),
    "T": ("tractors", "Tractors and crawlers"),
    "G": ("generators", "Standby generators"),
    "W": ("turbines", "Wind turbines"),
    "B": ("battery-house", "The battery house"),
    "D": ("dairy-machines", "Machines of the dairy"),
    "K": ("kelp-machines", "Machines of the kelp sheds"),
    "R": ("radio-and-telephone", "Radio and telephone"),
    "S": ("wood-yard", "Machines of the wood yard"),
    "H": ("heating", "Heating plant"),
    "C": ("lifting-gear", "Cranes and hoists"),
    "X": ("other-machines", "Other machines"),
}
_MONTHS: Final = {name: number for number, name in enumerate(calendar.month_name) if name}


class Writer:
    """Turns rows into prose; the same seed gives the same text.

    Args:
        table: Name of the fact table.
    """

    def __init__(self, table: str) -> None:
        self._random = random.Random(f"marrowick {table}")  # noqa: S311 - a wording, not a secret
        wordings = json.loads((_FACTS / "wordings.json").read_text(encoding="utf-8"))
        self._parts: list[list[str]] = wordings[table]
        self._left: list[list[str]] = [[] for _ in self._parts]

    def paragraphs(self, row: Row) -> list[str]:
        """Return one text a part; a wording comes back only after all the others of its part."""
        values = {**row, **{_capital(key): _capital(value) for key, value in row.items()}}
        values["cause_lower"] = _lower(row.get("cause", ""))
        texts: list[str] = []
        for part, left in zip(self._parts, self._left, strict=True):
            if not left:
                left.extend(self._random.sample(part, len(part)))
            texts.append(left.pop().format_map(values))
        return texts

    def shuffled(self, texts: list[str], *, fixed: int) -> list[str]:
        """Return the texts with all but the first `fixed` of them in another order."""
        rest = texts[fixed:]
        self._random.shuffle(rest)
        return texts[:fixed] + rest


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _rows(table: str) -> list[Row]:
    head, *lines = (_FACTS / f"{table}.psv").read_text(encoding="utf-8").splitlines()
    return [dict(zip(head.split("|"), line.split("|"), strict=True)) for line in lines]


def _grouped(table: str, key: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in _rows(table):
        groups.setdefault(row[key], []).append(row)
    return groups


def _slug(text: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def _machines() -> Iterator[tuple[str, bytes]]:
    writer = Writer("machines")
    texts = {name: [f"# {title}\n"] for name, title in _MACHINE_FILES.values()}
    for row in _rows("machines"):
        name = _MACHINE_FILES[row["tag"].split("-")[1]][0]
        parts = writer.shuffled(writer.paragraphs(row), fixed=2)
        body = f"{' '.join(parts[:4])}\n\n{' '.join(parts[4:])}"
        texts[name].append(f"## {row['tag']}: {row['name']}\n\n{body}\n")
    for name, sections in texts.items():
        yield f"machines/{name}.md", "\n".join(sections).encode()


def _fields() -> Iterator[tuple[str, bytes]]:
    writer = Writer("fields")
    for hamlet, rows in _grouped("fields", "hamlet").items():
        sections = [f"# Field book of {hamlet}\n"]
        for row in rows:
            body = " ".join(writer.shuffled(writer.paragraphs(row), fixed=1))
            sections.append(f"## {row['name']}\n\n{body}\n")
        yield f"fields/{_slug(hamlet)}.md", "\n".join(sections).encode()


def _people() -> Iterator[tuple[str, bytes]]:
    writer = Writer("people")
    for home, rows in _grouped("people", "home").items():
        title = html.escape(f"Directory: {home}", quote=False)
        lines = ["<!doctype html>", f'<html lang="en">\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>']
        for row in rows:
            body = html.escape(" ".join(writer.shuffled(writer.paragraphs(row), fixed=1)), quote=False)
            lines.append(f"<h2>{html.escape(row['name'])}, {row['role']}</h2>\n<p>{body}</p>")
        yield f"people/{_slug(home)}.html", "\n".join([*lines, "</body>\n</html>\n"]).encode()


def _incidents() -> Iterator[tuple[str, bytes]]:
    writer = Writer("incidents")
    years: dict[str, list[str]] = {}
    for row in _rows("incidents"):
        year = row["number"].split("-")[1]
        parts = writer.shuffled(writer.paragraphs(row), fixed=4)
        section = f"{row['number']}  {row['title']}\n\n{' '.join(parts[:3])}\n\n{' '.join(parts[3:])}\n"
        years.setdefault(year, [f"Incident reports {year}\n"]).append(section)
    for year, sections in years.items():
        yield f"incidents/{year}.txt", "\n".join(sections).encode()


def _seeds() -> Iterator[tuple[str, bytes]]:
    writer = Writer("seeds")
    groups: dict[str, list[Row]] = {"grain-and-fibre": [], "roots-and-onions": [], "leaves-and-pulses": []}
    for row in _rows("seeds"):
        roots, grain = ("potato", "onion", "turnip", "carrot"), ("oat", "barley", "flax", "buckwheat", "hemp")
        kind = "roots-and-onions" if row["crop"] in roots else "leaves-and-pulses"
        groups["grain-and-fibre" if row["crop"] in grain else kind].append(row)
    for name, rows in groups.items():
        sections = [f"# Seed room: {name.replace('-', ' ')}\n"]
        for row in rows:
            body = " ".join(writer.shuffled(writer.paragraphs(row), fixed=1))
            sections.append(f"## {row['variety']} ({row['accession']})\n\n{body}\n")
        yield f"seeds/{name}.md", "\n".join(sections).encode()


def _minutes() -> Iterator[tuple[str, bytes]]:
    writer = Writer("minutes")
    for row in _rows("minutes"):
        day, month, year = row["date"].split()
        name = f"minutes/{year}-{_MONTHS[month]:02d}-{int(day):02d}.txt"
        body = "\n\n".join(writer.paragraphs(row))
        yield name, f"Minutes of the committee, {row['date']}\n\n{body}\n".encode()


def _vessels() -> Iterator[tuple[str, bytes]]:
    writer = Writer("vessels")
    sections = ["# Boats and barges of Marrowick\n"]
    for row in _rows("vessels"):
        body = " ".join(writer.shuffled(writer.paragraphs(row), fixed=1))
        sections.append(f"## {row['name']} ({row['number']})\n\n{body}\n")
    yield "handbook/vessels.md", "\n".join(sections).encode()


def _weather() -> Iterator[tuple[str, bytes]]:
    writer = Writer("weather")
    years: dict[str, list[str]] = {}
    for row in _rows("weather"):
        body = " ".join(writer.paragraphs(row))
        year = row["month"].split()[1]
        years.setdefault(year, [f"# Weather diary {year}\n"]).append(f"## {row['month']}\n\n{body}\n")
    for year, sections in years.items():
        yield f"weather/{year}.md", "\n".join(sections).encode()


def documents() -> dict[str, bytes]:
    """Return the generated files: content by path in the corpus."""
    families = (_machines, _fields, _people, _incidents, _seeds, _minutes, _vessels, _weather)
    made = dict(item for family in families for item in family())
    text = (_FACTS / "harbour-byelaws.txt").read_text(encoding="utf-8")
    made["handbook/harbour-byelaws.pdf"] = render_pdf(text, title="Harbour byelaws of Marrowick")
    return made


def main() -> None:
    """Write the generated files into the corpus."""
    for name, content in documents().items():
        path = _CORPUS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
