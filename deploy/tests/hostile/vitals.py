"""What a running service tells of itself: its memory and its metrics."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

import aiohttp

from handler_base.testing.service_process import ServiceProcess

__all__ = ["Vitals"]

_SAMPLE: Final = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$", re.MULTILINE)


class Vitals:
    """Looks at one service process, on Linux.

    Args:
        service: The process.
    """

    def __init__(self, service: ServiceProcess) -> None:
        self._service = service

    @property
    def resident(self) -> int:
        """Bytes of memory now."""
        return self._status("VmRSS")

    @property
    def peak(self) -> int:
        """Most bytes of memory since `reset_peak`."""
        return self._status("VmHWM")

    def reset_peak(self) -> None:
        """Count the peak from now on."""
        (self._process / "clear_refs").write_text("5")

    async def slow_ticks(self) -> tuple[int, int]:
        """Return how often the event loop was measured, and how often it woke a timer over 50 ms late."""
        within = total = 0
        for match in _SAMPLE.finditer(await self._metrics()):
            if match["name"] == "fleet_event_loop_lag_seconds_count":
                total = int(float(match["value"]))
            elif match["name"] == "fleet_event_loop_lag_seconds_bucket" and 'le="0.05"' in match["labels"]:
                within = int(float(match["value"]))
        return total, total - within

    async def answered(self) -> int:
        """Return how many messages were taken to their end."""
        name = "messaging_client_consumed_messages_total"
        samples = (match for match in _SAMPLE.finditer(await self._metrics()) if match["name"] == name)
        return sum(int(float(match["value"])) for match in samples)

    @property
    def _process(self) -> Path:
        return Path("/proc") / str(self._service.pid)

    def _status(self, field: str) -> int:
        text = (self._process / "status").read_text(encoding="ascii")
        found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    async def _metrics(self) -> str:
        url = f"http://127.0.0.1:{self._service.health_port}/metrics"
        async with asyncio.timeout(5), aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()
