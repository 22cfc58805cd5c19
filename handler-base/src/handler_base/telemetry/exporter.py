"""Sends spans and metrics to an OTLP/HTTP receiver, in the background, without ever getting in the way.

A receiver that is slow or away costs spans, which are counted, and never an answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum, auto
from typing import Final

import msgspec

from handler_base.deadline import Deadline
from handler_base.http import ConnectError, Origin, WireError
from handler_base.telemetry import metrics
from handler_base.telemetry.otlp import Resource, encode_span, trace_request
from handler_base.telemetry.spans import RecordingSpan

__all__ = ["MetricsPusher", "OtlpSender", "SendResult", "SpanExporter"]

logger: Final = logging.getLogger(__name__)

_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_MAX_ANSWER: Final = 64 * 1024
_IDLE: Final = timedelta(seconds=30)
_SLICE: Final = 64
"""Spans encoded before the event loop gets a turn."""


class SendResult(Enum):
    """What became of one request."""

    ACCEPTED = auto()
    REFUSED = auto()
    """The receiver does not want it: trying again is of no use."""
    FAILED = auto()
    """The receiver is away or busy."""


class _PartialSuccess(msgspec.Struct, rename="camel"):
    rejected_spans: int | str = 0


class _Answer(msgspec.Struct, rename="camel"):
    partial_success: _PartialSuccess | None = None


class OtlpSender:
    """Posts bodies to one receiver. Says in the log when it goes away and when it is back, not each time.

    Args:
        endpoint: Base URL; ``/v1/traces`` and ``/v1/metrics`` are added.
        headers: Added to each request; they may be secret and are never logged.
        timeout: Time one request may take.
    """

    def __init__(self, endpoint: str, headers: Mapping[str, str], *, timeout: timedelta = timedelta(seconds=5)) -> None:
        self._headers = {**headers, "Content-Type": "application/json"}
        self._timeout = timeout
        self._origin = Origin(endpoint, _IDLE)
        self._failing = False

    async def send(self, path: str, body: bytes) -> tuple[SendResult, bytes]:
        """Post one body; returns what became of it and the receiver's answer. Raises nothing."""
        try:
            status, answer = await self._post(path, body)
        except (ConnectError, WireError, TimeoutError, ValueError) as error:
            # The error's own words may hold the address, and with it credentials: only its type is told.
            self._note_failure(type(error).__qualname__)
            return SendResult.FAILED, b""
        if 200 <= status < 300:
            self._note_success()
            return SendResult.ACCEPTED, answer
        self._note_failure(f"HTTP {status}")
        return (SendResult.FAILED if status in _RETRYABLE else SendResult.REFUSED), answer

    async def close(self) -> None:
        """Close the connections."""
        self._origin.close()

    async def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        deadline = Deadline.after(self._timeout)
        head = self._origin.head("POST", path, self._headers)
        connection = self._origin.take() or await self._origin.connect(deadline.remaining())
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body
        connection.send(request, most_bytes=_MAX_ANSWER)
        await connection.head(deadline.remaining(), TimeoutError)
        answer = await connection.body(deadline.remaining(), TimeoutError)
        self._origin.give_back(connection)
        return connection.status, answer

    def _note_failure(self, reason: str) -> None:
        if not self._failing:
            self._failing = True
            logger.warning("The OTLP receiver does not accept telemetry: %s", reason)

    def _note_success(self) -> None:
        if self._failing:
            self._failing = False
            logger.info("The OTLP receiver accepts telemetry again")


