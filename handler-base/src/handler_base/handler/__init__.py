"""The base of every service: declare what it answers; everything around that is done here."""

from handler_base.handler.context import Context
from handler_base.handler.endpoints import Endpoint, consumers_of, endpoint, endpoints_of, stream_of
from handler_base.handler.handler import Handler, Worker
from handler_base.handler.runner import run
from handler_base.handler.service import Service
from handler_base.handler.streaming import StreamFormat, StreamWriter

__all__ = [
    "Context",
    "Endpoint",
    "Handler",
    "Service",
    "StreamFormat",
    "StreamWriter",
    "Worker",
    "consumers_of",
    "endpoint",
    "endpoints_of",
    "run",
    "stream_of",
]
