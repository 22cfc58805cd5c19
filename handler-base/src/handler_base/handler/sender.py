"""Sends messages and answers, with headers made afresh."""

from __future__ import annotations

from handler_base.errors import FleetError, InternalError, PayloadTooLargeError
from handler_base.handler.question import Question
from handler_base.messages import Encoding, ErrorResponse, Message, encode
from handler_base.nats_client import NatsConnection
from handler_base.nats_client import headers as names
from handler_base.nats_client.message_headers import message_headers
from handler_base.telemetry import propagation

__all__ = ["Sender"]


class Sender:
    """Publishes on behalf of a handler.

    Args:
        connection: Where to.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection

    @property
    def max_payload(self) -> int:
        """Bytes that the payload and the headers of one message may have together."""
        return self._connection.max_payload

    async def send(self, subject: str, message: Message, encoding: Encoding) -> None:
        """Publish one message.

        Raises:
            PayloadTooLargeError: It does not fit a message of this server.
        """
        headers = message_headers(message, encoding)
        propagation.inject(headers)
        await self._connection.publish(subject, encode(message, encoding), headers=headers)

    async def answer(self, question: Question, message: Message) -> FleetError | None:
        """Send the final answer to the reply inbox and to the response subject.

        Returns:
            None, or why an error had to be sent in its place: it was too large for one message, or a value in it
            does not fit its field.
        """
        error: FleetError
        try:
            await self._deliver(
                question, encode(message, question.encoding), message_headers(message, question.encoding)
            )
        except PayloadTooLargeError:
            error = PayloadTooLargeError("The answer is too large for one message.")
        except InternalError:
            error = InternalError()
        else:
            return None
        await self.answer_error(question, error)
        return error

    async def answer_error(self, question: Question, error: FleetError, refusal: Message | None = None) -> None:
        """Send the error answer, in the response type the caller waits for where the question could be read.

        Args:
            question: What cannot be answered.
            error: Why.
            refusal: The answer that the handler gives itself; None: the endpoint's error answer.
        """
        build = question.endpoint.error_answer
        asked = question.message
        if asked is None and question.session_id:
            # A session waits for one type of answer, also to what could not be read.
            asked = question.endpoint.schema()
        message: Message
        if refusal is not None:
            message = refusal
        elif asked is None or build is None:
            message = ErrorResponse(message=error.message, type=error.type.value)
        else:
            message = build(asked, error)
            if question.session_id and getattr(message, "session_id", None) == "":
                # Of a session that only the subject names.
                message.session_id = question.session_id  # type: ignore[attr-defined]  # looked at just now
        headers = message_headers(message, question.encoding)
        headers[names.ERROR] = error.message
        headers[names.ERROR_CODE] = str(error.code)
        if error.retry_after is not None:
            headers[names.RETRY_AFTER] = f"{error.retry_after.total_seconds():.3f}"
        await self._deliver(question, encode(message, question.encoding), headers)

    async def _deliver(self, question: Question, payload: bytes, headers: dict[str, str]) -> None:
        propagation.inject(headers)
        if question.reply:
            await self._connection.publish(question.reply, payload, headers=headers)
        if question.response_subject and question.response_subject != question.reply:
            await self._connection.publish(question.response_subject, payload, headers=headers)
