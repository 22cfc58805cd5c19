"""What the documents say works: the script runs, targets and links exist, lock files name no address."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from handler_base.errors import ERROR_CODES
from handler_base.handler import Handler, endpoints_of
from handler_base.messages.streams import AI_CHAT_STREAM

ROOT = Path(__file__).resolve().parents[3]
PYTHON_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|^(?: {4}|\t).*$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
NAMED_TARGET = re.compile(r"(?:`|^ {4})make ([a-z][a-z-]*(?: [a-z][a-z-]*)*)", re.MULTILINE)


@cache
def _tracked(pattern: str) -> tuple[Path, ...]:
    """Return the files of the repository that fit a pattern, also those not committed yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(path for line in listed.splitlines() if (path := ROOT / line).exists())


def _documents() -> list[Path]:
    """Return the documents about the project; the sample corpus is about something else."""
    return [path for path in _tracked("*.md") if "corpus" not in path.parts]


def _script() -> str:
    return str(PYTHON_BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))[0])


async def _run_script(url: str, directory: Path) -> tuple[int | None, str]:
    script = directory / "ask.py"
    script.write_text(_script(), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        cwd=directory,
        env={**os.environ, "NATS_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, said.decode()


def test_the_script_is_ten_lines_of_nats_py_and_msgpack() -> None:
    script = _script()
    assert len([line for line in script.splitlines() if line.strip()]) <= 12
    assert "handler_base" not in script


async def test_the_script_prints_the_answer(chat_url: str, tmp_path: Path) -> None:
    code, said = await _run_script(chat_url, tmp_path)
    assert code == 0, said
    assert "The answer is in the documents" in said


def test_the_example_of_the_library_declares_an_endpoint() -> None:
    source = PYTHON_BLOCK.findall((ROOT / "handler-base" / "README.md").read_text(encoding="utf-8"))[0]
    namespace: dict[str, object] = {"__name__": "example"}
    exec(compile(source, "README.md", "exec"), namespace)  # noqa: S102 - our own document
    echo = namespace["Echo"]
    assert isinstance(echo, type)
    assert issubclass(echo, Handler)
    assert [found.method for found in endpoints_of(echo)] == ["echo"]


def test_named_make_targets_exist() -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    unknown = {
        f"{document.relative_to(ROOT)}: make {target}"
        for document in _documents()
        for named in NAMED_TARGET.findall(document.read_text(encoding="utf-8"))
        for target in named.split()
        if target not in targets
    }
    assert unknown == set()


def test_make_help_shows_every_target() -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    said = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    shown = re.findall(r"^ +make ([a-z-]+) +\S", said, re.MULTILINE)
    assert sorted(shown) == sorted(targets)


def test_the_readme_names_every_target() -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    named = set(NAMED_TARGET.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert targets - named == set()


@pytest.mark.parametrize("document", _documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_local_links_lead_somewhere(document: Path) -> None:
    text = CODE.sub("", document.read_text(encoding="utf-8"))
    broken = [
        link
        for link in LINK.findall(text)
        if not re.match(r"[a-z]+:|#", link) and not (document.parent / link.partition("#")[0]).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("lock", _tracked("*.lock"), ids=lambda path: path.name)
def test_lock_files_name_no_address(lock: Path) -> None:
    assert "://" not in lock.read_text(encoding="utf-8")


def test_the_readme_lists_every_error_with_its_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \| \S", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {kind: int(code) for kind, code in rows} == {str(kind): code for kind, code in ERROR_CODES.items()}


def test_the_figures_of_retrieval_are_those_that_were_measured() -> None:
    results = (ROOT / "deploy" / "local" / "eval" / "results.md").read_text(encoding="utf-8")
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    figures = dict(re.findall(r"^\| ([\w+ ]+?) +\| (0\.\d{3}) ", results, re.MULTILINE))
    for ranking in ("dense", "BM25", "hybrid", "hybrid + rerank"):
        assert figures[ranking] in readme, ranking


def test_the_stream_of_pieces_is_as_short_lived_as_the_readme_says() -> None:
    assert AI_CHAT_STREAM.storage == "memory"
    assert AI_CHAT_STREAM.max_age.total_seconds() == 300
