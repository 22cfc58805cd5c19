"""Helm releases of what the services stand on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from deploy.manifests.documents import Document, labels
from deploy.manifests.nats_accounts import SERVICES_MAY_NOT

__all__ = ["CHARTS", "Chart", "helm_release", "helm_repository", "namespace", "nats_values"]

ACCOUNTS_AT: Final = "/etc/nats-accounts"
_VALKEY_MEMORY: Final = "384mb"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of somebody else's.

    Attributes:
        name: Of the app, its release and its chart.
        group: Its namespace.
        repository: Address of the Helm repository.
        version: Of the chart.
    """

    name: str
    group: str
    repository: str
    version: str


CHARTS: Final = {
    "nats": Chart("nats", "nats", "https://nats-io.github.io/k8s/helm/charts/", "2.14.2"),
    "nack": Chart("nack", "nats", "https://nats-io.github.io/k8s/helm/charts/", "0.36.0"),
    "milvus": Chart("milvus", "milvus", "https://zilliztech.github.io/milvus-helm/", "5.0.23"),
    "valkey": Chart("valkey", "valkey", "https://valkey.io/valkey-helm/", "0.9.4"),
}

_POD: Final[Document] = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "fsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER: Final[Document] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def namespace(name: str, *, level: str = "restricted") -> Document:
    """Return a namespace whose pods are held to a level of the pod security standards."""
    marks = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "audit", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {**labels(name, kind="namespace"), **marks},
            # A namespace that goes takes everything with it.
            "annotations": {"kustomize.toolkit.fluxcd.io/prune": "disabled"},
        },
    }


def helm_repository(chart: Chart) -> Document:
    """Return where a chart comes from."""
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "HelmRepository",
        "metadata": {"name": chart.name, "labels": labels(chart.name, kind="chart")},
        "spec": {"interval": "12h", "url": chart.repository},
    }


def helm_release(chart: Chart, values: dict[str, Any]) -> Document:
    """Return the release of a chart."""
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": chart.name, "labels": labels(chart.name, kind="chart")},
        "spec": {
            "interval": "1h",
            "chart": {
                "spec": {
                    "chart": chart.name,
                    "version": chart.version,
                    "sourceRef": {"kind": "HelmRepository", "name": chart.name},
                }
            },
            "install": {"crds": "CreateReplace", "remediation": {"retries": 3}},
            "upgrade": {"crds": "CreateReplace", "cleanupOnFail": True, "remediation": {"retries": 3}},
            "values": values,
        },
    }


def nats_values(passwords: Iterable[str], owned: Iterable[str]) -> dict[str, Any]:
    """Return the values of NATS: three servers, every write on disk before it is acknowledged, the fleet's accounts.

    Args:
        passwords: Environment variables that the accounts read.
        owned: What services may not do, since an operator owns the streams.
    """
    secret: Document = {name: _secret("nats-accounts", name) for name in passwords}
    mount = {"name": "accounts", "mountPath": ACCOUNTS_AT, "readOnly": True}
    mounted = [{"op": "add", "path": "/volumeMounts/-", "value": mount}]
    volume = {"name": "accounts", "configMap": {"name": "nats-accounts"}}
    return {
        "global": {"labels": {"app.kubernetes.io/part-of": "ai-platform"}},
        "config": {
            "cluster": {"enabled": True, "replicas": 3},
            "jetstream": {
                "enabled": True,
                "fileStore": {"enabled": True, "pvc": {"enabled": True, "size": "20Gi"}},
                "memoryStore": {"enabled": True, "maxSize": "512Mi"},
                # High-rate streams are in memory, so that this costs the others little.
                "merge": {"sync_interval": "always"},
            },
            "monitor": {"enabled": True, "port": 8222},
            "merge": {
                "00$include": f"../{ACCOUNTS_AT.removeprefix('/etc/')}/accounts.conf",
                "max_payload": "<< 8MB >>",
                "max_connections": 1000,
                "write_deadline": "10s",
            },
        },
        "container": {
            "image": {"tag": "2.15.1-alpine"},
            "env": {"GOMEMLIMIT": "800MiB", SERVICES_MAY_NOT: json.dumps(list(owned)), **secret},
            "merge": {"resources": _resources("500m", "1Gi"), "securityContext": _CONTAINER},
            "patch": mounted,
        },
        "reloader": {
            "enabled": True,
            "merge": {"resources": _resources("20m", "64Mi"), "securityContext": _CONTAINER},
            "patch": mounted,
        },
        "promExporter": {
            "enabled": True,
            "merge": {"resources": _resources("50m", "64Mi"), "securityContext": _CONTAINER},
            "podMonitor": {"enabled": True},
        },
        "statefulSet": {"merge": {"metadata": {"annotations": {"reloader.stakater.com/auto": "true"}}}},
        "podTemplate": {
            "topologySpreadConstraints": {
                "kubernetes.io/hostname": {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
            },
            "merge": {"spec": {"securityContext": _POD, "automountServiceAccountToken": False}},
            "patch": [{"op": "add", "path": "/spec/volumes/-", "value": volume}],
        },
        "podDisruptionBudget": {"enabled": True},
        "natsBox": {"enabled": False},
    }


def nack_values() -> dict[str, Any]:
    """Return the values of the controller that makes streams; it logs in as the Account resource says."""
    return {
        "jetstream": {
            "nats": {"url": "nats://nats.nats.svc.cluster.local:4222"},
            # Buckets and object stores are made in this mode only.
            "controlLoop": True,
        },
        "securityContext": _POD,
        "containerSecurityContext": _CONTAINER,
        "resources": _resources("100m", "128Mi"),
    }


def milvus_values() -> dict[str, Any]:
    """Return the values of Milvus: one process with its own queue, as much as a small fleet needs."""
    return {
        "cluster": {"enabled": False},
        "pulsarv3": {"enabled": False},
        "etcd": {"replicaCount": 1, "persistence": {"size": "5Gi"}},
        "minio": {"mode": "standalone", "persistence": {"size": "50Gi"}},
        "standalone": {
            "messageQueue": "woodpecker",
            "resources": _resources("2", "8Gi", requests=("500m", "4Gi")),
            "persistence": {"persistentVolumeClaim": {"size": "50Gi"}},
        },
        "metrics": {"enabled": True, "serviceMonitor": {"enabled": True}},
    }


def valkey_values() -> dict[str, Any]:
    """Return the values of Valkey: sessions survive a restart; the oldest go when memory is full."""
    return {
        "auth": {
            "enabled": True,
            "usersExistingSecret": "valkey-users",
            "aclUsers": {"default": {"permissions": "~* &* +@all -@dangerous +info +config|get"}},
        },
        "dataStorage": {"enabled": True, "requestedSize": "5Gi", "keepPvc": True},
        "valkeyConfig": f"maxmemory {_VALKEY_MEMORY}\nmaxmemory-policy volatile-lru\nappendonly yes\n",
        "podSecurityContext": _POD,
        "securityContext": _CONTAINER,
        "resources": _resources("500m", "512Mi"),
        "metrics": {"enabled": True, "podMonitor": {"enabled": True}},
    }


def _secret(name: str, key: str) -> Document:
    return {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def _resources(cpu: str, memory: str, *, requests: tuple[str, str] | None = None) -> Document:
    cpu_wanted, memory_wanted = requests or (cpu, memory)
    return {
        "requests": {"cpu": cpu_wanted, "memory": memory_wanted},
        "limits": {"cpu": cpu, "memory": memory},
    }
