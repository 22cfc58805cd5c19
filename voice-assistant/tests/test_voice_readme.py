"""The README says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from handler_base.errors import ERROR_CODES
from handler_base.handler import endpoints_of
from handler_base.messages import VOICE_EVENTS
from voice_assistant import VoiceHandler, VoiceSettings

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|empty) \| (.+) \|$", re.MULTILINE)


def written(value: object) -> str:
    """A default as an operator would write it."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def test_every_setting_is_there_with_its_default_and_no_other() -> None:
    told = {name: default for name, default, _ in ROW.findall(README)}
    assert told == {name.upper(): written(field.default) for name, field in VoiceSettings.model_fields.items()}


@pytest.mark.parametrize("section", ["Purpose", "Configuration", "Deployment", "Local development", "API"])
def test_the_sections_are_there(section: str) -> None:
    assert f"\n## {section}\n" in README


def test_every_subject_is_there() -> None:
    for endpoint in endpoints_of(VoiceHandler):
        named = (*endpoint.core, *endpoint.durable, *endpoint.responses.values())
        for subject in (*named, *([endpoint.cancel] if endpoint.cancel else [])):
            assert f"`{subject.template}`" in README


def test_every_event_is_there() -> None:
    told = [name for name in re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE) if name in VOICE_EVENTS]
    assert sorted(told) == sorted(VOICE_EVENTS)


def test_the_error_codes_are_those_of_the_contract() -> None:
    told = {name: int(code) for name, code in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", README, re.MULTILINE)}
    assert told == {kind.value: code for kind, code in ERROR_CODES.items() if kind.value in told}
    assert len(told) == 11
