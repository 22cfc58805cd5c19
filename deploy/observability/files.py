"""Every file that is made from the declarations: rules, dashboards, and both as Kubernetes objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from deploy.observability.dashboards import DASHBOARDS
from deploy.observability.panels import dashboard_json
from deploy.observability.rules import rule_groups

__all__ = ["ROOT", "generated_files"]

ROOT: Final = Path(__file__).resolve().parents[2]

_HERE: Final = Path("deploy/observability")
_APP: Final = Path("deploy/kubernetes/apps/ai-ml/fleet-observability")
_NAME: Final = "fleet-observability"
_LABELS: Final = {
    "app.kubernetes.io/name": _NAME,
    "app.kubernetes.io/instance": _NAME,
    "app.kubernetes.io/component": "observability",
    "app.kubernetes.io/part-of": "ai-platform",
    "app.kubernetes.io/managed-by": "flux",
}
_MADE: Final = "# Made by `make manifests`; change deploy/observability instead.\n---\n"


class _Dumper(yaml.SafeDumper):
    """Writes several lines as a block, so that expressions stay readable."""

    def ignore_aliases(self, data: object) -> bool:
        """Write what is the same twice, for people and for diffs."""
        return True


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def generated_files() -> dict[Path, str]:
    """Return the content of every generated file, by its path from the root of the repository."""
    rules = {"groups": rule_groups()}
    dashboards = {
        board.slug: json.dumps(dashboard_json(board), indent=2, ensure_ascii=False) + "\n" for board in DASHBOARDS
    }
    return {
        _HERE / "rules" / "fleet.rules.yaml": _MADE + _yaml(rules),
        **{_HERE / "dashboards" / f"{slug}.json": text for slug, text in dashboards.items()},
        _APP / "ks.yaml": _MADE + _yaml(_flux_kustomization()),
        _APP / "app" / "kustomization.yaml": _MADE + _yaml(_kustomization()),
        _APP / "app" / "prometheusrule.yaml": _MADE + _yaml(_prometheus_rule(rules)),
        _APP / "app" / "grafanadashboards.yaml": _MADE
        + "---\n".join(_yaml(_grafana_dashboard(slug, text)) for slug, text in dashboards.items()),
    }


def _yaml(document: object) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _prometheus_rule(rules: Mapping[str, object]) -> dict[str, object]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": _NAME, "labels": _LABELS},
        "spec": dict(rules),
    }


def _grafana_dashboard(slug: str, text: str) -> dict[str, object]:
    return {
        "apiVersion": "grafana.integreatly.org/v1beta1",
        "kind": "GrafanaDashboard",
        "metadata": {"name": slug, "labels": _LABELS},
        "spec": {
            "allowCrossNamespaceImport": True,
            "folder": "AI platform",
            "instanceSelector": {"matchLabels": {"dashboards": "grafana"}},
            "json": text,
        },
    }


def _kustomization() -> dict[str, object]:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "ai-ml",
        "resources": ["prometheusrule.yaml", "grafanadashboards.yaml"],
    }


def _flux_kustomization() -> dict[str, object]:
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": _NAME, "namespace": "flux-system", "labels": _LABELS},
        "spec": {
            "targetNamespace": "ai-ml",
            "path": f"./kubernetes/apps/ai-ml/{_NAME}/app",
            "prune": True,
            "wait": True,
            "interval": "30m",
            "retryInterval": "1m",
            "timeout": "5m",
            "sourceRef": {"kind": "GitRepository", "name": "flux-system"},
        },
    }
