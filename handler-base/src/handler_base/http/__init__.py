"""HTTP/1.1, as little of it as the fleet needs: connections to model servers, and a server for probes.

httptools, the parser under uvicorn, reads; what is here waits, bounds and reuses. See ADR 0013.
"""

from __future__ import annotations

from handler_base.http.connection import (
    DisconnectedError,
    HttpConnection,
    ProtocolError,
    SilentError,
    TooLongError,
    TruncatedError,
    WireError,
)
from handler_base.http.pool import ConnectError, HttpPool, Origin
from handler_base.http.server import HttpResponse, HttpServer

__all__ = [
    "ConnectError",
    "DisconnectedError",
    "HttpConnection",
    "HttpPool",
    "HttpResponse",
    "HttpServer",
    "Origin",
    "ProtocolError",
    "SilentError",
    "TooLongError",
    "TruncatedError",
    "WireError",
]
