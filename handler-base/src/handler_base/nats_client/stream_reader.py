"""Reading what a stream holds, in order, leaving nothing behind on the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from handler_base.errors import (
    DeadlineExceededError,
    FleetError,
    InternalError,
    NotFoundError,
    UpstreamUnavailableError,
)
from handler_base.nats_client._backoff import Backoff
from handler_base.nats_client._pull_status import Verdict, classify
from handler_base.nats_client._wire import Msg
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.jetstream_api import STREAM_NOT_FOUND, Config, ConsumerInfo, JetStreamApi, StreamInfo
from handler_base.nats_client.publishing import ApiError

__all__ = ["StreamMessage", "StreamReader"]

_BATCH: Final = 1000
_MOST_BYTES: Final = 32 * 1024 * 1024
"""Bytes of one pull; larger than the largest message, or the server would refuse that for ever."""

_UNUSED: Final = timedelta(seconds=30)
"""When the server forgets a consumer whose reader died."""

_EXPIRES: Final = timedelta(seconds=30)
_HEARTBEAT: Final = timedelta(seconds=5)
_PATIENCE: Final = timedelta(seconds=11)
_NANOSECONDS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHORT_FORM: Final = 9
_AWAY: Final = "JetStream is not available right now."


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message of a stream.

    Attributes:
        subject: What it was published on.
        sequence: In the stream.
        stored_at: When the stream took it.
        headers: By name, as sent; None when there are none.
        data: The payload; empty where only the headers are read.
    """

    subject: str
    sequence: int
    stored_at: datetime
    headers: Mapping[str, str] | None
    data: bytes


