"""The README says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from handler_base.errors import ERROR_CODES
from handler_base.handler import endpoints_of
from handler_base.messages.events import PIPELINE_EVENTS
from handler_base.messages.subjects import PIPELINE_CANCEL, PIPELINE_EVENT
from pipeline_bridge import BridgeSettings, PipelineBridge
from pipeline_bridge.catalog import BUILT_IN, read_catalog
from pipeline_bridge.steps.settings import StepSettings

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|empty) \| (.+) \|$", re.MULTILINE)


def written(value: object) -> str:
    """A default as an operator would write it."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value == () else str(value)


def test_every_setting_is_there_with_its_default_and_no_other() -> None:
    told = {name: default for name, default, _ in ROW.findall(README)}
    fields = {
        **{name: StepSettings.model_fields[name] for name in ("source_urls", "artifacts_dir", "artifacts_url")},
        **BridgeSettings.model_fields,
    }
    assert told == {name.upper(): written(field.default) for name, field in fields.items()}


@pytest.mark.parametrize("section", ["Purpose", "Configuration", "Deployment", "Local development", "API"])
def test_the_sections_are_there(section: str) -> None:
    assert f"\n## {section}\n" in README


def test_every_subject_and_event_is_there() -> None:
    for endpoint in endpoints_of(PipelineBridge):
        for subject in (*endpoint.core, *endpoint.durable, *endpoint.responses.values()):
            assert f"`{subject.template}`" in README
    for subject in (PIPELINE_CANCEL, PIPELINE_EVENT):
        assert f"`{subject.template}`" in README
    assert all(f"`{event}`" in README for event in PIPELINE_EVENTS)


def test_the_error_codes_are_those_of_the_contract() -> None:
    told = {name: int(code) for name, code in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", README, re.MULTILINE)}
    assert told == {kind.value: code for kind, code in ERROR_CODES.items() if kind.value in told}
    assert {"invalid_request", "not_found", "upstream_unavailable"} <= set(told)


def test_the_built_in_pipelines_are_there() -> None:
    for pipeline in read_catalog(BUILT_IN).pipelines.values():
        here = "yes" if pipeline.steps else "no"
        assert re.search(
            rf"^\| `{pipeline.name}` \| {pipeline.engine}\w* \| {here} \|", README, re.MULTILINE | re.IGNORECASE
        )
