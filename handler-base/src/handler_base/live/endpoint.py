"""How a handler class declares that it holds sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

from handler_base.errors import FleetError
from handler_base.messages import Message
from handler_base.messages.streams import BucketSpec
from handler_base.messages.subjects import Subject

__all__ = ["End", "LiveEndpoint", "LiveLimits", "LiveWork", "Step", "live", "live_endpoints_of"]

_MARK: Final = "__live_endpoint__"
F = TypeVar("F", bound=Callable[..., "LiveWork"])


class Step(StrEnum):
    """What a message means for the life of its session."""

    START = "start"
    """Begins it; where it is there already, ends that and begins it anew."""
    GO_ON = "go_on"
    """Goes on with it; begins it where its start was lost."""
    CHANGE = "change"
    """Says something of a session that is there."""
    END = "end"
    """Ends it."""


class End(StrEnum):
    """Why the work in a session ends."""

    ASKED = "asked"
    IDLE = "idle"
    RESTART = "restart"
    """Its client begins it anew."""
    BROKEN = "broken"
    """Nothing more can come of it."""
    STOPPED = "stopped"
    """Its replica goes and there is no other; one that comes later may go on with it."""


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """What the sessions of a replica may take."""

    sessions: int = 256
    """Sessions at once; one more is refused."""
    idle: timedelta = timedelta(seconds=60)
    """A session that hears nothing for so long is ended."""
    inbox_bytes: int = 256 * 1024
    """Of messages that wait for their turn in one session; what comes beyond that is refused."""


class LiveWork(Protocol):
    """What a service does in one session; one call at a time."""

    async def take(self, message: Any) -> None:  # noqa: ANN401 - each endpoint has its own type
        """Take the next message. What it raises is told to the client, and the session goes on."""

    async def finish(self, end: End) -> None:
        """Answer what is left; the session is over."""

    async def leave(self) -> Sequence[Message]:
        """Stop at once; give the messages by which another replica gets to where this one is."""

    def drop(self) -> None:
        """Let go of everything: the session is over, or another's."""

    def failed(self, error: FleetError) -> Message:
        """Return what tells the client of an error."""


@dataclass(frozen=True)
class LiveEndpoint:
    """The sessions of one subject.

    Attributes:
        method: Name of the method that opens them.
        schema: The message they take.
        subject: Where it comes, with the session in its only placeholder.
        answers: Where everything goes that is said to the client, with the same placeholder.
        replica: Where a replica hears of what another one passes on, with the replica in its only placeholder.
        bucket: Where the replicas keep which of them has which session.
        step: What a message means for the life of its session; it raises where it means nothing.
        number: By which a client counts the messages that go on with its session; 0 where it does not.
        error_answer: Tells of an error where there is no session that could.
        limits: Reads the limits from the settings.
    """

    method: str
    schema: type[Message]
    subject: Subject
    answers: Subject
    replica: Subject
    bucket: BucketSpec
    step: Callable[[Any], Step]
    number: Callable[[Any], int]
    error_answer: Callable[[str, FleetError], Message]
    limits: Callable[[Any], LiveLimits]


def live(
    *,
    subject: Subject,
    answers: Subject,
    replica: Subject,
    bucket: BucketSpec,
    step: Callable[[Any], Step],
    error_answer: Callable[[str, FleetError], Message],
    number: Callable[[Any], int] = lambda _: 0,
    limits: Callable[[Any], LiveLimits] = lambda _: LiveLimits(),
) -> Callable[[F], F]:
    """Declare that a method opens the sessions of a subject.

    The method takes a `LiveSession` and returns what works in it. The base does the rest: it finds the replica that
    has a session, decodes, keeps the order, bounds what waits, answers errors, ends what is idle.

    Args:
        subject: Where the messages of the sessions come.
        answers: Where everything goes that is said to the client.
        replica: Where a replica hears of what another one passes on.
        bucket: Where the replicas keep which of them has which session; a bucket of the handler.
        step: What a message means for the life of its session; it raises `InvalidRequestError` where it means nothing.
        error_answer: Builds the answer for a session id and an error, where there is no session.
        number: By which a client counts the messages that go on with its session, for when they come by several ways.
        limits: Reads the limits from the settings.
    """
    if subject.placeholders != ("session_id",) or answers.placeholders != ("session_id",):
        raise TypeError("the subjects of sessions have one placeholder: session_id")

    def mark(method: F) -> F:
        schema = subject.messages[0]
        declared = LiveEndpoint(
            method=method.__name__,
            schema=schema,
            subject=subject,
            answers=answers,
            replica=replica,
            bucket=bucket,
            step=step,
            number=number,
            error_answer=error_answer,
            limits=limits,
        )
        setattr(method, _MARK, declared)
        return method

    return mark


def live_endpoints_of(handler: type) -> tuple[LiveEndpoint, ...]:
    """Return the sessions that a handler class declares."""
    found: dict[str, LiveEndpoint] = {}
    for cls in reversed(handler.__mro__):
        for value in vars(cls).values():
            declared = getattr(value, _MARK, None)
            if isinstance(declared, LiveEndpoint):
                found[declared.method] = declared
    return tuple(found.values())