class StreamReader:
    """Reads a stream by short-lived consumers that acknowledge nothing.

    Args:
        connection: To the server.
        stream: Name of the stream.
        subjects: Only those that match one of these patterns; empty: all. They must not overlap.
        headers_only: Whether to leave the payloads where they are.
    """

    def __init__(
        self, connection: NatsConnection, stream: str, *, subjects: Sequence[str] = (), headers_only: bool = False
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._subjects = subjects
        self._headers_only = headers_only
        self._api = JetStreamApi(connection)

    async def info(self) -> StreamInfo:
        """Return what the stream holds.

        Raises:
            NotFoundError: There is no such stream.
            UpstreamUnavailableError: JetStream is away.
        """
        found = await self._api.stream_info(self._stream)
        if isinstance(found, ApiError):
            raise _read_error(found)
        return found

    async def read(
        self, *, start: int = 1, end: int | None = None, since: datetime | None = None
    ) -> AsyncGenerator[StreamMessage, None]:
        """Yield what the stream holds, oldest first, and end.

        Args:
            start: First sequence.
            end: Last sequence; None: all that is there.
            since: Only what was stored from then on; `start` does not count then.

        Raises:
            NotFoundError: There is no such stream.
            UpstreamUnavailableError: JetStream is away, or went away meanwhile.
            DeadlineExceededError: It does not answer.
        """
        async with aclosing(self._messages(start, since, wait=False)) as messages:
            async for message in messages:
                if end is not None and message.sequence > end:
                    return
                yield message
                if message.sequence == end:
                    return

    async def follow(self, start: int) -> AsyncGenerator[StreamMessage, None]:
        """Yield what the stream holds from a sequence on, then what comes, without gaps or repeats.

        It goes on when the link or the server was away, and when the stream was made anew: from its first message then.

        Args:
            start: First sequence.

        Raises:
            PermissionDeniedError: The server forbids it.
        """
        backoff = Backoff(first=0.1, most=2.0)
        created = ""
        while True:
            try:
                info = await self.info()
                if created and info.created != created:
                    start = 1
                created = info.created
                # A server that lost what it had not yet written counts on from what it has.
                start = min(start, info.state.last_seq + 1)
                async with aclosing(self._messages(start, None, wait=True)) as messages:
                    async for message in messages:
                        start = message.sequence + 1
                        backoff.reset()
                        yield message
            except (NotFoundError, UpstreamUnavailableError, DeadlineExceededError):
                await asyncio.sleep(backoff.pause())

    async def _messages(self, start: int, since: datetime | None, *, wait: bool) -> AsyncGenerator[StreamMessage, None]:
        consumer = await self._consume(start, since)
        pull = _Pull(self._connection, self._stream, consumer.name, wait=wait)
        expected = 1
        try:
            while (msg := await pull.next()) is not None:
                at, message = _stored(msg)
                if at != expected:
                    raise UpstreamUnavailableError(f"Messages of stream {self._stream} were missed.")
                expected += 1
                yield message
        finally:
            await pull.close()
            with suppress(FleetError):  # it goes by itself when it is not used
                await self._api.delete_consumer(self._stream, consumer.name)

    async def _consume(self, start: int, since: datetime | None) -> ConsumerInfo:
        config: Config = {
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": _nanoseconds(_UNUSED),
            "headers_only": self._headers_only,
        }
        if since is not None:
            moment = since.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            config |= {"deliver_policy": "by_start_time", "opt_start_time": moment}
        else:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": max(start, 1)}
        if len(self._subjects) == 1:
            config["filter_subject"] = self._subjects[0]
        elif self._subjects:
            config["filter_subjects"] = list(self._subjects)
        made = await self._api.create_ephemeral(self._stream, config)
        if isinstance(made, ApiError):
            raise _read_error(made)
        return made


class _Pull:
    """Asks for one batch after the other and hands out what comes.

    Args:
        connection: To the server.
        stream: Name of the stream.
        consumer: Name of the consumer.
        wait: Whether to wait for messages that are not there yet.
    """

    def __init__(self, connection: NatsConnection, stream: str, consumer: str, *, wait: bool) -> None:
        self._connection = connection
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._wait = wait
        self._left = 0
        self._asked = 0
        self._came: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._inbox = connection.new_inbox()
        self._subscription = connection.listen(f"{self._inbox}.*", self._came.put_nowait)
        # What was under way on the old link is lost, and its consumer perhaps with it.
        self._end_reconnect = connection.on_reconnect(lambda: self._came.put_nowait(None))

    async def next(self) -> Msg | None:
        """Return the next message, or None when there is none and it should not wait for one.

        Raises:
            UpstreamUnavailableError: The link or the consumer went away.
            InternalError: A message is too large to be read.
        """
        while True:
            if self._left <= 0:
                self._ask()
            msg = await self._receive()
            if msg.reply and not msg.status:
                self._left -= 1
                return msg
            verdict = classify(msg.status, msg.description)
            # The end of a batch that was full comes when the next one is asked for already.
            if verdict is Verdict.HEARTBEAT or msg.subject != self._reply:
                continue
            if verdict is not Verdict.ENDED:
                raise UpstreamUnavailableError(_AWAY)
            if not self._wait and msg.status in {404, 408}:
                return None
            if msg.status == 409 and self._left == _BATCH:
                raise InternalError("A message is too large to be read.")
            self._left = 0

    async def close(self) -> None:
        """Ask for no more."""
        self._end_reconnect()
        await self._subscription.unsubscribe()

    @property
    def _reply(self) -> str:
        return f"{self._inbox}.{self._asked}"

    def _ask(self) -> None:
        body: Config = {"batch": _BATCH, "max_bytes": _MOST_BYTES}
        if self._wait:
            body |= {"expires": _nanoseconds(_EXPIRES), "idle_heartbeat": _nanoseconds(_HEARTBEAT)}
        else:
            body["no_wait"] = True
        self._asked += 1
        self._connection.send(self._next, msgspec.json.encode(body), reply=self._reply)
        self._left = _BATCH

    async def _receive(self) -> Msg:
        try:
            async with asyncio.timeout(_PATIENCE.total_seconds()):
                msg = await self._came.get()
        except TimeoutError:
            msg = None
        if msg is None:
            raise UpstreamUnavailableError(_AWAY)
        return msg


def _stored(msg: Msg) -> tuple[int, StreamMessage]:
    """Return how many the consumer has sent with this one, and the message."""
    # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>; the later form has domain
    # and account before the stream, and a token at the end.
    tokens = msg.reply.split(".")
    at = 5 if len(tokens) == _SHORT_FORM else 7
    stored_at = _EPOCH + timedelta(microseconds=int(tokens[at + 2]) // 1000)
    return int(tokens[at + 1]), StreamMessage(msg.subject, int(tokens[at]), stored_at, msg.headers, msg.data)


def _nanoseconds(duration: timedelta) -> int:
    return int(duration.total_seconds() * _NANOSECONDS)


def _read_error(error: ApiError) -> FleetError:
    if error.err_code == STREAM_NOT_FOUND:
        return NotFoundError("There is no such stream.")
    return UpstreamUnavailableError(_AWAY)
