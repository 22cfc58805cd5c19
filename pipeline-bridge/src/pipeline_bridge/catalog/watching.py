"""Keeps the table of pipelines as its file is."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

from handler_base.telemetry import metrics
from pipeline_bridge.catalog.catalog import Catalog, InvalidCatalogError, read_catalog

__all__ = ["CatalogWatch"]

log = logging.getLogger(__name__)


class CatalogWatch:
    """Reads the table again when its file changes; one that is not valid leaves the last that was.

    Args:
        path: The file.
        every: Time between two looks; zero: none.

    Attributes:
        catalog: The table.
        valid: Whether it is what the file says.
    """

    def __init__(self, path: Path, every: timedelta) -> None:
        self._path = path
        self._every = every
        self._stamp = _stamp(path)
        self.catalog: Catalog = read_catalog(path)
        self.valid = True
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look now and then."""
        if self._every:
            self._task = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self, _budget: timedelta) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._every.total_seconds())
            stamp = await asyncio.to_thread(_stamp, self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                await self._reload()

    async def _reload(self) -> None:
        try:
            self.catalog = await asyncio.to_thread(read_catalog, self._path)
        except InvalidCatalogError as error:
            self.valid = False
            metrics.SWALLOWED_ERRORS.of("pipelines_file").inc()
            log.error("the table of pipelines is not valid; the last one stays", extra={"reason": str(error)})  # noqa: TRY400 - the line says it all
        else:
            self.valid = True
            log.info("read the table of pipelines", extra={"pipelines": list(self.catalog.names)})


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what changes with the file; a mounted one is a link to a folder that is replaced."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
