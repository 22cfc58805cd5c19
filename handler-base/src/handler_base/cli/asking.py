"""A question over NATS: what is streamed of its answer, then the final answer."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from handler_base.cli.ordering import InOrder
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

__all__ = ["Answer", "Asking", "Event", "Piece", "Question", "encoding_of", "error_of", "headers_of", "told_error"]

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


class Asking:
    """One request from its publication to its final answer; use it with ``async with``.

    Args:
        connection: To NATS.
        request: What is asked.
        request_id: Of the request; a cancel names it.
        subject: Where it is asked.
        stream: Where pieces of the answer come.
        cancel: Where it is cancelled.
        timeout: Time for the answer; it travels with the request.
    """

    def __init__(
        self,
        connection: NatsConnection,
        request: Message,
        *,
        request_id: str,
        subject: str,
        stream: str,
        cancel: str,
        timeout: timedelta,
    ) -> None:
        self._connection = connection
        self._message = request
        self._request_id = request_id
        self._subject = subject
        self._stream = stream
        self._cancel = cancel
        self._timeout = timeout
        self._inbox = connection.new_inbox()
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()
        self._subscriptions: list[Subscription] = []

    async def __aenter__(self) -> Self:
        # Listening comes first: the answer may begin before a later subscription is known to the server.
        for subject in (self._stream, self._inbox):
            self._subscriptions.append(await self._connection.subscribe(subject, self._arrived.put_nowait))
        await self._connection.flush()
        fields = headers_of(self._message, self._timeout)
        await self._connection.publish(self._subject, encode(self._message), headers=fields, reply=self._inbox)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            await subscription.unsubscribe()

    async def cancel(self, reason: str = "interrupted") -> None:
        """Ask the fleet to stop; the final answer, `cancelled`, still comes."""
        cancel = CancelRequest(request_id=self._request_id, reason=reason)
        await self._connection.publish(self._cancel, encode(cancel), headers=headers_of(cancel, self._timeout))

    async def arrivals(self) -> AsyncIterator[tuple[Msg, bool]]:
        """Yield what comes, and whether it is the final answer, which is the last.

        Raises:
            DeadlineExceededError: No final answer came in time.
        """
        due = Deadline.after(self._timeout + _GRACE)
        final = False
        while not final:
            try:
                async with asyncio.timeout(due.remaining()):
                    msg = await self._arrived.get()
            except TimeoutError:
                raise DeadlineExceededError(f"No answer came within {self._timeout.total_seconds():g} s.") from None
            final = msg.subject == self._inbox
            yield msg, final


class Question(Asking):
    """One question in text.

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
        super().__init__(
            connection,
            request,
            request_id=request.request_id,
            subject=CHAT_REQUEST.template,
            stream=CHAT_RESPONSE_STREAM.format(request_id=request.request_id),
            cancel=CHAT_CANCEL.format(request_id=request.request_id),
            timeout=timeout,
        )

    async def events(self) -> AsyncIterator[Event]:
        """Yield the pieces of the answer in order, and last the `Answer`.

        Raises:
            UpstreamUnavailableError: Nobody listens.
            DeadlineExceededError: No final answer came in time.
            InvalidRequestError: What came is no message of the contract.
        """
        order = InOrder[str]()
        shown = ""
        async for msg, final in self.arrivals():
            if final:
                yield _read_answer(msg, shown)
                continue
            chunk = decode(ChatStreamChunk, msg.data, encoding_of(msg))
            ready = "".join(order.take(chunk.sequence, "" if chunk.done else chunk.content))
            shown += ready
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


def told_error(msg: Msg) -> FleetError | None:
    """Return the error of an answer that is nothing but an error; None for any other message.

    Raises:
        UpstreamUnavailableError: The server said that nobody listens.
    """
    error = error_of(msg)
    if headers.header(msg.headers, headers.MESSAGE_TYPE) != ErrorResponse.schema_name:
        return None
    told = decode(ErrorResponse, msg.data, encoding_of(msg))
    return error or error_for_code(500, told.message)


def encoding_of(msg: Msg) -> Encoding:
    """Return what a message is written in."""
    return detect(msg.data, headers.header(msg.headers, headers.CONTENT_TYPE))


def headers_of(message: Message, timeout: timedelta) -> dict[str, headers.HeaderValue]:
    """Return the headers that a message is published with."""
    return {
        headers.CONTENT_TYPE: Encoding.MSGPACK.value,
        headers.MESSAGE_TYPE: message.schema_name,
        headers.DEADLINE_MS: int(timeout.total_seconds() * 1000),
    }


def _read_answer(msg: Msg, shown: str) -> Answer:
    if (told := told_error(msg)) is not None:
        return Answer(ChatResponse(success=False, error=told.message), told, shown)
    error = error_of(msg)
    response = decode(ChatResponse, msg.data, encoding_of(msg))
    if error is None and not response.success:
        error = error_for_code(500, response.error)
    return Answer(response, error, shown)
