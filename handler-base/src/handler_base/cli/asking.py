"""A question over NATS: its text in order as it is written, then its final answer."""

from __future__ import annotations

import asyncio
import heapq
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from types import TracebackType
from typing import Final, Self

from handler_base.deadline import Deadline
from handler_base.errors import DeadlineExceededError, FleetError, UpstreamUnavailableError, error_for_code
from handler_base.messages import (
    CancelRequest,
    ChatRequest,
    ChatResponse,
    ChatStreamChunk,
    Encoding,
    ErrorResponse,
    Message,
    decode,
    detect,
    encode,
)
from handler_base.messages.subjects import CHAT_CANCEL, CHAT_REQUEST, CHAT_RESPONSE_STREAM
from handler_base.nats_client import Msg, NatsConnection, Subscription, headers

__all__ = ["Answer", "Event", "Piece", "Question", "error_of"]

_GRACE: Final = timedelta(seconds=2)
"""Waited beyond the caller's budget, so that the service's own `deadline_exceeded` arrives."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text to append to what came before."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer.

    Attributes:
        response: What came; for an error that could not be said in it, an empty one with `error` set.
        error: The typed error that it is, or None.
        shown: The text that was given out in pieces before.
    """

    response: ChatResponse
    error: FleetError | None
    shown: str

    @property
    def text(self) -> str:
        """The whole text."""
        return self.response.response or self.response.response_text


Event = Piece | Answer


@dataclass(slots=True)
class _Order:
    """Puts the chunks of a stream in order; late repetitions are dropped."""

    next: int = 0
    text: str = ""
    _early: list[tuple[int, int, str]] = field(default_factory=list)
    _ties: count[int] = field(default_factory=count)

    def take(self, chunk: ChatStreamChunk) -> str:
        """Return the text that may be shown now."""
        heapq.heappush(self._early, (chunk.sequence, next(self._ties), "" if chunk.done else chunk.content))
        ready = ""
        while self._early and self._early[0][0] <= self.next:
            sequence, _, content = heapq.heappop(self._early)
            if sequence == self.next:
                ready += content
                self.next += 1
        self.text += ready
        return ready


class Question:
    """One question, from its publication to its final answer; use it with ``async with``.

    Args:
        connection: To NATS.
        request: What is asked; an empty `request_id` is filled in.
        timeout: Time for the answer; it travels with the question.

    Attributes:
        request: What is asked.
    """

    def __init__(
        self, connection: NatsConnection, request: ChatRequest, *, timeout: timedelta = timedelta(seconds=120)
    ) -> None:
        request.request_id = request.request_id or str(uuid.uuid4())
        self.request = request
        self._connection = connection
        self._timeout = timeout
        self._inbox = connection.new_inbox()
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()
        self._subscriptions: list[Subscription] = []

    async def __aenter__(self) -> Self:
        stream = CHAT_RESPONSE_STREAM.format(request_id=self.request.request_id)
        # Listening comes first: the answer may begin before a later subscription is known to the server.
        for subject in (stream, self._inbox):
            self._subscriptions.append(await self._connection.subscribe(subject, self._arrived.put_nowait))
        await self._connection.flush()
        await self._connection.publish(
            CHAT_REQUEST.template,
            encode(self.request),
            headers=_headers(self.request, self._timeout),
            reply=self._inbox,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            await subscription.unsubscribe()

    async def cancel(self, reason: str = "interrupted") -> None:
        """Ask the fleet to stop; the final answer, `cancelled`, still comes."""
        cancel = CancelRequest(request_id=self.request.request_id, reason=reason)
        subject = CHAT_CANCEL.format(request_id=self.request.request_id)
        await self._connection.publish(subject, encode(cancel), headers=_headers(cancel, self._timeout))

    async def events(self) -> AsyncIterator[Event]:
        """Yield the pieces of the answer in order, and last the `Answer`.

        Raises:
            UpstreamUnavailableError: Nobody listens.
            DeadlineExceededError: No final answer came in time.
            InvalidRequestError: What came is no message of the contract.
        """
        order = _Order()
        due = Deadline.after(self._timeout + _GRACE)
        while True:
            try:
                async with asyncio.timeout(due.remaining()):
                    msg = await self._arrived.get()
            except TimeoutError:
                raise DeadlineExceededError(f"No answer came within {self._timeout.total_seconds():g} s.") from None
            if msg.subject == self._inbox:
                yield _read_answer(msg, order.text)
                return
            ready = order.take(decode(ChatStreamChunk, msg.data, _encoding(msg)))
            if ready:
                yield Piece(ready)


def error_of(msg: Msg) -> FleetError | None:
    """Return the error that an answer says it is, by its headers or its type; None for a result.

    Raises:
        UpstreamUnavailableError: The server said that nobody listens.
    """
    if msg.status == 503:
        raise UpstreamUnavailableError("No service is listening.")
    code = headers.header(msg.headers, headers.ERROR_CODE)
    if code is None:
        return None
    text = headers.header(msg.headers, headers.ERROR) or ""
    error = error_for_code(int(code) if code.isdecimal() else 500, text)
    later = headers.header(msg.headers, headers.RETRY_AFTER)
    if later is not None and later.replace(".", "", 1).isdecimal():
        error.retry_after = timedelta(seconds=float(later))
    return error


def _read_answer(msg: Msg, shown: str) -> Answer:
    error = error_of(msg)
    if headers.header(msg.headers, headers.MESSAGE_TYPE) == ErrorResponse.schema_name:
        told = decode(ErrorResponse, msg.data, _encoding(msg))
        return Answer(
            ChatResponse(success=False, error=told.message), error or error_for_code(500, told.message), shown
        )
    response = decode(ChatResponse, msg.data, _encoding(msg))
    if error is None and not response.success:
        error = error_for_code(500, response.error)
    return Answer(response, error, shown)


def _encoding(msg: Msg) -> Encoding:
    return detect(msg.data, headers.header(msg.headers, headers.CONTENT_TYPE))


def _headers(message: Message, timeout: timedelta) -> dict[str, headers.HeaderValue]:
    return {
        headers.CONTENT_TYPE: Encoding.MSGPACK.value,
        headers.MESSAGE_TYPE: message.schema_name,
        headers.DEADLINE_MS: int(timeout.total_seconds() * 1000),
    }
