"""PromQL over the fleet's own metrics, under the names that the code emits them by."""

from __future__ import annotations

from typing import Final

from handler_base.telemetry.metrics import INSTRUMENTS

__all__ = ["SERVICE", "burning", "increase", "quantile", "rate", "series"]

SERVICE: Final = "job"
"""Label that holds the service's name: the scrape's job, as the PodMonitor and compose's Prometheus name it."""

_NAMES: Final = {description.name: name for name, description in INSTRUMENTS.descriptions.items()}


def series(name: str, suffix: str = "", **labels: str) -> str:
    """Return a selector for a metric of the code.

    Args:
        name: What OpenTelemetry calls it.
        suffix: ``total`` of a counter; ``bucket``, ``count`` or ``sum`` of a histogram.
        labels: Regular expressions that the labels match.

    Raises:
        KeyError: The code emits no such metric.
    """
    matchers = ",".join(f'{label}=~"{value}"' for label, value in labels.items())
    return "_".join(filter(None, (_NAMES[name], suffix))) + (f"{{{matchers}}}" if matchers else "")


def rate(name: str, suffix: str, window: str, **labels: str) -> str:
    """Return how fast a counter grows, a second."""
    return f"rate({series(name, suffix, **labels)}[{window}])"


def increase(name: str, window: str, by: str, **labels: str) -> str:
    """Return how much a counter grew, added up by labels."""
    return f"sum by ({by}) (increase({series(name, 'total', **labels)}[{window}]))"


def quantile(share: float, name: str, window: str, by: str, **labels: str) -> str:
    """Return a quantile of a histogram, in its unit."""
    return f"histogram_quantile({share}, sum by ({by}, le) ({rate(name, 'bucket', window, **labels)}))"


def burning(recorded: str, factor: float, budget: float, *windows: str) -> str:
    """Return that a budget burns faster than `factor` times what it is made for, in every one of the windows."""
    return "\nand on (job)\n".join(f"{recorded}{window} > {factor} * {budget:g}" for window in windows)
