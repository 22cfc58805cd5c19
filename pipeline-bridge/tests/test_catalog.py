"""The table of pipelines: what is refused, and how it follows its file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import InvalidRequestError
from handler_base.handler import Service
from handler_base.testing.waiting import wait_until
from pipeline_bridge import BridgeSettings
from pipeline_bridge.catalog import (
    BUILT_IN,
    EngineName,
    InvalidCatalogError,
    Parameter,
    ParameterType,
    Pipeline,
    read_catalog,
)
from pipeline_bridge.choosing import EngineChoice
from pipeline_bridge.testing import PipelineCaller

StartBridge = Callable[..., Awaitable[Service]]

ARGO = "engine: argo, argo: {template: t}"

REFUSED = {
    "not YAML": ("pipelines: [", "is not YAML"),
    "a tag that makes objects": ("!!python/object/apply:os.getcwd []", "is not YAML"),
    "no map": ("just text", "Expected `object`"),
    "nothing in it": ("pipelines: {}", "length >= 1"),
    "an unknown key": (f"pipelines: {{a: {{{ARGO}, shell: x}}}}", "unknown field `shell`"),
    "an unknown engine": ("pipelines: {a: {engine: airflow}}", "'airflow'"),
    "no section for its engine": ("pipelines: {a: {engine: argo}}", "has no `argo` section"),
    "a name that is none": (f"pipelines: {{'../a': {{{ARGO}}}}}", "regex"),
    "a template that is a path": ("pipelines: {a: {engine: argo, argo: {template: ../x}}}", "regex"),
    "a module that is none": ("pipelines: {a: {engine: local, local: {steps: ['a; b']}}}", "regex"),
    "a default of another type": (
        f"pipelines: {{a: {{{ARGO}, parameters: {{n: {{type: integer, default: x}}}}}}}}",
        "parameter n: 'x' is not a integer",
    ),
    "a default that is not allowed": (
        f"pipelines: {{a: {{{ARGO}, parameters: {{n: {{default: x, allowed: [y]}}}}}}}}",
        "not one of the allowed values",
    ),
    "a default of what is required": (
        f"pipelines: {{a: {{{ARGO}, parameters: {{n: {{default: x, required: true}}}}}}}}",
        "what is required has no default",
    ),
    "a pattern that is none": (
        f"pipelines: {{a: {{{ARGO}, parameters: {{n: {{pattern: '('}}}}}}}}",
        "not a regular expression",
    ),
    "an alias that grows": (
        "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\npipelines: *b",
        "",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_is_not_valid_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    text, complaint = REFUSED[name]
    path = tmp_path / "pipelines.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidCatalogError, match=str(path)) as told:
        read_catalog(path)
    assert complaint in str(told.value)
    assert "\n" not in str(told.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCatalogError, match="cannot be read"):
        read_catalog(tmp_path / "none.yaml")


def test_the_built_in_table_has_the_pipelines_of_the_fleet() -> None:
    assert read_catalog(BUILT_IN).names == (
        *("batch-inference", "document-ingestion", "model-evaluation", "rag-query", "voice-pipeline"),
    )


@pytest.mark.parametrize(
    ("settings", "inside", "there_are"),
    [
        ({}, False, {"batch-inference": "local", "document-ingestion": "local", "model-evaluation": "local"}),
        ({"pipeline_engine": "local"}, True, {"document-ingestion": "local"}),
        ({"argo_host": "http://argo:2746"}, False, {"document-ingestion": "argo"}),
        ({}, True, {"document-ingestion": "argo", "rag-query": "kubeflow"}),
        ({"pipeline_engine": "configured"}, False, {"document-ingestion": "argo", "voice-pipeline": "kubeflow"}),
    ],
)
def test_the_settings_choose_the_engine(settings: dict[str, str], inside: bool, there_are: dict[str, str]) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"} if inside else {}
    choice = EngineChoice(BridgeSettings.model_validate(settings), environment)
    catalog = read_catalog(BUILT_IN)
    chosen = {name: choice.engine_of(catalog.pipelines[name]) for name in choice.available(catalog)}
    assert there_are.items() <= {name: engine.value for name, engine in chosen.items() if engine}.items()
    assert ("rag-query" in chosen) == (inside or settings.get("pipeline_engine") == "configured") or (
        settings.get("pipeline_engine") == "local"
    )


async def test_the_table_follows_its_file(
    start: StartBridge, write_table: Callable[[str], None], caller: PipelineCaller
) -> None:
    service = await start(pipelines_reload=0.02)
    before = await caller.until(await caller.trigger("later"), "error")
    assert before.available_pipelines == ["here", "one", "two"]
    write_table("pipelines: {later: {engine: argo, argo: {template: one-template}}}")
    ready = f"http://127.0.0.1:{service.health_port}/ready"

    async def offered() -> bool:
        told = await caller.until(await caller.trigger("none"), "error")
        return told.available_pipelines == ["later"]

    await wait_until(offered, every=0.02)
    write_table("pipelines: {later: {engine: nowhere}}")
    async with aiohttp.ClientSession() as session:

        async def degraded() -> bool:
            async with session.get(ready) as answer:
                assert answer.status == 200
                return "pipelines_file" in (await answer.json())["degraded"]

        await wait_until(degraded, every=0.02)
        assert await offered()
        await caller.until(await caller.trigger("later"), "pending")
        write_table("pipelines: {again: {engine: argo, argo: {template: one-template}}}")

        async def well() -> bool:
            return not await degraded()

        await wait_until(well, every=0.02)


@given(st.text(max_size=50))
def test_a_text_is_taken_as_it_is_or_refused(text: str) -> None:
    parameter = Parameter(name="p", max_length=40)
    try:
        assert parameter.read(text) == text
    except InvalidRequestError:
        assert len(text) > 40 or not text.isprintable() or any(mark in text for mark in ("{{", "}}", "$("))
    else:
        assert not {"\x00", "\x1b", "\r", "\u2028"} & set(text)


@given(st.integers(min_value=-(10**17), max_value=10**17), st.booleans())
def test_what_is_written_is_read(number: int, truth: bool) -> None:
    assert Parameter(name="p", type=ParameterType.INTEGER).read(str(number)) == number
    assert Parameter(name="p", type=ParameterType.BOOLEAN).read(str(truth)) is truth
    assert Parameter(name="p", type=ParameterType.NUMBER).read(str(number)) == float(number)


@pytest.mark.parametrize("text", ["", "1_000", "0x10", "1e400", "nan", "inf", "१२", "1 2", "9" * 19, "--1"])
@pytest.mark.parametrize("kind", [ParameterType.INTEGER, ParameterType.NUMBER, ParameterType.BOOLEAN])
def test_what_is_no_number_is_refused(kind: ParameterType, text: str) -> None:
    if kind is ParameterType.NUMBER and text == "9" * 19:
        return
    with pytest.raises(InvalidRequestError):
        Parameter(name="p", type=kind).read(text)


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=4))
def test_no_other_parameter_ever_gets_through(given_values: dict[str, str]) -> None:
    pipeline = Pipeline(
        name="p", engine=EngineName.ARGO, template="t", parameters={"a": Parameter(name="a", default="x")}
    )
    try:
        assert set(pipeline.read(given_values)) == {"a"}
    except InvalidRequestError:
        assert given_values
