"""Tells the statuses of runs: each once, in order, whoever tells them and however often it is tried.

The stream keeps the statuses of a run on a subject of their own. Each is published with the place of the one before it:
the server takes it only if that is still the last. So a replica that was thought dead, or one that died after it
published and before it noted that, can neither repeat a status nor go back.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from handler_base.errors import DeadlineExceededError, FleetError, UpstreamUnavailableError
from handler_base.messages import Encoding, PipelineStatus, decode, detect, encode
from handler_base.messages.streams import AI_PIPELINE
from handler_base.messages.subjects import PIPELINE_STATUS
from handler_base.nats_client import ApiError, JetStreamApi, NatsConnection, WrongSequenceError
from handler_base.nats_client.headers import (
    CONTENT_TYPE,
    EXPECTED_LAST_SUBJECT_SEQUENCE,
    MESSAGE_ID,
    MESSAGE_TYPE,
    HeaderValue,
)
from handler_base.nats_client.jetstream_api import MESSAGE_NOT_FOUND
from pipeline_bridge.runs.record import rank

__all__ = ["StatusLog", "Told"]

_HEADERS: Final[dict[str, HeaderValue]] = {
    CONTENT_TYPE: Encoding.MSGPACK.value,
    MESSAGE_TYPE: PipelineStatus.schema_name,
}
_PAUSE: Final = 0.5


class Told(msgspec.Struct, frozen=True):
    """The last status of a run that the stream has.

    Attributes:
        status: Which; empty: none.
        sequence: Where it is.
        message: The whole message, where it was read from the stream.
    """

    status: str = ""
    sequence: int = 0
    message: PipelineStatus | None = None


class StatusLog:
    """Publishes statuses to their stream.

    Args:
        connection: To the server.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._api = JetStreamApi(connection)

    async def tell(self, status: PipelineStatus, after: int) -> Told:
        """Tell a status, unless it was told, or one that comes later; waits for a stream that is away.

        Args:
            status: What to tell.
            after: Where the stream has the status before it, as far as is known; 0: nothing is known.

        Returns:
            The last status then: this one, or the one that had been told.
        """
        while True:
            try:
                return await self._publish(status, after)
            except (UpstreamUnavailableError, DeadlineExceededError):
                await asyncio.sleep(_PAUSE)
            except WrongSequenceError:
                pass
            # Before it is published again: a second time is heard by whoever listens, also when the stream refuses it.
            last = await self.last(status.request_id)
            if rank(last.status) >= max(rank(status.status), 1) or last.status == status.status:
                return last
            after = last.sequence

    async def last(self, request_id: str) -> Told:
        """Return the last status of a run; waits for a stream that is away."""
        while True:
            try:
                return await self._last(request_id)
            except (UpstreamUnavailableError, DeadlineExceededError):
                await asyncio.sleep(_PAUSE)

    async def _publish(self, status: PipelineStatus, after: int) -> Told:
        ack = await self._connection.jetstream_publish(
            PIPELINE_STATUS.format(request_id=status.request_id),
            encode(status),
            headers={
                **_HEADERS,
                EXPECTED_LAST_SUBJECT_SEQUENCE: after,
                MESSAGE_ID: f"{status.request_id}.{status.status}",
            },
        )
        return Told(status.status, ack.sequence)

    async def _last(self, request_id: str) -> Told:
        found = await self._api.last_message(AI_PIPELINE.name, PIPELINE_STATUS.format(request_id=request_id))
        if isinstance(found, ApiError):
            if found.err_code == MESSAGE_NOT_FOUND:
                return Told()  # the stream keeps them for a time only
            raise UpstreamUnavailableError
        try:
            message = decode(PipelineStatus, found.payload, detect(found.payload, None))
            return Told(message.status, found.seq, message)
        except FleetError:
            return Told("", found.seq)  # not ours, but in the way
