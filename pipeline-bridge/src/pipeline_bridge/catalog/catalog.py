"""The table of pipelines, read from YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
import yaml
from msgspec import Meta

from handler_base.errors import InvalidRequestError
from pipeline_bridge.catalog.definition import EngineName, Parameter, ParameterType, Pipeline, Value

__all__ = ["BUILT_IN", "Catalog", "InvalidCatalogError", "read_catalog"]

BUILT_IN: Final = Path(__file__).with_name("pipelines.yaml")
"""The table used where no other is named."""

_MOST_BYTES: Final = 1024 * 1024

_Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
_ParameterName = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")]
_Resource = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
_Reference = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}$")]
_Module = Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
_Text = Annotated[str, Meta(max_length=500)]


class InvalidCatalogError(Exception):
    """The file does not describe pipelines; the text is one line that says where and why."""


class _Parameter(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    type: ParameterType = ParameterType.STRING
    default: Value | None = None
    required: bool = False
    allowed: list[Value] = msgspec.field(default_factory=list)
    pattern: str = ""
    max_length: Annotated[int, Meta(ge=1, le=65536)] = 2048
    description: _Text = ""


class _Argo(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    template: _Resource


class _Kubeflow(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pipeline: _Reference
    version: _Reference | None = None


class _Local(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    steps: Annotated[list[_Module], Meta(min_length=1, max_length=64)]


class _Pipeline(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    engine: EngineName
    description: _Text = ""
    argo: _Argo | None = None
    kubeflow: _Kubeflow | None = None
    local: _Local | None = None
    parameters: dict[_ParameterName, _Parameter] = msgspec.field(default_factory=dict)
    timeout: Annotated[int, Meta(ge=1, le=30 * 86400)] = 86400


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pipelines: Annotated[dict[_Name, _Pipeline], Meta(min_length=1, max_length=500)]


@dataclass(frozen=True, slots=True)
class Catalog:
    """The table.

    Attributes:
        pipelines: By name.
    """

    pipelines: Mapping[str, Pipeline]

    @property
    def names(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(sorted(self.pipelines))


def read_catalog(path: Path) -> Catalog:
    """Return the table that a file describes.

    Raises:
        InvalidCatalogError: It cannot be read, or something in it is not valid.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidCatalogError(f"{path}: cannot be read: {error.strerror or type(error).__name__}") from error
    if len(data) > _MOST_BYTES:
        raise InvalidCatalogError(f"{path}: is larger than {_MOST_BYTES} bytes")
    try:
        tree = yaml.safe_load(data)
        file = msgspec.convert(tree, _File)
        pipelines = {name: _made(name, entry) for name, entry in file.pipelines.items()}
    except yaml.YAMLError as error:
        raise InvalidCatalogError(f"{path}: is not YAML: {_one_line(error)}") from error
    except RecursionError as error:
        raise InvalidCatalogError(f"{path}: is nested too deep") from error
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidCatalogError(f"{path}: {_one_line(error)}") from error
    return Catalog(pipelines)


def _made(name: str, entry: _Pipeline) -> Pipeline:
    pipeline = Pipeline(
        name=name,
        engine=entry.engine,
        description=entry.description,
        template=entry.argo.template if entry.argo else "",
        pipeline=entry.kubeflow.pipeline if entry.kubeflow else "",
        version=(entry.kubeflow.version or "") if entry.kubeflow else "",
        steps=tuple(entry.local.steps) if entry.local else (),
        parameters={key: _parameter(name, key, value) for key, value in entry.parameters.items()},
        timeout=timedelta(seconds=entry.timeout),
    )
    if not pipeline.runs_on(pipeline.engine):
        raise ValueError(f"pipeline {name} is to run on {entry.engine} but has no `{entry.engine}` section")
    return pipeline


def _parameter(pipeline: str, name: str, entry: _Parameter) -> Parameter:
    where = f"pipeline {pipeline}, parameter {name}"
    if entry.required and entry.default is not None:
        raise ValueError(f"{where}: what is required has no default")
    try:
        re.compile(entry.pattern)
    except re.error as error:
        raise ValueError(f"{where}: the pattern is not a regular expression") from error
    values = [_typed(value, entry.type, where) for value in entry.allowed]
    parameter = Parameter(
        name=name,
        type=entry.type,
        default=None if entry.default is None else _typed(entry.default, entry.type, where),
        required=entry.required,
        allowed=tuple(values),
        pattern=entry.pattern,
        max_length=entry.max_length,
        description=entry.description,
    )
    if parameter.default is not None:
        # A default may be what no message may send, such as an empty text, but never another type.
        if parameter.allowed and parameter.default not in parameter.allowed:
            raise ValueError(f"{where}: the default is not one of the allowed values")
        _check_text(parameter.default, where)
    return parameter


def _typed(value: Value, kind: ParameterType, where: str) -> Value:
    """Return a value of the file as its type has it: a whole number may stand for a number."""
    if kind is ParameterType.NUMBER and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    wanted = {ParameterType.STRING: str, ParameterType.INTEGER: int, ParameterType.BOOLEAN: bool}
    if type(value) is not wanted.get(kind):
        raise ValueError(f"{where}: {value!r} is not a {kind}")
    return value


def _check_text(value: Value, where: str) -> None:
    if isinstance(value, str):
        try:
            Parameter(name="default").read(value)
        except InvalidRequestError as error:
            raise ValueError(f"{where}: the default has characters that it may not have") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
