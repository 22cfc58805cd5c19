"""`.env.example` and the tables of settings say what the code reads."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.local.environment import PORTS
from deploy.local.ingest import CORPUS
from handler_base.config import Settings

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / ".env.example"
ASSIGNMENT = re.compile(r"#([A-Z][A-Z0-9_]*)=(.*)")


def _settings_modules() -> Iterator[str]:
    """Name the modules of the packages that declare settings, found by reading them."""
    for path in sorted(ROOT.glob("*/src/**/*.py")):
        if "testing" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Settings") for base in node.bases):
                yield ".".join(path.with_suffix("").parts[path.parts.index("src") + 1 :])


def _settings_classes() -> set[type[Settings]]:
    modules = set(_settings_modules())
    found: set[type[Settings]] = set()
    for name in modules:
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, type) and issubclass(value, Settings) and value.__module__ in modules:
                found.add(value)
    return found


def _shown(default: object) -> str:
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(default) if isinstance(default, tuple) else str(default)


def _fields() -> dict[str, str]:
    fields = {}
    for cls in _settings_classes():
        for name, field in cls.model_fields.items():
            fields[name.upper()] = _shown(field.default)
    return fields


def _stack() -> dict[str, str]:
    """Return what the local stack reads besides."""
    ports = {name: str(port) for name, port in PORTS.items()}
    return {**ports, "LOCAL_DIR": ".local", "LOCAL_CORPUS": str(CORPUS)}


def _example() -> list[tuple[str, str, str]]:
    """Return name, default and the line above of each setting in the example."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    found = []
    for above, line in itertools.pairwise(lines):
        match = ASSIGNMENT.fullmatch(line)
        if match is not None:
            found.append((match[1], match[2], above))
    return found


def test_discovery_finds_the_base_and_the_services() -> None:
    names = {cls.__name__ for cls in _settings_classes()}
    assert {"Settings", "InferenceSettings", "RagSettings", "SessionSettings", "ChatSettings"} <= names


def test_the_example_shows_every_setting_with_its_default() -> None:
    assert {name: default for name, default, _ in _example()} == _fields() | _stack()


def test_each_setting_is_shown_once_under_a_line_that_explains_it() -> None:
    shown = _example()
    assert len({name for name, _, _ in shown}) == len(shown)
    unexplained = [name for name, _, above in shown if not above.startswith("# ") or above.startswith("# ---")]
    assert unexplained == []


def test_the_example_sets_nothing_by_itself() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.strip() and not line.startswith("#")] == []


def test_the_example_is_read_back_with_its_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking every # away changes nothing: the defaults are written the way they are read."""
    for name, _, _ in _example():
        monkeypatch.delenv(name, raising=False)
    active = tmp_path / "env"
    active.write_text("\n".join(f"{name}={default}" for name, default, _ in _example()), encoding="utf-8")
    for cls in _settings_classes():
        assert cls(_env_file=active) == cls(_env_file=None), cls.__name__


@pytest.mark.parametrize(
    ("package", "bases"), [("handler-base", "handler_base.config"), ("chat-handler", "chat_handler")]
)
def test_the_readme_of_a_package_lists_its_settings(package: str, bases: str) -> None:
    """Each field is in the table of the package that declares it, with its default."""
    readme = (ROOT / package / "README.md").read_text(encoding="utf-8")
    missing = []
    for cls in _settings_classes():
        if not cls.__module__.startswith(bases):
            continue
        for name in cls.__annotations__:
            if name not in cls.model_fields:
                continue
            default = _shown(cls.model_fields[name].default)
            row = rf"^\| `{name.upper()}` \| {f'`{re.escape(default)}`' if default else 'empty'} \| \S.*\|$"
            if re.search(row, readme, re.MULTILINE) is None:
                missing.append(name.upper())
    assert missing == []
