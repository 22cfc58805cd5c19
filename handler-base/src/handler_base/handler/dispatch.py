"""The one way a message takes: read, admit, handle, answer, settle."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from handler_base.config import Settings
from handler_base.errors import (
    DeadlineExceededError,
    ErrorType,
    FleetError,
    InternalError,
    OverloadedError,
    QuotaExceededError,
    RequestCancelledError,
)
from handler_base.handler.admission import Admission, Slot
from handler_base.handler.context import Context
from handler_base.handler.endpoints import Endpoint
from handler_base.handler.question import Question, detached, read_question
from handler_base.handler.running import RunningRequests
from handler_base.handler.sender import Sender
from handler_base.messages import Message
from handler_base.messages.subjects import Subject
from handler_base.nats_client import Delivery, EndpointStats, EventLog, FailurePolicy, Msg
from handler_base.telemetry import SpanKind, extract, metrics, names, span

__all__ = ["DeadLetter", "Dispatcher", "Method"]

log = logging.getLogger(__name__)

Method = Callable[[Any, Context], Coroutine[Any, Any, Message | None]]
DeadLetter = Callable[[Delivery, FleetError], Coroutine[Any, Any, None]]

_RETRYABLE: Final = frozenset({ErrorType.UPSTREAM_UNAVAILABLE, ErrorType.OVERLOADED, ErrorType.INTERNAL})
_NOT_A_FAULT: Final = frozenset(
    {ErrorType.CANCELLED, ErrorType.DEADLINE_EXCEEDED, ErrorType.NOT_FOUND, ErrorType.PERMISSION_DENIED}
)
"""Answers that are the end of a question: nothing would be gained by keeping it aside."""

_HAND_BACK: Final = timedelta(milliseconds=100)
"""Pause before work of a stopping replica is delivered to another."""


@dataclass(slots=True)
class Outcome:
    """How the handling of a question ended: with a result, with nothing, or with an error."""

    result: Message | None = None
    error: FleetError | None = None
    context: Context | None = None

    @property
    def refusal(self) -> Message | None:
        """What the method answers in its own words with its error."""
        return self.context.refusal if self.context is not None and self.error is not None else None


@dataclass(slots=True)
class _Started:
    """What a question holds while it is handled: its delivery, if it is durable work, and its slot."""

    delivery: Delivery | None = None
    slot: Slot | None = None

    async def begun(self) -> None:
        """Let go of both: the answer is on its way to its listener."""
        if self.delivery is not None:
            await self.delivery.ack()
        if self.slot is not None:
            self.slot.release()


class Dispatcher:
    """Takes messages from subscriptions and consumers through their handler methods.

    Args:
        settings: The service's.
        methods: The handler's methods by name.
        sender: Sends the answers.
        admission: Slots shared by everything that is bounded.
        running: Where cancel messages look.
        policy: When failed durable work is tried again.
        dead_letter: Keeps aside what is given up, then settles it.

    Attributes:
        events: Where handlers tell of their steps; None while nobody is to know.
    """

    def __init__(
        self,
        settings: Settings,
        methods: dict[str, Method],
        *,
        sender: Sender,
        admission: Admission,
        running: RunningRequests,
        policy: FailurePolicy,
        dead_letter: DeadLetter,
    ) -> None:
        self._settings = settings
        self._methods = methods
        self._sender = sender
        self._admission = admission
        self._running = running
        self._policy = policy
        self._dead_letter = dead_letter
        self.events: EventLog | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def in_flight(self) -> int:
        """Messages that were taken and are not settled."""
        return len(self._tasks)

    def take(self, endpoint: Endpoint, subject: Subject, stats: EndpointStats, msg: Msg) -> None:
        """Start to handle a message from core NATS."""
        _ = self._begin(self._serve(endpoint, subject, stats, msg))

    def take_delivery(self, endpoint: Endpoint, subject: Subject, stats: EndpointStats, delivery: Delivery) -> None:
        """Start to handle a message pulled from a stream."""
        task = self._begin(self._serve_durable(endpoint, subject, stats, delivery))
        delivery.on_lost = task.cancel

    async def drain(self, budget: timedelta) -> None:
        """Let what runs finish, for `budget` at most; then hand the rest back, to its stream or to its caller."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=budget.total_seconds())
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self, endpoint: Endpoint, subject: Subject, stats: EndpointStats, msg: Msg) -> None:
        started = time.perf_counter()
        question = read_question(
            endpoint,
            subject,
            msg.subject,
            msg.data,
            msg.headers,
            reply=msg.reply,
            budget=endpoint.budget(self._settings),
            allowed=self._settings.allowed_response_subjects,
        )
        with span(
            f"process {subject.template}",
            SpanKind.CONSUMER,
            _span_attributes(question, len(msg.data)),
            parent=extract(msg.headers),
        ):
            try:
                outcome = await self._handle(question)
            except asyncio.CancelledError:
                outcome = Outcome(error=OverloadedError("The service is restarting. Try again."))
            error = await self._answer(question, outcome)
        self._record(question, stats, started, error)

    async def _serve_durable(
        self, endpoint: Endpoint, subject: Subject, stats: EndpointStats, delivery: Delivery
    ) -> None:
        started = time.perf_counter()
        age = max(datetime.now(UTC) - delivery.published_at, timedelta(0))
        question = read_question(
            endpoint,
            subject,
            delivery.subject,
            delivery.data,
            delivery.headers,
            reply="",
            budget=endpoint.budget(self._settings),
            age=age,
            position=delivery.stream_sequence,
            identity="/".join((delivery.stream, *map(str, delivery.key))),
            allowed=self._settings.allowed_response_subjects,
        )
        if question.error is None and age.total_seconds() > self._settings.max_question_age:
            question.error = DeadlineExceededError("The question waited too long.")
        with span(
            f"process {subject.template}",
            SpanKind.CONSUMER,
            _span_attributes(question, len(delivery.data)),
            parent=extract(delivery.headers),
        ):
            try:
                outcome = await self._handle(question, delivery)
                error = await self._settle(question, outcome, delivery)
            except asyncio.CancelledError:
                if not self._stopping:  # another replica may own it by now: say nothing
                    return
                await delivery.nak(_HAND_BACK)
                return
        self._record(question, stats, started, error)

    async def _settle(self, question: Question, outcome: Outcome, delivery: Delivery) -> FleetError | None:
        error = outcome.error
        if not await delivery.still_ours():
            return error  # another replica answers it
        streamed = outcome.context is not None and outcome.context.streamed
        again = error is not None and error.type in _RETRYABLE and not streamed
        # Nothing would be gained by trying again, or by keeping it aside.
        refused = isinstance(error, QuotaExceededError) or outcome.refusal is not None
        if again and not refused and delivery.attempt < self._policy.max_deliver and not question.deadline.expired():
            await delivery.nak(self._policy.delay(delivery.attempt))
            return error
        error = await self._answer(question, outcome)
        # The ack follows the answer without a pause, so that both leave in one write: a process that dies
        # here has sent both or neither.
        if error is None or refused or error.type in _NOT_A_FAULT:
            await delivery.ack()
        else:
            await self._dead_letter(delivery, error)
        return error

    async def _handle(self, question: Question, delivery: Delivery | None = None) -> Outcome:
        """Run the handler method within its deadline."""
        message = question.message
        if question.error is not None or message is None:
            return Outcome(error=question.error or InternalError())
        started = _Started(delivery)
        attempt = delivery.attempt if delivery is not None else 1
        context = Context(
            question, self._sender, self._running, attempt=attempt, events=self.events, begin=started.begun
        )
        outcome = Outcome(context=context)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        try:
            if not self._running.add(question.request_id, task):
                raise RequestCancelledError
            async with asyncio.timeout(question.deadline.remaining()):
                outcome.result = await self._run(question, message, context, started)
        except FleetError as error:
            outcome.error = detached(error)
        except TimeoutError:
            outcome.error = DeadlineExceededError()
        except asyncio.CancelledError:
            if not self._running.was_cancelled(task):
                raise
            task.uncancel()
            outcome.error = RequestCancelledError()
        except Exception:
            # A fault in a handler must become an answer, whatever it is.
            metrics.SWALLOWED_ERRORS.of("handler").inc()
            log.exception("handler failed", extra={"request_id": question.request_id})
            outcome.error = InternalError()
        finally:
            self._running.discard(question.request_id, task)
        return outcome

    async def _run(self, question: Question, message: Message, context: Context, started: _Started) -> Message | None:
        endpoint = question.endpoint
        method = self._methods[endpoint.method]
        if not endpoint.bounded:
            return await method(message, context)
        asked = time.perf_counter()
        await self._admission.acquire(premium=question.premium, accepted=started.delivery is not None)
        metrics.QUEUE_WAIT.of(question.subject.template).observe(time.perf_counter() - asked)
        started.slot = slot = Slot(self._admission)
        try:
            return await method(message, context)
        finally:
            slot.release()

    async def _answer(self, question: Question, outcome: Outcome) -> FleetError | None:
        """End the streams, then send the final answer; return the error that it was."""
        if outcome.context is not None:
            for stream in outcome.context.streams:
                await stream.close(outcome.error)
        if outcome.error is not None:
            await self._sender.answer_error(question, outcome.error, outcome.refusal)
            return outcome.error
        if outcome.result is not None:
            return await self._sender.answer(question, outcome.result)
        return None

    @staticmethod
    def _record(question: Question, stats: EndpointStats, started: float, error: FleetError | None) -> None:
        seconds = time.perf_counter() - started
        template = question.subject.template
        kind = error.type.value if error is not None else ""
        metrics.CONSUMED_MESSAGES.of(template).inc()
        metrics.PROCESS_DURATION.of(template, kind).observe(seconds)
        stats.record(seconds, kind)
        if error is None:
            return
        if error.type is ErrorType.OVERLOADED:
            metrics.REFUSALS.of(template, kind).inc()
        elif error.type is ErrorType.CANCELLED:
            metrics.CANCELS.of(template).inc()
        elif error.type is ErrorType.DEADLINE_EXCEEDED:
            metrics.DEADLINE_EXCEEDED.of(template).inc()
        if error.type is not ErrorType.OVERLOADED:  # an overload must not add the work of a line for each refusal
            log.info(
                "answered with an error",
                extra={"subject": template, "request_id": question.request_id, "error_type": kind},
            )


def _span_attributes(question: Question, size: int) -> dict[str, str | int]:
    return {
        names.MESSAGING_SYSTEM: names.NATS,
        names.MESSAGING_OPERATION_NAME: names.OPERATION_PROCESS,
        names.MESSAGING_OPERATION_TYPE: names.OPERATION_TYPE_PROCESS,
        names.MESSAGING_DESTINATION_TEMPLATE: question.subject.template,
        names.MESSAGING_BODY_SIZE: size,
        names.FLEET_REQUEST_ID: question.request_id,
    }
