"""The client library's protocol machinery, with delivery, sending and failure reported our way.

nats-py does the handshake, authentication, TLS and parsing. What it does above that does not fit a service
that must stay up: it queues every message for a task of its subscription, it closes for good on most errors
of the server, and it waits without a limit for a frozen peer. `WireClient` hands messages over at once, writes
commands without yielding, and reports the end of a link in the moment it is seen; `NatsConnection` makes the
next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from nats.aio.client import Client
from nats.protocol.parser import AWAITING_MSG_PAYLOAD, Parser

from handler_base.nats_client.headers import decode_headers
from handler_base.telemetry import metrics

__all__ = ["MessageCallback", "Msg", "WireClient"]

log = logging.getLogger(__name__)

_PERMISSIONS: Final = "permissions violation"

_LARGE: Final = 256 * 1024
"""Bytes from which a second copy of a payload is worth avoiding; such a message takes several reads to come in."""


class Msg:
    """A message as it came.

    Attributes:
        subject: What it was published on.
        data: The payload.
        reply: Where an answer is wanted, or empty.
        headers: By name, as sent; None when there are none.
        status: Of a message the server itself made (100, 404, 408, 409, 503), otherwise 0.
        description: What the server says about the status.
    """

    __slots__ = ("data", "description", "headers", "reply", "status", "subject")

    def __init__(
        self,
        subject: str,
        data: bytes,
        reply: str = "",
        headers: dict[str, str] | None = None,
        *,
        status: int = 0,
        description: str = "",
    ) -> None:
        self.subject = subject
        self.data = data
        self.reply = reply
        self.headers = headers
        self.status = status
        self.description = description


MessageCallback = Callable[[Msg], object]
"""Takes a message over; called on the event loop, it must not block."""


class _LargeBuffer(bytearray):
    """A receive buffer whose slices are bytes, which `bytes` does not copy again."""

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - as of bytearray
        return bytes(memoryview(self)[key]) if isinstance(key, slice) else super().__getitem__(key)


class _Parser(Parser):
    """nats-py's parser, with one copy less of every large payload."""

    async def parse(self, data: bytes = b"") -> None:
        large = self.state == AWAITING_MSG_PAYLOAD and self.needed > _LARGE
        if large is not isinstance(self.buf, _LargeBuffer):
            self.buf = _LargeBuffer(self.buf) if large else bytearray(self.buf)
        await super().parse(data)


