"""Panels and dashboards in Grafana's JSON model, with what differs between ours and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["Dashboard", "Panel", "Query", "dashboard_json"]

_SCHEMA_VERSION: Final = 39
_COLUMNS: Final = 24
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Attributes:
        expr: PromQL.
        legend: How its series are named, with Grafana's ``{{label}}``.
    """

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: What it shows.
        queries: What it draws.
        unit: Grafana's unit: ``s``, ``reqps``, ``percentunit``, ``bytes``, ``short``.
        kind: How it draws.
        width: Columns, of 24.
        about: What a reader should know; shown on hovering.
    """

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"
    width: int = 8
    about: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard.

    Attributes:
        slug: Its file and identity.
        title: Its name.
        rows: Panels side by side, by the title of their row.
    """

    slug: str
    title: str
    rows: dict[str, tuple[Panel, ...]]


def dashboard_json(dashboard: Dashboard) -> dict[str, object]:
    """Return a dashboard as Grafana imports it; the data source and the services are chosen on the page."""
    return {
        "uid": dashboard.slug,
        "title": dashboard.title,
        "tags": ["ai-platform"],
        "editable": False,
        "schemaVersion": _SCHEMA_VERSION,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_datasource_variable(), _service_variable()]},
        "panels": list(_placed(dashboard.rows)),
    }


def _placed(rows: dict[str, tuple[Panel, ...]]) -> Iterator[dict[str, object]]:
    number, top = 0, 0
    for title, panels in rows.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        }
        top += 1
        left, tallest = 0, 0
        for panel in panels:
            height = 4 if panel.kind == "stat" else 8
            if left + panel.width > _COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            number += 1
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": height})
            left, tallest = left + panel.width, max(tallest, height)
        top += tallest


def _panel(panel: Panel, number: int, position: dict[str, int]) -> dict[str, object]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": _stat_options() if panel.kind == "stat" else _lines_options(),
        "targets": _targets(panel.queries),
    }


def _targets(queries: Sequence[Query]) -> list[dict[str, object]]:
    return [
        {"refId": chr(ord("A") + index), "datasource": _DATASOURCE, "expr": query.expr, "legendFormat": query.legend}
        for index, query in enumerate(queries)
    ]


def _stat_options() -> dict[str, object]:
    return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value"}


def _lines_options() -> dict[str, object]:
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}


def _datasource_variable() -> dict[str, object]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _service_variable() -> dict[str, object]:
    return {
        "name": "service",
        "label": "Service",
        "type": "query",
        "datasource": _DATASOURCE,
        "query": "label_values(fleet_ready, job)",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }
