"""The compiled Kubeflow pipelines: current, and fit for the table of pipelines and the steps. Without KFP itself."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline_bridge.catalog import EngineName, ParameterType, read_catalog
from pipeline_bridge.catalog.catalog import BUILT_IN
from pipeline_bridge.steps.kubeflow import parser

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "kubeflow"
PIPELINES = {
    name: pipeline
    for name, pipeline in read_catalog(BUILT_IN).pipelines.items()
    if pipeline.engine is EngineName.KUBEFLOW
}
TYPES = {ParameterType.STRING: "STRING", ParameterType.INTEGER: "NUMBER_INTEGER"}
PLACEHOLDER = re.compile(r"\{\{\$\.(inputs|outputs)\.(parameters|artifacts)\['(\w+)'\](\.path|\.output_file)?\}\}")
every_pipeline = pytest.mark.parametrize("name", sorted(PIPELINES))


def compiled(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the pipeline, and what it asks of Kubernetes."""
    pipeline, platforms = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text("utf-8"))
    return pipeline, platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_every_pipeline_of_kubeflow_is_compiled() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(PIPELINES) == {p.pipeline for p in PIPELINES.values()}


@every_pipeline
def test_it_was_compiled_from_what_is_there(name: str) -> None:
    first = (FOLDER / f"{name}.yaml").read_text("utf-8").splitlines()[0]
    digest = hashlib.sha256((FOLDER / "pipelines.py").read_bytes()).hexdigest()
    assert first == f"# Written by `make pipelines`. SHA-256 of pipelines.py: {digest}"


@every_pipeline
def test_its_inputs_are_the_parameters_of_the_table(name: str) -> None:
    pipeline, _ = compiled(name)
    assert pipeline["pipelineInfo"]["name"] == name
    inputs = pipeline["root"]["inputDefinitions"]["parameters"]
    parameters = PIPELINES[name].parameters
    assert set(inputs) == set(parameters)
    for key, given in inputs.items():
        assert given["parameterType"] == TYPES[parameters[key].type]
        assert given.get("isOptional", False) == (not parameters[key].required)
        assert given.get("defaultValue") == parameters[key].default


@every_pipeline
def test_steps_understand_their_arguments(name: str) -> None:
    pipeline, _ = compiled(name)
    components = {one["executorLabel"]: one for one in pipeline["components"].values()}
    for label, executor in pipeline["deploymentSpec"]["executors"].items():
        container = executor["container"]
        assert container["command"][:3] == ["python3", "-m", "pipeline_bridge.steps.kubeflow"]
        assert re.fullmatch(r"registry\.example\.com/ai-services/pipeline-bridge:\d+\.\d+\.\d+", container["image"])
        used = {(found[1], found[2], found[3]) for arg in container["args"] for found in PLACEHOLDER.finditer(arg)}
        declared = {
            (side, kind, key)
            for side in ("inputs", "outputs")
            for kind, keys in components[label].get(f"{side[:-1]}Definitions", {}).items()
            for key in keys
        }
        assert used == declared
        values = [PLACEHOLDER.sub("7", arg) for arg in container["args"]]
        assert all(arg.count("7") == 1 and arg.startswith("--") for arg in values)
        parser().parse_args([*container["command"][3:], *values])


@every_pipeline
def test_containers_are_bounded_and_run_without_rights(name: str) -> None:
    pipeline, kubernetes = compiled(name)
    assert set(kubernetes) == set(pipeline["deploymentSpec"]["executors"])
    for label, executor in pipeline["deploymentSpec"]["executors"].items():
        resources = executor["container"]["resources"]
        assert {"resourceCpuLimit", "resourceMemoryLimit", "resourceCpuRequest", "resourceMemoryRequest"} <= set(
            resources
        )
        assert kubernetes[label]["securityContext"]["runAsNonRoot"] is True
        assert all(config["optional"] for config in kubernetes[label]["configMapAsEnv"])
