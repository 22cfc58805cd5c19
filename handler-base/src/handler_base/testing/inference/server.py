"""The part all fakes share: a server on a free port that records what it is asked and fails as scripted."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from handler_base.testing.inference.script import Failure, FailureKind, Script

__all__ = ["FakeServer", "RecordedRequest"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BOUNDARY: Final = re.compile(r"multipart/form-data;.*boundary=\"?([^\s;\"]+)")
_PARAMETER: Final = re.compile(rb'(\bname|\bfilename)="([^"]*)"')
_PART_TYPE: Final = re.compile(rb"Content-Type: *([^\r\n]+)", re.IGNORECASE)
_ENDLESS_PIECE = b" " * 65536


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it came.

    Attributes:
        method: The HTTP method.
        path: Without the query.
        query: Parameters of the query.
        headers: Names in lower case.
        body: The raw body.
        form: Text fields of a form; a file's bytes under its name.
        files: File name and content type of the files of a form.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    form: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def json(self) -> Any:  # noqa: ANN401 - a body may be any JSON
        """The body as JSON."""
        return json.loads(self.body)


_RECORDED: Final = web.RequestKey("recorded", RecordedRequest)
_FAILURE: Final[web.RequestKey[Failure | None]] = web.RequestKey("failure", Failure)


class FakeServer:
    """A fake inference server; use it as an asynchronous context manager.

    Attributes:
        script: What it does.
        requests: What it was asked, in order.
        open_streams: Requests being answered right now.
        disconnects: Requests whose client left before the end of the answer.
        connections: Connections that were made.
    """

    def __init__(self, script: Script | None = None, *, prefix: str = "") -> None:
        self.script = script or Script()
        self.requests: list[RecordedRequest] = []
        self.open_streams = 0
        self.disconnects = 0
        self.connections = 0
        self._prefix = prefix
        self._port = 0
        self._seen: set[int] = set()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The base URL, with the prefix and without a trailing slash."""
        return f"http://127.0.0.1:{self._port}{self._prefix}"

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the handler of each method and path, without the prefix."""
        return {}

    async def start(self, port: int = 0) -> None:
        """Listen; on the same port as before after a `stop`, unless another is named."""
        app = web.Application(client_max_size=1 << 30)
        for (method, path), handler in self.handlers().items():
            app.router.add_route(method, self._prefix + path, self._recording(handler))
        app.router.add_route("*", "/{rest:.*}", self._recording(_not_found, failing=False))
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port or self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def recorded(self, request: web.Request) -> RecordedRequest:
        """Return the record of the request that a handler answers."""
        return request[_RECORDED]

    async def json(self, request: web.Request, answer: object) -> web.StreamResponse:
        """Answer with JSON, or fail as scripted."""
        return await self.whole(request, json.dumps(answer).encode(), "application/json")

    async def whole(self, request: web.Request, body: bytes, content_type: str) -> web.StreamResponse:
        """Answer with a body in one piece, or fail as scripted."""
        failure = request[_FAILURE]
        headers = {"Content-Type": content_type}
        if failure is None:
            return web.Response(body=body, headers=headers)
        if failure.kind is FailureKind.MALFORMED:
            return web.Response(body=body[: max(1, len(body) // 2)], headers=headers)
        response = web.StreamResponse(headers=headers)
        if failure.kind is FailureKind.TRUNCATED:
            response.content_length = len(body)
        await response.prepare(request)
        if failure.kind is FailureKind.ENDLESS:
            while True:
                await response.write(_ENDLESS_PIECE)
        await response.write(body[: len(body) // 2])
        await _break(request, failure)
        return response

    async def stream(
        self,
        request: web.Request,
        pieces: Sequence[bytes],
        content_type: str,
        *,
        tail: Sequence[bytes] = (),
        error: bytes = b"",
    ) -> web.StreamResponse:
        """Answer piece by piece at the scripted pace, or fail as scripted.

        Args:
            request: The request.
            pieces: Sent at the scripted pace.
            content_type: Of the answer.
            tail: Sent at once after the last piece; left out when the end marker is to be missing.
            error: How the dialect reports an error inside a stream.
        """
        failure = request[_FAILURE]
        response = web.StreamResponse(headers={"Content-Type": content_type})
        response.enable_chunked_encoding()
        await response.prepare(request)
        script = self.script
        pause = script.burst / script.tokens_per_second if script.tokens_per_second else 0.0
        most = len(pieces) if failure is None else min(failure.after, len(pieces))
        if failure is not None and failure.kind is FailureKind.NO_END_MARKER:
            most = len(pieces)
        for start in range(0, most, script.burst):
            if start and pause:
                await asyncio.sleep(pause)
            await response.write(b"".join(pieces[start : min(start + script.burst, most)]))
        if failure is None:
            for piece in tail:
                await response.write(piece)
        elif failure.kind is FailureKind.ENDLESS:
            while True:
                await response.write(_ENDLESS_PIECE)
        elif failure.kind is FailureKind.ERROR_IN_STREAM:
            await response.write(error)
        elif failure.kind is not FailureKind.NO_END_MARKER:
            await _break(request, failure)
        await response.write_eof()
        return response

    def _recording(self, handler: Handler, *, failing: bool = True) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            self._note_connection(request)
            recorded = await _recorded(request)
            request[_RECORDED] = recorded
            self.requests.append(recorded)
            failure = self._next_failure() if failing else None
            request[_FAILURE] = failure
            with self._counted():
                if self.script.delay and failing:
                    await asyncio.sleep(self.script.delay)
                if failure is not None and failure.after == 0:
                    if failure.kind is FailureKind.STATUS:
                        return _refusal(failure)
                    if failure.kind in {FailureKind.HANG, FailureKind.RESET}:
                        await _break(request, failure)
                return await handler(request)

        return handle

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.open_streams += 1
        try:
            yield
        except (asyncio.CancelledError, ConnectionError):
            self.disconnects += 1
            raise
        finally:
            self.open_streams -= 1

    def _next_failure(self) -> Failure | None:
        script = self.script
        return script.failures.pop(0) if script.failures else script.always

    def _note_connection(self, request: web.Request) -> None:
        peer = request.transport.get_extra_info("peername")[1] if request.transport is not None else 0
        if peer not in self._seen:
            self._seen.add(peer)
            self.connections += 1


async def _break(request: web.Request, failure: Failure) -> None:
    """Fall silent, or end the connection with or without a reset."""
    transport = request.transport
    if failure.kind is FailureKind.HANG or transport is None:
        await asyncio.Event().wait()
    elif failure.kind is FailureKind.RESET:
        transport.abort()
    else:
        transport.close()
    # The handler ends as one does whose client is gone.
    await asyncio.Event().wait()


def _refusal(failure: Failure) -> web.Response:
    headers = {"Content-Type": "application/json"}
    if failure.retry_after:
        headers["Retry-After"] = failure.retry_after
    return web.Response(status=failure.code, body=failure.body, headers=headers)


async def _not_found(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"detail": "Not Found"}, status=404)


async def _recorded(request: web.Request) -> RecordedRequest:
    body = await request.read()
    form: dict[str, bytes] = {}
    files: dict[str, tuple[str, str]] = {}
    boundary = _BOUNDARY.search(request.headers.get("Content-Type", ""))
    if boundary is not None:
        for part in body.split(b"--" + boundary[1].encode())[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            names = {match[1].decode(): match[2].decode() for match in _PARAMETER.finditer(head)}
            form[names["name"]] = content.removesuffix(b"\r\n")
            if "filename" in names:
                media_type = _PART_TYPE.search(head)
                files[names["name"]] = (names["filename"], media_type[1].decode() if media_type is not None else "")
    headers = {name.lower(): value for name, value in request.headers.items()}
    return RecordedRequest(request.method, request.path, dict(request.query), headers, body, form, files)
