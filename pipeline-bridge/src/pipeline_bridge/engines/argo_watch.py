"""One watch for all workflows of the bridge.

It lists what is under way, then watches from there. When the stream is cut it goes on from the last version it saw;
when that is too old for the server, it lists again. What is followed and not in the list is asked for by name: it has
ended meanwhile, or is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator
from typing import Final
from urllib.parse import quote

from handler_base.errors import FleetError, NotFoundError, UpstreamUnavailableError
from handler_base.telemetry import metrics
from pipeline_bridge.engines.argo_objects import FIELDS, Event, Workflow, WorkflowList
from pipeline_bridge.engines.http import EngineApi
from pipeline_bridge.engines.pauses import Pauses

__all__ = ["LABELS", "MANAGED_BY", "ArgoWatch", "Seen"]

log = logging.getLogger(__name__)

LABELS: Final = {"app.kubernetes.io/managed-by": "pipeline-bridge"}
MANAGED_BY: Final = "app.kubernetes.io/managed-by=pipeline-bridge"

_UNDER_WAY: Final = f"{MANAGED_BY},workflows.argoproj.io/completed!=true"
_PAGE: Final = "200"
_IDLE: Final = 60.0
_OLDEST_RESUME: Final = 180.0
"""Seconds after which the Kubernetes API may have forgotten a version: it keeps five minutes."""

_ASKED_AT_ONCE: Final = 8
_ITEM_FIELDS: Final = ",".join(["metadata.resourceVersion", "metadata.continue", *(f"items.{name}" for name in FIELDS)])
_EVENT_FIELDS: Final = ",".join(["result.type", *(f"result.object.{name}" for name in FIELDS)])
_LONG: Final = 5.0
"""Seconds after which a watch that ends has worked."""


class Seen:
    """Hands one follower the newest view of its workflow.

    Args:
        name: Of the workflow.

    Attributes:
        known: Whether there was anything to see yet.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._workflow: Workflow | None = None
        self._gone = False
        self._new = asyncio.Event()
        self.known = False

    def show(self, workflow: Workflow) -> None:
        """Put a newer view in the place of one that was not looked at yet."""
        if not self._gone:
            self._workflow = workflow
            self.known = True
            self._new.set()

    def vanish(self) -> None:
        """Tell that there is no such workflow any more."""
        self._gone = self.known = True
        self._new.set()

    async def next(self) -> Workflow | None:
        """Return the newest view when there is one that was not looked at; None: it is gone."""
        await self._new.wait()
        self._new.clear()
        if self._gone:
            self._new.set()
            return None
        return self._workflow


class ArgoWatch:
    """Watches the workflows of the bridge while some are followed.

    Args:
        api: Of Argo's server.
        namespace: Of the workflows.
    """

    def __init__(self, api: EngineApi, namespace: str) -> None:
        self._api = api
        where = quote(namespace, safe="")
        self._list_path = f"/api/v1/workflows/{where}"
        self._events_path = f"/api/v1/workflow-events/{where}"
        self._followed: dict[str, Seen] = {}
        self._task: asyncio.Task[None] | None = None
        self._synced = asyncio.Event()
        self._version = ""
        self._version_at = float("-inf")
        self._turns = asyncio.Semaphore(_ASKED_AT_ONCE)

    @contextlib.asynccontextmanager
    async def following(self, name: str) -> AsyncGenerator[Seen, None]:
        """Follow a workflow for the block."""
        seen = self._followed[name] = Seen(name)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        # It may have changed before anybody looked for it. Before the first list, that tells.
        asking = asyncio.get_running_loop().create_task(self._ask_until_known(seen))
        try:
            yield seen
        finally:
            asking.cancel()
            if self._followed.get(name) is seen:
                del self._followed[name]
            if not self._followed:
                await self.close()

    async def close(self) -> None:
        """End the watch."""
        task, self._task = self._task, None
        self._synced.clear()
        self._version = ""
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        pauses = Pauses(0.2, 5.0)
        while True:
            try:
                if not self._version or time.monotonic() - self._version_at > _OLDEST_RESUME:
                    await self._list()
                self._synced.set()
                await self._watch(pauses)
            except Exception as error:
                # Whatever it was: nothing is missed, since the next attempt begins with a list where it must.
                metrics.SWALLOWED_ERRORS.of("argo.watch").inc()
                if not isinstance(error, UpstreamUnavailableError):
                    self._version = ""
                if not isinstance(error, FleetError):
                    log.exception("watching Argo failed")
            await asyncio.sleep(pauses.next())

    async def _list(self) -> None:
        listed = set()
        token = version = ""
        while True:
            query = {"listOptions.labelSelector": _UNDER_WAY, "listOptions.limit": _PAGE, "fields": _ITEM_FIELDS}
            if token:
                query["listOptions.continue"] = token
            page = await self._api.call("GET", self._list_path, WorkflowList, query=query)
            for workflow in page.items or ():
                listed.add(workflow.metadata.name)
                self._show(workflow)
            # All pages are of the version of the first.
            version = version or page.metadata.resourceVersion
            token = page.metadata.token
            if not token:
                break
        missing = [seen for name, seen in self._followed.items() if name not in listed]
        await asyncio.gather(*(self._ask(seen) for seen in missing))
        self._at(version)

    async def _ask(self, seen: Seen) -> None:
        async with self._turns:
            path = f"{self._list_path}/{quote(seen.name, safe='')}"
            try:
                workflow = await self._api.call("GET", path, Workflow, query={"fields": ",".join(FIELDS)})
            except NotFoundError:
                seen.vanish()
            else:
                seen.show(workflow)

    async def _ask_until_known(self, seen: Seen) -> None:
        await self._synced.wait()
        pauses = Pauses(0.2, 5.0)
        while not seen.known:
            try:
                await self._ask(seen)
            except FleetError:
                await asyncio.sleep(pauses.next())

    async def _watch(self, pauses: Pauses) -> None:
        query = {"listOptions.labelSelector": MANAGED_BY, "fields": _EVENT_FIELDS}
        if self._version:
            query["listOptions.resourceVersion"] = self._version
        began = time.monotonic()
        async with (
            self._api.stream(self._events_path, query, idle=_IDLE) as lines,
            contextlib.aclosing(lines.each()) as each,
        ):
            async for line in each:
                event = self._api.read(line.removeprefix(b"data:"), Event)
                if event.result is None or event.result.type == "ERROR":
                    # Most often: the version is too old. A list tells all that is to be known.
                    log.info("Argo ended the watch", extra={"reason": event.error.message if event.error else ""})
                    self._version = ""
                    return
                pauses.reset()
                self._take(event.result.type, event.result.object)
        if time.monotonic() - began > _LONG:
            pauses.reset()

    def _take(self, kind: str, workflow: Workflow) -> None:
        if workflow.metadata.resourceVersion:
            self._at(workflow.metadata.resourceVersion)
        if kind == "BOOKMARK":
            return
        self._show(workflow)
        if kind == "DELETED" and not workflow.state.final:
            seen = self._followed.get(workflow.metadata.name)
            if seen is not None:
                seen.vanish()

    def _show(self, workflow: Workflow) -> None:
        seen = self._followed.get(workflow.metadata.name)
        if seen is not None:
            seen.show(workflow)

    def _at(self, version: str) -> None:
        self._version = version
        self._version_at = time.monotonic()
