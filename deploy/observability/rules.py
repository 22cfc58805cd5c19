"""The rules of Prometheus: recorded shares of failed questions, and the alerts."""

from __future__ import annotations

from deploy.observability.alerts import ALERTS, BURN_WINDOWS, ERROR_RATIO, Alert, error_ratio

__all__ = ["RUNBOOKS", "rule_groups"]

RUNBOOKS = "deploy/observability/runbooks"
"""Folder of the runbooks, from the root of the repository."""


def rule_groups() -> list[dict[str, object]]:
    """Return the groups as Prometheus reads them, and as a PrometheusRule holds them."""
    recorded = [{"record": ERROR_RATIO + window, "expr": error_ratio(window)} for window in BURN_WINDOWS]
    return [
        {"name": "fleet-objectives", "interval": "30s", "rules": recorded},
        {"name": "fleet-alerts", "rules": [_rule(alert) for alert in ALERTS]},
    ]


def _rule(alert: Alert) -> dict[str, object]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.hold,
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.means,
            "runbook_url": f"{RUNBOOKS}/{alert.name}.md",
        },
    }
