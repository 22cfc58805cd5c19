"""How a handler class declares what it answers."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar, get_type_hints

from handler_base.config import Settings
from handler_base.errors import FleetError
from handler_base.messages import Message
from handler_base.messages.streams import STREAMS, StreamSpec
from handler_base.messages.subjects import Subject, subject_matches
from handler_base.nats_client import ConsumerSpec

__all__ = ["Endpoint", "ErrorAnswer", "consumers_of", "endpoint", "endpoints_of", "stream_of"]

Method = Callable[..., Awaitable[Message | None]]
F = TypeVar("F", bound=Method)
_MARK = "__endpoint__"


class ErrorAnswer(Protocol):
    """Builds the error answer to a question, in the response type its caller waits for."""

    def __call__(self, request: Any, error: FleetError, /) -> Message:  # noqa: ANN401 - each endpoint has its own type
        """Return the answer."""
        ...


@dataclass(frozen=True)
class Endpoint:
    """What one method of a handler answers.

    Attributes:
        method: Name of the method.
        schema: The message it takes.
        core: Subjects answered from core NATS, shared by the replicas as a queue group.
        durable: Subjects pulled from their stream, each message acknowledged when it is answered.
        responses: For each subject, where the final answer goes besides the reply inbox.
        error_answer: Builds the error answer; without one it is an `ErrorResponse`.
        cancel: Subject whose messages stop a running request.
        budget: Reads the time a request may take when its caller names none.
        bounded: Whether a request takes a slot; turned off for what costs nothing.
    """

    method: str
    schema: type[Message]
    core: tuple[Subject, ...]
    durable: tuple[Subject, ...]
    responses: Mapping[Subject, Subject] = field(default_factory=dict)
    error_answer: ErrorAnswer | None = None
    cancel: Subject | None = None
    budget: Callable[[Settings], timedelta] = field(default=lambda _: timedelta(seconds=60))
    bounded: bool = True


def stream_of(subject: Subject) -> StreamSpec:
    """Return the stream that captures a subject.

    Raises:
        ValueError: None does.
    """
    for stream in STREAMS:
        if any(subject_matches(pattern, subject.pattern) for pattern in stream.subjects):
            return stream
    raise ValueError(f"no stream captures {subject.template}")


def endpoint(
    *,
    core: tuple[Subject, ...] = (),
    durable: tuple[Subject, ...] = (),
    respond_on: Subject | Mapping[Subject, Subject] | None = None,
    error_answer: ErrorAnswer | None = None,
    cancel: Subject | None = None,
    budget: Callable[[Any], timedelta] = lambda _: timedelta(seconds=60),
    bounded: bool = True,
) -> Callable[[F], F]:
    """Declare that a method answers what comes on some subjects.

    The method takes the decoded message and its `Context`, and returns the final answer, or None where
    there is nothing to answer. What it raises becomes a typed error answer.

    Args:
        core: Subjects answered from core NATS.
        durable: Subjects pulled from the stream that captures them.
        respond_on: Where answers go besides the reply inbox: one subject, or one for each question subject.
        error_answer: Builds the error answer.
        cancel: Subject whose messages stop a running request.
        budget: Reads the default time budget from the settings.
        bounded: Whether a request takes a slot.
    """
    for subject in durable:
        stream_of(subject)
    asked = (*core, *durable)
    responses = dict.fromkeys(asked, respond_on) if isinstance(respond_on, Subject) else dict(respond_on or {})

    def mark(method: F) -> F:
        hints = get_type_hints(method)
        schema = next(hints[name] for name in inspect.signature(method).parameters if name not in {"self", "return"})
        for subject in asked:
            if schema not in subject.messages:
                raise TypeError(f"{subject.template} does not carry {schema.__name__}")
        declared = Endpoint(
            method=method.__name__,
            schema=schema,
            core=core,
            durable=durable,
            responses=responses,
            error_answer=error_answer,
            cancel=cancel,
            budget=budget,
            bounded=bounded,
        )
        setattr(method, _MARK, declared)
        return method

    return mark


def endpoints_of(handler: type) -> tuple[Endpoint, ...]:
    """Return what a handler class declares.

    Raises:
        TypeError: Two methods answer the same subject.
    """
    found: dict[str, Endpoint] = {}
    taken: dict[str, str] = {}
    for cls in reversed(handler.__mro__):
        for value in vars(cls).values():
            declared = getattr(value, _MARK, None)
            if isinstance(declared, Endpoint):
                found[declared.method] = declared
    for declared in found.values():
        for subject in (*declared.core, *declared.durable):
            if taken.setdefault(subject.template, declared.method) != declared.method:
                raise TypeError(
                    f"{subject.template} is answered by both {taken[subject.template]} and {declared.method}"
                )
    return tuple(found.values())


def consumers_of(name: str, endpoints: Iterable[Endpoint], settings: Settings) -> tuple[ConsumerSpec, ...]:
    """Return the durable consumers that endpoints pull from, one a stream.

    Args:
        name: Of the service, and of its consumers.
        endpoints: What it answers.
        settings: Of the service.
    """
    filters: dict[str, list[str]] = {}
    for declared in endpoints:
        for subject in declared.durable:
            filters.setdefault(stream_of(subject).name, []).append(subject.pattern)
    return tuple(
        ConsumerSpec(
            stream=stream,
            durable=name,
            filter_subjects=tuple(patterns),
            ack_wait=timedelta(seconds=settings.ack_wait),
            max_deliver=settings.max_deliver,
        )
        for stream, patterns in filters.items()
    )
