"""What of the table people and tools are told, in the service's `$SRV.INFO`: `fleet pipelines` prints it."""

from __future__ import annotations

import msgspec

from pipeline_bridge.catalog import Catalog, EngineName, Parameter, Pipeline
from pipeline_bridge.choosing import EngineChoice

__all__ = ["described"]


def described(catalog: Catalog, choice: EngineChoice) -> str:
    """Return the pipelines that run here as JSON: a list with name, engine, description and parameters of each."""
    chosen = ((name, choice.engine_of(catalog.pipelines[name])) for name in catalog.names)
    told = [_pipeline(catalog.pipelines[name], engine) for name, engine in chosen if engine is not None]
    return msgspec.json.encode(told).decode()


def _pipeline(pipeline: Pipeline, engine: EngineName) -> dict[str, object]:
    return {
        "name": pipeline.name,
        "engine": engine.value,
        "description": pipeline.description,
        "parameters": [_parameter(parameter) for parameter in pipeline.parameters.values()],
    }


def _parameter(parameter: Parameter) -> dict[str, object]:
    return {
        "name": parameter.name,
        "type": parameter.type.value,
        "required": parameter.required,
        "default": parameter.default,
        "allowed": list(parameter.allowed),
        "description": parameter.description,
    }