class SpanExporter:
    """Gathers ended spans and sends them in batches.

    Args:
        sender: Posts the batches.
        resource: Who sends.
        batch_size: Spans that make a batch go at once.
        queue_size: Spans that may wait; more are dropped and counted.
        interval: Time after which a smaller batch goes too.
        retry_delay: Time before a failed batch is tried once more.
    """

    def __init__(
        self,
        sender: OtlpSender,
        resource: Resource,
        *,
        batch_size: int = 256,
        queue_size: int = 8192,
        interval: timedelta = timedelta(seconds=2),
        retry_delay: timedelta = timedelta(seconds=1),
    ) -> None:
        self._sender = sender
        self._resource = resource
        self._batch_size = batch_size
        self._queue_size = queue_size
        self._interval = interval.total_seconds()
        self._retry_delay = retry_delay.total_seconds()
        self._waiting: deque[RecordingSpan] = deque()
        self._full = asyncio.Event()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def submit(self, span: RecordingSpan) -> None:
        """Take an ended span, from any thread; never waits and never raises."""
        count = len(self._waiting)
        if count >= self._queue_size:
            metrics.DROPPED_SPANS.of("queue_full").inc()
            return
        self._waiting.append(span)
        if count + 1 == self._batch_size and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._full.set)

    def start(self) -> None:
        """Send in the background of the running event loop, from now until `shutdown`."""
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._run(), name="span-exporter")

    async def flush(self) -> None:
        """Send everything that waits."""
        while self._waiting:
            await self._send_batch()

    async def shutdown(self, budget: timedelta) -> None:
        """Stop, and send what waits within `budget`; the rest is dropped and counted."""
        self._stopping = True
        self._full.set()
        try:
            async with asyncio.timeout(budget.total_seconds()):
                if self._task is not None:
                    await self._task
                await self.flush()
        except TimeoutError:
            logger.warning("%d spans were not sent before the service stopped", len(self._waiting))
        self._drop("shutdown", len(self._waiting))
        self._waiting.clear()

    async def _run(self) -> None:
        while not self._stopping:
            try:
                async with asyncio.timeout(self._interval):
                    await self._full.wait()
            except TimeoutError:
                least = 1
            else:
                least = self._batch_size
            self._full.clear()
            while len(self._waiting) >= least:
                await self._send_batch()

    async def _send_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(self._batch_size, len(self._waiting)))]
        try:
            encoded = await self._encode(batch)
            if encoded:
                await self._deliver(trace_request(self._resource, encoded), len(encoded))
        except asyncio.CancelledError:
            # Counted as dropped by shutdown, whose budget has run out.
            self._waiting.extendleft(reversed(batch))
            raise
        except Exception:  # noqa: BLE001 - the exporter outlives whatever is wrong with one batch
            metrics.SWALLOWED_ERRORS.of("span_exporter").inc()
            self._drop("internal", len(batch))

    async def _encode(self, batch: list[RecordingSpan]) -> list[bytes]:
        encoded: list[bytes] = []
        for index, span in enumerate(batch, start=1):
            try:
                encoded.append(encode_span(span))
            except (ValueError, TypeError):
                self._drop("encoding", 1)
            if index % _SLICE == 0:
                await asyncio.sleep(0)
        return encoded

    async def _deliver(self, body: bytes, count: int) -> None:
        result, answer = await self._sender.send("/v1/traces", body)
        if result is SendResult.FAILED:
            await asyncio.sleep(self._retry_delay)
            result, answer = await self._sender.send("/v1/traces", body)
        if result is not SendResult.ACCEPTED:
            self._drop("refused" if result is SendResult.REFUSED else "unreachable", count)
            return
        rejected = min(_rejected(answer), count)
        self._drop("rejected", rejected)
        metrics.EXPORTED_SPANS.inc(count - rejected)

    @staticmethod
    def _drop(reason: str, count: int) -> None:
        if count:
            metrics.DROPPED_SPANS.of(reason).inc(count)


class MetricsPusher:
    """Sends the whole registry every `interval`; a push that fails is made good by the next one.

    Args:
        sender: Posts the bodies.
        encode: Returns the body of a metrics request.
        interval: Time between two pushes.
    """

    def __init__(self, sender: OtlpSender, encode: Callable[[], bytes], interval: timedelta) -> None:
        self._sender = sender
        self._encode = encode
        self._interval = interval.total_seconds()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Push in the background of the running event loop, from now until `shutdown`."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="metrics-pusher")

    async def shutdown(self, budget: timedelta) -> None:
        """Stop, after a last push within `budget`."""
        await _cancel(self._task)
        self._task = None
        try:
            async with asyncio.timeout(budget.total_seconds()):
                await self._push()
        except TimeoutError:
            metrics.DROPPED_METRIC_PUSHES.inc()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._push()

    async def _push(self) -> None:
        try:
            result, _ = await self._sender.send("/v1/metrics", await asyncio.to_thread(self._encode))
        except Exception:  # noqa: BLE001 - a metric that cannot be encoded must not end the pushes
            metrics.SWALLOWED_ERRORS.of("metrics_pusher").inc()
            result = SendResult.REFUSED
        if result is not SendResult.ACCEPTED:
            metrics.DROPPED_METRIC_PUSHES.inc()


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])


def _rejected(answer: bytes) -> int:
    try:
        partial = msgspec.json.decode(answer, type=_Answer).partial_success if answer else None
        return max(0, int(partial.rejected_spans)) if partial is not None else 0
    except (msgspec.DecodeError, ValueError):
        # Receivers that answer in their own words have accepted all the same.
        return 0