class WireClient(Client):
    """One link to one server; when it ends it is thrown away.

    Args:
        on_lost: Told once why the link ended.
        on_permission_violation: Told what the server forbade.
        on_lame_duck: Told that the server is about to shut down.
    """

    def __init__(
        self,
        *,
        on_lost: Callable[[Exception], None],
        on_permission_violation: Callable[[str], None],
        on_lame_duck: Callable[[], None],
    ) -> None:
        super().__init__()
        self._ps = _Parser(self)
        self._on_lost = on_lost
        self._on_permission_violation = on_permission_violation
        self._on_lame_duck = on_lame_duck
        self._callbacks: dict[int, MessageCallback] = {}
        self._alone: asyncio.TimerHandle | None = None

    @property
    def server_version(self) -> str:
        """What the server calls its version."""
        return str(self._server_info.get("version", ""))

    @property
    def cluster(self) -> str:
        """Name of the cluster, or empty for a server that is alone."""
        return str(self._server_info.get("cluster") or "")

    @property
    def known_servers(self) -> list[str]:
        """Addresses the rest of the cluster announced, as ``host:port``."""
        return [str(url) for url in self._server_info.get("connect_urls") or ()]

    def send(self, command: bytes) -> None:
        """Put a protocol command in line; what is sent before the loop runs on leaves in one write."""
        self._pending.append(command)
        self._pending_data_size += len(command)
        queue = self._flush_queue
        if queue is not None and queue.empty():
            queue.put_nowait(asyncio.get_running_loop().create_future())

    def send_along(self, command: bytes, within: float) -> None:
        """Put a command in line that leaves with the next one, or alone after `within` seconds: a write costs more."""
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._alone is None:
            self._alone = asyncio.get_running_loop().call_later(within, self._send_alone)

    def _send_alone(self) -> None:
        self._alone = None
        queue = self._flush_queue
        if self._pending and queue is not None and queue.empty():
            queue.put_nowait(asyncio.get_running_loop().create_future())

    async def sent(self) -> None:
        """Wait until what is in line was handed to the socket."""
        queue = self._flush_queue
        if queue is None or not self.is_connected:
            return
        written: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        queue.put_nowait(written)
        await written

    def ping(self) -> asyncio.Future[bool]:
        """Ask for a sign of life, in line behind what was sent before.

        Returns:
            Becomes True with the answer, False when the link ends without one.
        """
        answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pongs.append(answered)
        self.send(b"PING\r\n")
        return answered

    def listen(self, subject: str, queue: str, callback: MessageCallback) -> int:
        """Subscribe; the messages go straight to `callback`."""
        self._sid += 1
        self._callbacks[self._sid] = callback
        self.send(f"SUB {subject} {queue} {self._sid}\r\n".encode())
        return self._sid

    def stop_listening(self, sid: int) -> None:
        """Ask the server for no more; what is under way still comes until `forget`."""
        self.send(f"UNSUB {sid}\r\n".encode())

    def stop_listening_to_all(self) -> None:
        """Ask the server for no more on any subscription."""
        for sid in self._callbacks:
            self.stop_listening(sid)

    def forget(self, sid: int) -> None:
        """Drop what still comes for a subscription."""
        self._callbacks.pop(sid, None)

    def take_unsent(self) -> list[bytes]:
        """Return, and forget, the messages that were not yet handed to the socket."""
        unsent = [command for command in self._pending if command.startswith((b"PUB ", b"HPUB "))]
        self._pending = []
        self._pending_data_size = 0
        return unsent

    def abandon(self) -> None:
        """Let go of the link at once, whatever state its peer is in."""
        self._status = Client.CLOSED
        self._callbacks.clear()
        self._release_waiters()
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.cancel()
        transport = self._transport
        if not transport:
            return
        transport.close()  # type: ignore[no-untyped-call]  # the library leaves it untyped
        # A graceful close waits until the peer has read everything, which a frozen one never does.
        writer = getattr(transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    def _release_waiters(self) -> None:
        for answered in self._pongs:
            if not answered.done():
                answered.set_result(False)
        self._pongs = []
        queue = self._flush_queue
        while queue is not None and not queue.empty():
            written = queue.get_nowait()
            if not written.done():
                written.set_result(None)

    async def _flusher(self) -> None:
        """Hand what is in line to the socket, and wait whenever the socket is full."""
        transport: Any = self._transport  # The library leaves it untyped.
        queue = self._flush_queue
        while self.is_connected and queue is not None:
            written = await queue.get()
            try:
                if self._pending:
                    # In one piece, not by `writelines`: before CPython 3.12.9 and 3.13.2 that never tells asyncio's
                    # streams that the socket is full (CVE-2024-12254), and what waits would grow without a bound.
                    transport.write(b"".join(self._pending))
                    self._pending = []
                    self._pending_data_size = 0
                    await transport.drain()
            except (OSError, RuntimeError) as error:
                self._on_lost(error)
                return
            finally:
                if not written.done():
                    written.set_result(None)

    async def _process_pong(self) -> None:
        if self._pongs:
            answered = self._pongs.pop(0)
            if not answered.done():
                answered.set_result(True)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        callback = self._callbacks.get(sid)
        if callback is None:
            return
        status, description, fields = decode_headers(headers) if headers else (0, "", None)
        msg = Msg(subject.decode(), data, reply.decode(), fields, status=status, description=description)
        try:
            callback(msg)
        except Exception:
            # An error in one receiver must not end the link of all.
            metrics.SWALLOWED_ERRORS.of("nats_callback").inc()
            log.exception("message callback failed", extra={"subject": msg.subject})

    async def _process_err(self, err_msg: str) -> None:
        text = err_msg.strip("'")
        if _PERMISSIONS in text:
            self._on_permission_violation(text)
        else:
            self._on_lost(ConnectionError(f"server said: {text}"))

    async def _process_op_err(self, e: Exception) -> None:
        self._on_lost(e)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        await super()._process_info(info, initial_connection)
        if initial_connection:
            return
        self._server_info.update(info)
        self._max_payload = int(info.get("max_payload", self._max_payload))
        if info.get("ldm"):
            self._on_lame_duck()
