"""What a handler method knows about the question it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from handler_base.deadline import Deadline
from handler_base.handler.question import Question
from handler_base.handler.running import RunningRequests
from handler_base.handler.sender import Sender
from handler_base.handler.streaming import StreamFormat, StreamWriter
from handler_base.messages import Encoding, Message
from handler_base.messages.subjects import Subject
from handler_base.nats_client import EventLog
from handler_base.telemetry import Stages

__all__ = ["Context"]

T = TypeVar("T")


class Context:
    """One question on its way.

    Attributes:
        request_id: Its id.
        made_id: Whether the caller sent none, so that it was made here.
        subject: The subject it came on, with its template.
        deadline: When the answer is due; hand it to every call.
        encoding: What it is written in; everything sent goes out in the same.
        attempt: 1 for the first delivery of durable work, always 1 otherwise.
        position: Of durable work in its stream, 0 otherwise: what came later has a higher one.
        age: How long durable work waited in its stream.
        stages: Timer of the stages; what it measured goes into the answer.
        user_id: Who asks, or empty.
        session_id: The conversation that events belong to; the question's own, unless the handler finds another.
        streams: The pieces it sends.
        refusal: Sent in place of the endpoint's error answer when the method raises, where the method has more to say
            than the error does. A question refused like this is done with: it is neither tried again nor kept aside.
    """

    __slots__ = (
        "_begin",
        "_events",
        "_running",
        "_sender",
        "age",
        "attempt",
        "deadline",
        "encoding",
        "made_id",
        "position",
        "refusal",
        "request_id",
        "session_id",
        "stages",
        "streams",
        "subject",
        "user_id",
    )

    def __init__(
        self,
        question: Question,
        sender: Sender,
        running: RunningRequests,
        *,
        attempt: int = 1,
        events: EventLog | None = None,
        begin: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.request_id = question.request_id
        self.made_id = question.made_id
        self.subject: Subject = question.subject
        self.deadline: Deadline = question.deadline
        self.encoding: Encoding = question.encoding
        self.attempt = attempt
        self.position = question.position
        self.age: timedelta = question.age
        self.stages = Stages()
        self.streams: list[StreamWriter[Any]] = []
        self.refusal: Message | None = None
        self.user_id: str = getattr(question.message, "user_id", "")
        self.session_id = question.session_id
        self._sender = sender
        self._begin = begin
        self._events = events
        self._running = running

    @property
    def streamed(self) -> bool:
        """Whether a piece of the answer has gone out, so that it cannot be tried again unseen."""
        return any(stream.sequence for stream in self.streams)

    @property
    def cancelled(self) -> bool:
        """Whether its caller stopped it; False when it fails, is late or goes to another replica."""
        task = asyncio.current_task()
        return task is not None and self._running.was_cancelled(task)

    @property
    def max_payload(self) -> int:
        """Bytes that one message to this server may have, headers included."""
        return self._sender.max_payload

    async def begun(self) -> None:
        """Tell that the answer has begun to reach its listener, and must not begin anew.

        Durable work is acknowledged now, and a request no longer takes a slot: what is left of it is waiting. The
        method sends its own answer and ends its own streams.
        """
        if self._begin is not None:
            begin, self._begin = self._begin, None
            await begin()

    def record(self, name: str, request_id: str = "", **data: str | float | bool | None) -> None:
        """Tell of a step as an event of the domain; the same step of a question that is tried again is told once.

        Args:
            name: One of the domain's event names.
            request_id: The question's, unless given.
            data: What is to be known of it.
        """
        if self._events is not None:
            self._events.record(
                name,
                user_id=self.user_id,
                session_id=self.session_id,
                request_id=request_id or self.request_id,
                data=data,
            )

    async def publish(self, subject: str, message: Message) -> None:
        """Publish a message in the question's encoding.

        Raises:
            PayloadTooLargeError: It does not fit a message of this server.
        """
        await self._sender.send(subject, message, self.encoding)

    def stream(self, subject: str, form: StreamFormat[T]) -> StreamWriter[T]:
        """Open a stream of pieces; it is ended when the method returns or raises."""
        # The stream must not hold the context that holds it: what a request leaves goes at once, without a collector.
        sender, encoding = self._sender, self.encoding

        async def send(message: Message) -> None:
            await sender.send(subject, message, encoding)

        writer: StreamWriter[T] = StreamWriter(send, form)
        self.streams.append(writer)
        return writer
