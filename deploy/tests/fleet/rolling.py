"""A rolling update as a Deployment does it: one more replica, ready; then one less, in peace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from deploy.manifests.profiles import Lifecycle
from deploy.manifests.topology import apps
from handler_base.testing.service_process import ServiceProcess

__all__ = ["Fleet"]


@dataclass
class Fleet:
    """Replicas of several services, each a process.

    Attributes:
        environment: Settings of all of them.
        own: Settings of some of them, by module.
        exits: The exit code of each replica that was stopped.
    """

    environment: Mapping[str, str]
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    exits: list[int] = field(default_factory=list)
    _replicas: dict[str, list[ServiceProcess]] = field(default_factory=dict)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def start(self, modules: Sequence[str], replicas: int) -> None:
        """Start so many replicas of each."""
        for module in modules:
            self._replicas[module] = [await self._start(module) for _ in range(replicas)]

    async def update(self, module: str) -> None:
        """Replace every replica of a service, as its Deployment says: one more first, then one less."""
        lifecycle = _lifecycle(module)
        assert (lifecycle.max_surge, lifecycle.max_unavailable) == (1, 0)
        for old in list(self._replicas[module]):
            self._replicas[module].append(await self._start(module))
            self._replicas[module].remove(old)
            self.exits.append(await old.terminate(within=lifecycle.grace))

    def logs(self) -> str:
        """What all replicas that run wrote, for a failed test."""
        return "\n".join(replica.log for replicas in self._replicas.values() for replica in replicas)

    async def _start(self, module: str) -> ServiceProcess:
        drain = {"DRAIN_TIMEOUT": str(_lifecycle(module).drain_timeout)}
        replica = ServiceProcess(module, {**self.environment, **drain, **self.own.get(module, {})})
        self._stack.push_async_exit(replica)
        return await replica.start()


def _lifecycle(module: str) -> Lifecycle:
    """Return how the manifests have a service end."""
    (found,) = (app.lifecycle for app in apps() if app.name == module.replace("_", "-"))
    return found
