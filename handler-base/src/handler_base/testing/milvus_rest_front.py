"""A stand-in for the REST v2 API of Milvus, over a Milvus Lite that speaks gRPC only.

It follows the official shapes where a client can tell: HTTP 200 with a code for nearly every failure, rows with
`id` and `distance` always, flat `data` with `topks`, int64 as strings unless the request asks for numbers (a server
configured with ``acceptTypeAllowInt64: false``, the stricter of the two), and the traps of `hybrid_search`. It is
no Milvus: it knows the calls that the fleet makes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from aiohttp import web

from handler_base.testing.milvus_rest_operations import OPERATIONS, Operation, RestCall, RestFailure

__all__ = ["MilvusRestFront"]

_DEFAULT_TIMEOUT_S: Final = 30.0
_NO_PINGS: Final = {"grpc.keepalive_time_ms": 2**31 - 1}
"""pymilvus pings every ten seconds, for which Milvus Lite may end the connection (`too_many_pings`)."""

_log = logging.getLogger(__name__)


class MilvusRestFront:
    """Serves ``/v2/vectordb/...`` on 127.0.0.1.

        async with MilvusRestFront(lite.uri) as front:
            ...  # front.url

    Args:
        uri: Milvus Lite's gRPC address.
        port: Port to listen on; 0 picks a free one.
        token: When given, requests need ``Authorization: Bearer <token>``.

    Attributes:
        lite_uri: Milvus Lite's gRPC address.
        calls: Paths of the calls that came, after ``/v2/vectordb/``; tests read it.
    """

    def __init__(self, uri: str, *, port: int = 0, token: str = "") -> None:
        self.lite_uri = uri
        self._port = port
        self._token = token
        self._client: Any = None
        self._runner: web.AppRunner | None = None
        self._executor = ThreadPoolExecutor(4, thread_name_prefix="milvus-rest-front")
        self.calls: list[str] = []

    @property
    def url(self) -> str:
        """Base URL, without the path of the API."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Port it listens on."""
        return self._port

    async def start(self) -> None:
        """Listen; Milvus Lite must be there."""
        self._client = await self._in_thread(lambda: _connect(self.lite_uri))
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v2/vectordb/{operation:.+}", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening and let Milvus Lite go."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._client is not None:
            await self._in_thread(self._client.close)
            self._client = None
        await asyncio.to_thread(self._executor.shutdown)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve(self, request: web.Request) -> web.Response:
        name = request.match_info["operation"]
        operation = OPERATIONS.get(name)
        if operation is None:
            return web.Response(status=404, text="404 page not found")
        self.calls.append(name)
        if self._token and request.headers.get("Authorization") != f"Bearer {self._token}":
            return _answer({"code": 1800, "message": "user hasn't authenticated"}, status=401)
        text_int64 = request.headers.get("Accept-Type-Allow-Int64", "").lower() != "true"
        limit = float(request.headers.get("Request-Timeout") or _DEFAULT_TIMEOUT_S)
        try:
            body = _read_object(await request.read())
            async with asyncio.timeout(limit):
                payload = await self._in_thread(lambda: self._call(operation, body, text_int64=text_int64))
        except RestFailure as failure:
            return _answer({"code": failure.code, "message": failure.message})
        except TimeoutError:
            return _answer({"code": 10001, "message": "request timeout"}, status=408)
        return _answer(payload)

    def _call(self, operation: Operation, body: dict[str, Any], *, text_int64: bool) -> dict[str, Any]:
        from pymilvus import MilvusException  # noqa: PLC0415 - heavy, and only where this stand-in runs

        started = time.monotonic()
        try:
            payload = operation(RestCall(self._client, body, text_int64))
        except MilvusException as error:
            _log.debug("milvus lite refused a call", exc_info=True)
            raise RestFailure(_code_of(error), str(error.message)) from error
        if "topks" in payload or "cost" in payload:
            payload["cost"] = int((time.monotonic() - started) * 1000)
        return {"code": 0, **payload}

    async def _in_thread(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - pymilvus has no types
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


def _connect(uri: str) -> Any:  # noqa: ANN401 - pymilvus has no types
    from pymilvus import MilvusClient  # noqa: PLC0415 - heavy, and only where this stand-in runs

    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return MilvusClient(uri, grpc_options=_NO_PINGS)


def _code_of(error: Any) -> int:  # noqa: ANN401 - pymilvus has no types
    """Return the code Milvus would give; Milvus Lite says 6 for a bad argument, 1 for all it has no code for."""
    return {6: 1100, 1: 65535}.get(int(error.code), int(error.code))


def _read_object(payload: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(payload, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise RestFailure(1801, "can only accept json format request") from error


def _answer(payload: Any, status: int = 200) -> web.Response:  # noqa: ANN401 - a JSON value
    return web.Response(body=msgspec.json.encode(payload), status=status, content_type="application/json")
