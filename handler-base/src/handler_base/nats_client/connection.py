"""The connection to NATS that every service holds: it heals by itself.

Above it there is one state to know, connected or not. A link that ends, for whatever reason, is thrown away
and made again, with its subscriptions; what is published meanwhile waits in a bounded buffer.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from handler_base.errors import (
    DeadlineExceededError,
    FleetError,
    InvalidRequestError,
    PayloadTooLargeError,
    PermissionDeniedError,
    UpstreamUnavailableError,
)
from handler_base.nats_client._supervisor import LinkOwner, Supervisor
from handler_base.nats_client._wire import MessageCallback, Msg, WireClient
from handler_base.nats_client.headers import MESSAGE_ID, HeaderValue, encode_headers
from handler_base.nats_client.options import ConnectionOptions
from handler_base.nats_client.publishing import PublishAck, read_publish_ack
from handler_base.nats_client.subscription import Subscription
from handler_base.telemetry import metrics

__all__ = ["NatsConnection"]

log = logging.getLogger(__name__)

_INVALID_SUBJECT: Final = re.compile(r"[\s\x00]")
_DEFAULT_MAX_PAYLOAD: Final = 1024 * 1024
_AWAY: Final = "The message bus cannot be reached right now."


class NatsConnection:
    """Publishes, requests and subscribes over a link that is made again whenever it ends.

    Args:
        options: Where the servers are and how to log in.

    Attributes:
        permission_violations: How many times the server forbade something.
        last_permission_violation: What it said the last time.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        self._options = options
        self._supervisor = Supervisor(
            options, LinkOwner(self._attach, self._detach, self._on_established, self._on_forbidden)
        )
        self._client: WireClient | None = None
        self._max_payload = _DEFAULT_MAX_PAYLOAD
        self._backlog: list[bytes] = []
        self._backlog_size = 0
        self._reconnect_callbacks: list[Callable[[], object]] = []
        self._resent_elsewhere: tuple[bytes, ...] = ()
        self._replies: dict[str, tuple[asyncio.Future[Msg], str]] = {}
        self._reply_prefix = f"{options.inbox_prefix}.{secrets.token_hex(11)}"
        self._request_count = 0
        self._closed = False
        self._subscriptions: dict[Subscription, None] = {}
        self._add(f"{self._reply_prefix}.*", "", self._on_reply)
        self.permission_violations = 0
        self.last_permission_violation = ""

    @property
    def options(self) -> ConnectionOptions:
        """What the connection was made with."""
        return self._options

    @property
    def is_connected(self) -> bool:
        """Whether a server answers on the link."""
        return self._supervisor.established

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def max_payload(self) -> int:
        """Bytes that the payload and the headers of one message may have together."""
        client = self._client
        return self._max_payload if client is None else client.max_payload

    @property
    def server_version(self) -> str:
        """Version of the server, or empty before the first link."""
        return self._supervisor.server_version

    @property
    def is_clustered(self) -> bool:
        """Whether the server is part of a cluster."""
        return bool(self._supervisor.cluster)

    @property
    def connected_url(self) -> str:
        """Address of the server without credentials, or empty while there is none."""
        return self._supervisor.connected_url

    @property
    def round_trip(self) -> timedelta | None:
        """Time of the last ping, or None before the first."""
        return self._supervisor.round_trip

    @property
    def reconnects(self) -> int:
        """How many times a link was made after the first."""
        return self._supervisor.reconnects

    async def connect(self, *, timeout: timedelta | None = None) -> None:
        """Wait for the first link.

        Args:
            timeout: When to give up; None tries for ever.

        Raises:
            PermissionDeniedError: A server refused the credentials.
            InvalidRequestError: An address is not one.
            InternalError: The server is too old.
            UpstreamUnavailableError: Nothing answered within `timeout`.
        """
        try:
            await self._supervisor.start(timeout)
        except BaseException:
            await self.close()
            raise

    async def close(self, budget: timedelta = timedelta(seconds=5)) -> None:
        """Send what is in line, for `budget` at most, then let go."""
        if self._closed:
            return
        if self.is_connected:
            try:
                await self.flush(timeout=budget)
            except FleetError:
                log.warning("closing before everything was sent")
        self._closed = True
        await self._supervisor.stop()

    def on_reconnect(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` whenever a link was made after the first; it must not block.

        Returns:
            Ends it.
        """
        self._reconnect_callbacks.append(callback)
        return lambda: self._reconnect_callbacks.remove(callback)

    def resent_elsewhere(self, subject_prefix: str) -> None:
        """Leave what a lost link did not send on these subjects to their owner, who sends it again in its order."""
        self._resent_elsewhere += tuple(f"{verb} {subject_prefix}".encode() for verb in ("PUB", "HPUB"))

    def send(
        self, subject: str, payload: bytes = b"", *, headers: Mapping[str, HeaderValue] | None = None, reply: str = ""
    ) -> None:
        """Put a message in line without waiting; what is sent before the loop runs on leaves in one write.

        Raises:
            PayloadTooLargeError: Payload and headers are larger than the server takes; nothing was sent.
            InvalidRequestError: The subject, the reply subject or a header name is malformed.
            UpstreamUnavailableError: There is no link, and the buffer for that time is full or the connection closed.
        """
        if not subject or _INVALID_SUBJECT.search(subject) or (reply and _INVALID_SUBJECT.search(reply)):
            raise InvalidRequestError("A subject is malformed.")
        self.send_encoded(subject, payload, encode_headers(headers) if headers else b"", reply=reply)

    def send_encoded(self, subject: str, payload: bytes, block: bytes, *, reply: str = "") -> None:
        """Put a message in line with its header block as it goes on the wire; for subjects known to be well formed.

        Raises:
            PayloadTooLargeError: As of `send`.
            UpstreamUnavailableError: As of `send`.
        """
        size = len(payload) + len(block)
        verb = f"HPUB {subject} {reply} {len(block)} {size}\r\n" if block else f"PUB {subject} {reply} {size}\r\n"
        # Numbers are written by text far quicker than by the formatting of bytes.
        command = b"".join((verb.encode(), block, payload, b"\r\n"))
        client = self._client
        if size > (self._max_payload if client is None else client.max_payload):
            raise PayloadTooLargeError
        if client is None:
            self._keep(command)
        else:
            client.send(command)

    def send_along(self, command: bytes, within: float) -> None:
        """Put a message in line, as it goes on the wire, that leaves with the next or after `within` seconds.

        Raises:
            UpstreamUnavailableError: As of `send`.
        """
        client = self._client
        if client is None:
            self._keep(command)
        else:
            client.send_along(command, within)

    async def publish(
        self, subject: str, payload: bytes = b"", *, headers: Mapping[str, HeaderValue] | None = None, reply: str = ""
    ) -> None:
        """Publish a message.

        It yields to the loop only when `ConnectionOptions.pending_size` bytes wait for the socket, so that messages
        published in a row leave in one write.

        Raises:
            PayloadTooLargeError: Payload and headers are larger than the server takes; nothing was sent.
            InvalidRequestError: The subject, the reply subject or a header name is malformed.
            UpstreamUnavailableError: There is no link, and the buffer for that time is full or the connection closed.
        """
        self.send(subject, payload, headers=headers, reply=reply)
        client = self._client
        if client is not None and client.pending_data_size > self._options.pending_size:
            await client.sent()

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: Mapping[str, HeaderValue] | None = None,
        timeout: timedelta,
    ) -> Msg:
        """Publish a message and wait for its answer.

        Raises:
            DeadlineExceededError: No answer came within `timeout`.
            UpstreamUnavailableError: There is no link, or nobody listens on the subject.
            PermissionDeniedError: The server forbids the subject.
            PayloadTooLargeError: Payload and headers are larger than the server takes.
        """
        if not self.is_connected:
            raise UpstreamUnavailableError(_AWAY)
        self._request_count += 1
        token = f"{self._request_count:x}"
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._replies[token] = (answer, subject.lower())
        try:
            self.send(subject, payload, headers=headers, reply=f"{self._reply_prefix}.{token}")
            async with asyncio.timeout(timeout.total_seconds()):
                msg = await answer
        except TimeoutError:
            raise DeadlineExceededError from None
        finally:
            self._replies.pop(token, None)
        if msg.status == 503:
            raise UpstreamUnavailableError("No service is listening.")
        return msg

    async def jetstream_publish(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: Mapping[str, HeaderValue] | None = None,
        message_id: str = "",
        timeout: timedelta = timedelta(seconds=5),
    ) -> PublishAck:
        """Publish to a stream and wait until it is stored.

        Args:
            subject: One that a stream captures.
            payload: The body.
            headers: Its headers.
            message_id: By which the stream knows a repetition; with it, an unanswered attempt is made again.
            timeout: For all attempts together.

        Raises:
            UpstreamUnavailableError: No stream captures the subject, or it cannot store now.
            DeadlineExceededError: No acknowledgement came.
            PayloadTooLargeError: Larger than the server or the stream takes.
        """
        fields: dict[str, HeaderValue] = dict(headers or {})
        attempts = 1
        if message_id:
            fields[MESSAGE_ID] = message_id
            attempts = 3
        for attempt in range(1, attempts + 1):
            try:
                msg = await self.request(subject, payload, headers=fields or None, timeout=timeout / attempts)
                return read_publish_ack(msg.data)
            except DeadlineExceededError:
                if attempt == attempts:
                    raise
        raise DeadlineExceededError

    async def subscribe(self, subject: str, callback: MessageCallback, *, queue: str = "") -> Subscription:
        """Hand every message on a subject to `callback`, in order, on the event loop; see `listen`."""
        return self.listen(subject, callback, queue=queue)

    def listen(self, subject: str, callback: MessageCallback, *, queue: str = "") -> Subscription:
        """Subscribe without waiting; the server knows of it after the next `flush`.

        The subscription is made again on every link.

        Args:
            subject: Subject or pattern.
            callback: Takes the message over; it must not block. `asyncio.Queue.put_nowait` is one.
            queue: Queue group: each message goes to one of its members.

        Raises:
            InvalidRequestError: The subject or queue group is malformed.
            UpstreamUnavailableError: The connection was closed.
        """
        if not subject or _INVALID_SUBJECT.search(subject) or (queue and _INVALID_SUBJECT.search(queue)):
            raise InvalidRequestError("A subject is malformed.")
        if self._closed:
            raise UpstreamUnavailableError(_AWAY)
        return self._add(subject, queue, callback)

    async def flush(self, *, timeout: timedelta = timedelta(seconds=5)) -> None:
        """Wait until the server has read everything sent so far.

        Raises:
            UpstreamUnavailableError: There is no link, or it ended meanwhile.
            DeadlineExceededError: No answer came within `timeout`.
        """
        client = self._client
        if client is None or not self.is_connected:
            raise UpstreamUnavailableError(_AWAY)
        answered = client.ping()
        await asyncio.wait({answered}, timeout=timeout.total_seconds())
        if not answered.done():
            raise DeadlineExceededError
        if not answered.result():
            raise UpstreamUnavailableError(_AWAY)

    def new_inbox(self) -> str:
        """Return a subject that nobody else listens on."""
        return f"{self._options.inbox_prefix}.{secrets.token_hex(11)}"

    def _attach(self, client: WireClient) -> None:
        """Move to a new link: subscriptions first, then what waited."""
        for subscription in self._subscriptions:
            subscription.attach(client)
        for command in self._backlog:
            client.send(command)
        self._backlog = []
        self._backlog_size = 0
        self._client = client

    def _detach(self, client: WireClient) -> None:
        """Leave a link that ended; what it did not send waits for the next."""
        if self._client is not client:
            return
        self._max_payload = client.max_payload
        self._client = None
        unsent = [command for command in client.take_unsent() if not command.startswith(self._resent_elsewhere)]
        self._backlog = unsent
        self._backlog_size = sum(map(len, unsent))

    def _on_established(self, again: bool) -> None:
        if not again:
            return
        metrics.RECONNECTS.inc()
        for callback in list(self._reconnect_callbacks):
            callback()

    def _on_forbidden(self, text: str) -> None:
        """Note what the server forbade, and fail the requests that wait in vain for it."""
        self.permission_violations += 1
        self.last_permission_violation = text
        metrics.PERMISSION_VIOLATIONS.inc()
        log.error("the NATS server forbade something", extra={"violation": text})
        for answer, subject in self._replies.values():
            if f'publish to "{subject}"' in text and not answer.done():
                answer.set_exception(PermissionDeniedError())

    def _add(self, subject: str, queue: str, callback: MessageCallback) -> Subscription:
        subscription = Subscription(subject, queue, callback, discard=self._discard)
        self._subscriptions[subscription] = None
        if self._client is not None:
            subscription.attach(self._client)
        return subscription

    def _discard(self, subscription: Subscription) -> bool:
        """Leave a subscription out of later links; False when that was done before."""
        return self._subscriptions.pop(subscription, self) is None

    def _keep(self, command: bytes) -> None:
        if self._closed or self._backlog_size + len(command) > self._options.pending_size:
            raise UpstreamUnavailableError(_AWAY)
        self._backlog.append(command)
        self._backlog_size += len(command)

    def _on_reply(self, msg: Msg) -> None:
        waiting = self._replies.get(msg.subject.rpartition(".")[2])
        if waiting is not None and not waiting[0].done():
            waiting[0].set_result(msg)
