"""The WorkflowTemplates: Argo's own models take them, and they fit the table of pipelines and the steps."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hera.workflows import models

from pipeline_bridge.catalog import EngineName, Pipeline, read_catalog
from pipeline_bridge.catalog.catalog import BUILT_IN

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "argo"
TEMPLATES = ("batch-inference", "document-ingestion", "model-evaluation")
PIPELINES = {
    name: pipeline for name, pipeline in read_catalog(BUILT_IN).pipelines.items() if pipeline.engine is EngineName.ARGO
}
TAG = re.compile(r"\{\{=toJson\((?P<value>[^}]*)\)\}\}")
every_template = pytest.mark.parametrize("name", TEMPLATES)


def template(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    return document


def containers(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each template that runs a container, with the container."""
    for one in template(name)["spec"]["templates"]:
        if "container" in one:
            yield one, one["container"]


def assignment(container: dict[str, Any]) -> str:
    [text] = [entry["value"] for entry in container["env"] if entry["name"] == "PIPELINE_ASSIGNMENT"]
    return str(text)


def pipeline_of(name: str) -> Pipeline:
    [found] = [pipeline for pipeline in PIPELINES.values() if pipeline.template == name]
    return found


def test_every_pipeline_of_argo_has_its_template() -> None:
    assert {pipeline.template for pipeline in PIPELINES.values()} == set(TEMPLATES)


@every_template
def test_argos_models_take_all_of_it(name: str) -> None:
    document = template(name)
    model = models.WorkflowTemplate.model_validate(document)
    # The models pass over fields they do not know; what they give back has every field they do.
    assert _plain(json.loads(model.model_dump_json(by_alias=True, exclude_none=True))) == _plain(document)


@every_template
def test_parameters_are_those_of_the_table(name: str) -> None:
    pipeline = pipeline_of(name)
    given = {one["name"]: one.get("value") for one in template(name)["spec"]["arguments"]["parameters"]}
    assert set(given) == set(pipeline.parameters)
    for parameter in pipeline.parameters.values():
        value = given[parameter.name]
        assert (value is None) == parameter.required, parameter.name
        assert value is None or parameter.read(value) == parameter.default


@every_template
def test_steps_take_what_they_are_given(name: str) -> None:
    """The parameters a container passes on are those of its step, as the table's defaults have them."""
    pipeline = pipeline_of(name)
    for one, container in containers(name):
        assert container["command"][:3] == ["python3", "-m", "pipeline_bridge.steps"]
        module = importlib.import_module(container["command"][3])
        values = {f"workflow.parameters['{key}']": str(p.default or "1") for key, p in pipeline.parameters.items()}
        values |= {f"inputs.parameters.{p['name']}": "0/1" for p in one.get("inputs", {}).get("parameters", ())}
        text = TAG.sub(lambda found, values=values: json.dumps(values[found["value"]]), assignment(container))  # type: ignore[misc]
        assert "{{" not in text
        msgspec.convert(json.loads(text)["parameters"], module.Parameters, strict=False)
        assert callable(module.run)


@every_template
def test_all_parameters_reach_a_step(name: str) -> None:
    passed = "".join(assignment(container) for _, container in containers(name))
    for parameter in pipeline_of(name).parameters:
        assert f"workflow.parameters['{parameter}']" in passed


@every_template
def test_containers_are_confined_bounded_and_tried_again(name: str) -> None:
    spec = template(name)["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["serviceAccountName"] == "pipelines"
    for one, container in containers(name):
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]) == {"requests", "limits"}
        assert re.fullmatch(r"registry\.example\.com/ai-services/[a-z-]+:\d+\.\d+\.\d+", container["image"])
        assert one["retryStrategy"]["expression"] == "asInt(lastRetry.exitCode) != 2"


def test_ingestion_fans_out_over_what_was_planned() -> None:
    main, plan, ingest = template("document-ingestion")["spec"]["templates"]
    [planned, ingested] = main["dag"]["tasks"]
    assert ingested["depends"] == planned["name"] == plan["name"]
    assert ingested["withParam"] == "{{tasks.plan.outputs.parameters.parts}}"
    assert plan["outputs"]["parameters"][0]["valueFrom"]["path"] == "/artifacts/parts.json"
    assert ingest["inputs"]["parameters"] == [{"name": "part"}]


def test_kustomize_knows_every_file_and_every_image() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) | set(kustomization["configurations"]) == files
    used = {container["image"].rpartition(":")[0] for name in TEMPLATES for _, container in containers(name)}
    assert {image["name"] for image in kustomization["images"]} == used


def _plain(value: Any) -> Any:  # noqa: ANN401 - any YAML
    """Return a document in which quantities and numbers are told as text, as either may be written."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return str(value)
