"""Pipelines over NATS: a trigger starts a run on its engine, and its statuses tell how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline_bridge.pipeline_bridge import PipelineBridge
    from pipeline_bridge.settings import BridgeSettings

__all__ = ["BridgeSettings", "PipelineBridge"]


def __getattr__(name: str) -> object:
    """Load the service when it is asked for: a step is a process of its own, which starts in half the time without."""
    if name == "PipelineBridge":
        from pipeline_bridge.pipeline_bridge import PipelineBridge  # noqa: PLC0415 - see above

        return PipelineBridge
    if name == "BridgeSettings":
        from pipeline_bridge.settings import BridgeSettings  # noqa: PLC0415 - see above

        return BridgeSettings
    raise AttributeError(name)
