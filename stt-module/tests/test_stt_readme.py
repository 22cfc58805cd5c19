"""The README says what is so."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import SecretStr

from handler_base.errors import ERROR_CODES
from handler_base.live import live_endpoints_of
from stt_module import SttModule, SttSettings

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|empty) \| (.+) \|$", re.MULTILINE)


def written(value: object) -> str:
    """A default as an operator would write it."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value == () else str(value)


def test_every_setting_is_there_with_its_default_and_no_other() -> None:
    told = {name: default for name, default, _ in ROW.findall(README)}
    assert told == {name.upper(): written(field.default) for name, field in SttSettings.model_fields.items()}


@pytest.mark.parametrize("section", ["Purpose", "Configuration", "Deployment", "Local development", "API"])
def test_the_sections_are_there(section: str) -> None:
    assert f"\n## {section}\n" in README


def test_every_subject_is_there() -> None:
    for endpoint in live_endpoints_of(SttModule):
        for subject in (endpoint.subject, endpoint.answers):
            assert f"`{subject.template}`" in README


def test_the_error_codes_are_those_of_the_contract() -> None:
    told = {name: int(code) for name, code in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", README, re.MULTILINE)}
    assert told == {kind.value: code for kind, code in ERROR_CODES.items() if kind.value in told}
    assert {"invalid_request", "overloaded", "not_found", "upstream_unavailable"} <= set(told)
