"""Alerts and dashboards are about what the services emit, and do what their runbooks say."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from deploy.observability.files import ROOT, generated_files
from deploy.tests.observability.promql import metrics_of, selectors_of
from handler_base.telemetry import metrics
from handler_base.telemetry.instruments import Family

HERE: Final = ROOT / "deploy" / "observability"
OF_PROMETHEUS: Final = {"up"}
ADDED_BY_SCRAPES: Final = {"job", "instance", "le"}

Rule = dict[str, Any]


def rules() -> list[Rule]:
    groups = yaml.safe_load((HERE / "rules" / "fleet.rules.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[Rule]:
    return [rule for rule in rules() if "alert" in rule]


def dashboards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in sorted((HERE / "dashboards").glob("*.json"))]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    for board in dashboards():
        yield from (target["expr"] for panel in board["panels"] for target in panel.get("targets", ()))
        yield from (
            variable["query"].removeprefix("label_values(").partition(",")[0]
            for variable in board["templating"]["list"]
            if variable["type"] == "query"
        )


def emitted() -> dict[str, set[str]]:
    """The labels of every metric, by each name that a scrape has it under."""
    found: dict[str, set[str]] = {}
    for family in metrics.REGISTRY.collect():
        description = metrics.INSTRUMENTS.descriptions.get(family.name)
        labels = set(description.attribute_names) if description else set()
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        found |= {family.name + suffix: labels for suffix in suffixes}
    return found


@pytest.mark.parametrize("path", generated_files(), ids=str)
def test_what_is_checked_in_is_current(path: Path) -> None:
    assert (ROOT / path).read_text("utf-8") == generated_files()[path], "run: make manifests"


def test_every_metric_that_is_watched_is_emitted() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    named = set().union(*(metrics_of(expr) for expr in expressions()))
    assert named - recorded - OF_PROMETHEUS - set(emitted()) == set()


def test_labels_that_are_matched_exist() -> None:
    known = emitted()
    strangers = [
        (metric, labels - known[metric] - ADDED_BY_SCRAPES)
        for expr in expressions()
        for metric, labels in selectors_of(expr)
        if metric in known and labels - known[metric] - ADDED_BY_SCRAPES
    ]
    assert strangers == []


def test_every_instrument_is_used_by_the_code() -> None:
    kinds = (Family, Counter, Gauge, Histogram)
    instruments = {name for name, value in vars(metrics).items() if name.isupper() and isinstance(value, kinds)}
    used = {
        node.attr
        for path in ROOT.glob("*/src/**/*.py")
        if path.name != "metrics.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
    }
    assert instruments - used == set()


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    named = {rule["annotations"]["runbook_url"] for rule in alerts()}
    there = {str(path.relative_to(ROOT)) for path in (HERE / "runbooks").glob("*.md")}
    assert named == there


def test_links_of_runbooks_lead_somewhere() -> None:
    for path in (HERE / "runbooks").glob("*.md"):
        text = path.read_text("utf-8")
        assert text.startswith(f"# {path.stem}\n")
        linked = {part.partition(")")[0] for part in text.split("](")[1:]}
        assert all((path.parent / target).exists() for target in linked), path.name


def test_each_alert_has_a_test_of_promtool() -> None:
    text = (HERE / "tests" / "alerts.test.yaml").read_text("utf-8")
    untested = {
        rule["alert"] for rule in alerts() if f'alertname="{rule["alert"]}",alertstate="firing",severity' not in text
    }
    assert untested == set()


def test_alerts_fire_when_they_should() -> None:
    promtool = shutil.which("promtool") or shutil.which(str(ROOT / ".venv" / "bin" / "promtool"))
    if promtool is None:
        pytest.skip("promtool cannot be had here")
    done = subprocess.run(
        [promtool, "test", "rules", str(HERE / "tests" / "alerts.test.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("board", dashboards(), ids=lambda board: str(board["uid"]))
def test_panels_have_places_of_their_own(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    identities = [panel["id"] for panel in board["panels"]]
    assert len(identities) == len(set(identities))
