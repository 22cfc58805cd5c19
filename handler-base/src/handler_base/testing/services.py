"""Services that run in the process of a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from handler_base.config import Settings
from handler_base.handler import Handler, Service

__all__ = ["StartService", "services"]

StartService = Callable[..., Awaitable[Service]]
S = TypeVar("S", bound=Settings)


@asynccontextmanager
async def services(make: Callable[[S], Handler[S]], settings: type[S], **where: object) -> AsyncIterator[StartService]:
    """Start services during the block; all of them are stopped at its end, the last one first.

    Args:
        make: Makes the handler of a service.
        settings: What it is made of.
        where: Settings of every service, such as the addresses of the test's servers.

    Yields:
        What starts one more; its arguments are the settings in which that one differs.
    """
    async with AsyncExitStack() as stack:

        async def start(**values: object) -> Service:
            given = {"health_host": "127.0.0.1", "health_port": 0, **where, **values}
            service = Service(make(settings.model_validate(given)))
            await service.start()
            stack.push_async_callback(service.stop)
            return service

        yield start
