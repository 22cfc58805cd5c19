"""What a pipeline is: its name, where it runs, and the parameters it takes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from handler_base.errors import InvalidRequestError

__all__ = ["EngineName", "Parameter", "ParameterType", "Pipeline", "Value"]

Value = str | int | float | bool
"""A parameter's value, of the type its definition names."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,3})?")
_TRUTH: Final = {"true": True, "false": False}
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\ud800-\udfff]")
_EXPANDED: Final = ("{{", "}}", "$(")
"""What an engine would replace by something else: Argo its template tags, a kubelet the container's variables."""


class EngineName(StrEnum):
    """The engines."""

    ARGO = "argo"
    KUBEFLOW = "kubeflow"
    LOCAL = "local"


class ParameterType(StrEnum):
    """The types of parameters."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a pipeline."""

    name: str
    """As messages name it, and the engine."""
    type: ParameterType = ParameterType.STRING
    """What its text is read as."""
    default: Value | None = None
    """Used when a message does not give it; None: it is left to the engine's own default."""
    required: bool = False
    """Whether a message must give it."""
    allowed: tuple[Value, ...] = ()
    """The only values it may have; empty: any of its type."""
    pattern: str = ""
    """Regular expression that the whole text must match; empty: any text."""
    max_length: int = 2048
    """Most characters of its text."""
    description: str = ""
    """One line for people."""

    def read(self, text: str) -> Value:
        """Return the value that a text stands for.

        Raises:
            InvalidRequestError: It is not of the type, or not one that is allowed.
        """
        if len(text) > self.max_length:
            raise InvalidRequestError(f"Parameter {self.name} is longer than {self.max_length} characters.")
        value = self._typed(text)
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise InvalidRequestError(f"Parameter {self.name} does not have the form it must have.")
        if self.allowed and value not in self.allowed:
            allowed = ", ".join(map(_written, self.allowed))
            raise InvalidRequestError(f"Parameter {self.name} must be one of: {allowed}.")
        return value

    def _typed(self, text: str) -> Value:
        if self.type is ParameterType.STRING:
            if _UNPRINTABLE.search(text) or any(mark in text for mark in _EXPANDED):
                raise InvalidRequestError(f"Parameter {self.name} has characters that it may not have.")
            return text
        stripped = text.strip()
        if self.type is ParameterType.BOOLEAN and stripped.lower() in _TRUTH:
            return _TRUTH[stripped.lower()]
        if self.type is ParameterType.INTEGER and _INTEGER.fullmatch(stripped):
            return int(stripped)
        if self.type is ParameterType.NUMBER and _NUMBER.fullmatch(stripped) and math.isfinite(float(stripped)):
            return float(stripped)
        article = "an" if self.type is ParameterType.INTEGER else "a"
        raise InvalidRequestError(f"Parameter {self.name} must be {article} {self.type}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One pipeline of the table."""

    name: str
    """As messages name it."""
    engine: EngineName
    """Where it runs, unless the settings say otherwise."""
    description: str = ""
    """One line for people."""
    template: str = ""
    """Argo: the WorkflowTemplate it is submitted from."""
    pipeline: str = ""
    """Kubeflow: id or name of the pipeline."""
    version: str = ""
    """Kubeflow: id or name of the version; empty: the newest."""
    steps: tuple[str, ...] = ()
    """Local: the modules of its steps, run one after the other; empty: it does not run locally."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """What it takes, by name; nothing else is passed on."""
    timeout: timedelta = timedelta(days=1)
    """When a run is stopped and counts as failed."""

    def runs_on(self, engine: EngineName) -> bool:
        """Whether the definition has what an engine needs."""
        needed = {EngineName.ARGO: self.template, EngineName.KUBEFLOW: self.pipeline, EngineName.LOCAL: self.steps}
        return bool(needed[engine])

    def read(self, given: Mapping[str, str]) -> dict[str, Value]:
        """Return the values of a run: what a message gives, and the defaults of the rest.

        Raises:
            InvalidRequestError: A parameter is unknown, missing or not valid.
        """
        unknown = sorted(set(given) - set(self.parameters))
        if unknown:
            known = ", ".join(sorted(self.parameters)) or "none"
            raise InvalidRequestError(f"Pipeline {self.name} has no such parameter. It takes: {known}.")
        values: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if name in given:
                values[name] = parameter.read(given[name])
            elif parameter.required:
                raise InvalidRequestError(f"Pipeline {self.name} needs parameter {name}.")
            elif parameter.default is not None:
                values[name] = parameter.default
        return values


def _written(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
