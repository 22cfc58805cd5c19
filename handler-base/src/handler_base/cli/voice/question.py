"""A spoken question over NATS: transcript, text and sound as they come, then the final answer."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from handler_base.cli.asking import Asking, encoding_of, error_of, told_error
from handler_base.cli.ordering import InOrder
from handler_base.errors import FleetError, error_for_code
from handler_base.messages import VoiceRequest, VoiceResponse, VoiceStreamChunk, decode
from handler_base.messages.subjects import VOICE_CANCEL, VOICE_REQUEST, VOICE_RESPONSE_STREAM
from handler_base.nats_client import NatsConnection, ObjectStore

__all__ = ["SpokenAnswer", "SpokenQuestion", "sendable"]

_ROOM: Final = 8 * 1024
"""Bytes kept for all of a question but its recording."""

_KEPT: Final = timedelta(hours=1)
"""As long as the contract keeps voice audio."""


@dataclass(frozen=True, slots=True)
class SpokenAnswer:
    """The final answer.

    Attributes:
        response: What came; for an error that could not be said in it, an empty one with `error` set.
        error: The typed error that it is, or None.
    """

    response: VoiceResponse
    error: FleetError | None


class SpokenQuestion(Asking):
    """One recorded question; use it with ``async with``.

    Args:
        connection: To NATS.
        request: What is asked; an empty `request_id` is filled in.
        timeout: Time for the answer; it travels with the question.
    """

    def __init__(self, connection: NatsConnection, request: VoiceRequest, *, timeout: timedelta) -> None:
        request.request_id = request.request_id or str(uuid.uuid4())
        super().__init__(
            connection,
            request,
            request_id=request.request_id,
            subject=VOICE_REQUEST.template,
            stream=VOICE_RESPONSE_STREAM.format(request_id=request.request_id),
            cancel=VOICE_CANCEL.format(request_id=request.request_id),
            timeout=timeout,
        )

    async def events(self) -> AsyncIterator[VoiceStreamChunk | SpokenAnswer]:
        """Yield the pieces of the answer in order, and last the `SpokenAnswer`.

        Raises:
            UpstreamUnavailableError: Nobody listens.
            DeadlineExceededError: No final answer came in time.
            InvalidRequestError: What came is no message of the contract.
        """
        order = InOrder[VoiceStreamChunk]()
        async for msg, final in self.arrivals():
            if not final:
                chunk = decode(VoiceStreamChunk, msg.data, encoding_of(msg))
                for piece in order.take(chunk.sequence, chunk):
                    yield piece
            elif (told := told_error(msg)) is not None:
                yield SpokenAnswer(VoiceResponse(error=told.message), told)
            else:
                error = error_of(msg)
                response = decode(VoiceResponse, msg.data, encoding_of(msg))
                if error is None and response.error:
                    error = error_for_code(500, response.error)
                yield SpokenAnswer(response, error)


@asynccontextmanager
async def sendable(
    connection: NatsConnection, request: VoiceRequest, audio: bytes, *, bucket: str
) -> AsyncIterator[VoiceRequest]:
    """Yield the question with its recording: in it, or in an object store until the context ends.

    Args:
        connection: To NATS.
        request: The question without its recording.
        audio: The recording.
        bucket: Where a recording goes that does not fit a message; it is made where there is none.

    Raises:
        FleetError: It cannot be stored.
    """
    if len(audio) <= min(connection.max_payload, VOICE_REQUEST.max_bytes) - _ROOM:
        request.audio = audio
        yield request
        return
    store = ObjectStore(connection)
    name = f"fleet-{uuid.uuid4()}"
    await store.make_bucket(bucket, max_age=_KEPT)
    await store.put(bucket, name, audio)
    request.audio_ref = f"{bucket}/{name}"
    try:
        yield request
    finally:
        # Where this fails the bucket's own age limit removes it.
        with suppress(FleetError):
            await store.delete(bucket, name)
