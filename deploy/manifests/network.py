"""Who may talk to whom: nothing is allowed but what is listed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from deploy.manifests.documents import Document, labels
from deploy.manifests.profiles import MODELS, STORES, Place
from deploy.manifests.topology import App
from deploy.manifests.workload import PORT, selector

__all__ = [
    "MONITORING_NAMESPACE",
    "cilium_policy",
    "default_deny",
    "network_policy",
    "pipelines_policy",
    "platform_policy",
]

MONITORING_NAMESPACE: Final = "observability"
"""Where Prometheus runs."""

_NAMESPACE: Final = "kubernetes.io/metadata.name"
_DNS: Final = 53
_WEB: Final = (80, 443, 6443)


def default_deny(name: str) -> Document:
    """Return the policy under which pods of a namespace talk to nobody."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "default-deny", "labels": labels(name, kind="network")},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }


def network_policy(app: App) -> Document:
    """Return what a service may reach: names, NATS, telemetry, and the backends it calls; Prometheus may scrape it."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": app.name, "labels": labels(app.name, version=app.service.version)},
        "spec": {
            "podSelector": {"matchLabels": selector(app)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [_namespace(MONITORING_NAMESPACE)], "ports": [_port(PORT)]}],
            "egress": [
                _dns(),
                *({"to": [_peer(place)], "ports": [_port(place.port)]} for place in app.reaches),
            ],
        },
    }


def pipelines_policy() -> Document:
    """Return what the pods of pipeline runs may reach.

    They fetch documents from where SOURCE_URLS says and report to the API of the cluster, neither of which a policy of
    this kind can name: what they may fetch is bounded by their own settings.
    """
    anywhere: Document = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [_port(port) for port in _WEB]}
    places = [STORES["nats"], STORES["milvus"], *MODELS.values()]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "pipelines", "labels": labels("pipelines", kind="network")},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/component": "pipeline"}},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [_dns(), *({"to": [_peer(one)], "ports": [_port(one.port)]} for one in places), anywhere],
        },
    }


def platform_policy(name: str, instance: str, ports: Iterable[tuple[int, Iterable[str]]]) -> Document:
    """Return who may reach the pods of a chart; its own pods may in any case.

    Args:
        name: Of the policy.
        instance: Of the release.
        ports: Ports, with the namespaces that may connect to each.
    """
    own: Document = {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": instance}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": labels(name, kind="network")},
        "spec": {
            "podSelector": own["podSelector"],
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [own]},
                *({"from": [_namespace(one) for one in spaces], "ports": [_port(port)]} for port, spaces in ports),
            ],
        },
    }


def cilium_policy(app: App) -> Document:
    """Return the same with names: DNS answers only for what the service calls."""
    names = [place.name for place in app.reaches]
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": app.name, "labels": labels(app.name, version=app.service.version)},
        "spec": {
            "endpointSelector": {"matchLabels": selector(app)},
            "ingress": [
                {"fromEntities": ["host"], "toPorts": [_cilium_ports(PORT)]},
                {
                    "fromEndpoints": [{"matchLabels": {"k8s:io.kubernetes.pod.namespace": MONITORING_NAMESPACE}}],
                    "toPorts": [_cilium_ports(PORT)],
                },
            ],
            "egress": [_cilium_dns(names), *_cilium_peers(app.reaches)],
        },
    }


def _dns() -> Document:
    servers = {**_namespace("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    return {"to": [servers], "ports": [_port(_DNS, "UDP"), _port(_DNS)]}


def _cilium_dns(names: Iterable[str]) -> Document:
    # The search path of a pod makes longer names of each.
    matches: list[Document] = [{"matchName": name} for name in dict.fromkeys(names)]
    matches += [{"matchPattern": f"{name}.*"} for name in dict.fromkeys(names)]
    ports = [{"port": str(_DNS), "protocol": "ANY"}]
    return {
        "toEndpoints": [{"matchLabels": {"k8s:io.kubernetes.pod.namespace": "kube-system", "k8s-app": "kube-dns"}}],
        "toPorts": [{"ports": ports, "rules": {"dns": matches}}],
    }


def _cilium_peers(places: Iterable[Place]) -> Iterator[Document]:
    for place in places:
        wanted = {"k8s:io.kubernetes.pod.namespace": place.namespace}
        if place.app:
            wanted["app.kubernetes.io/name"] = place.app
        yield {"toEndpoints": [{"matchLabels": wanted}], "toPorts": [_cilium_ports(place.port)]}


def _cilium_ports(port: int) -> Document:
    return {"ports": [{"port": str(port), "protocol": "TCP"}]}


def _namespace(name: str) -> Document:
    return {"namespaceSelector": {"matchLabels": {_NAMESPACE: name}}}


def _peer(place: Place) -> Document:
    pods = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": place.app}}} if place.app else {}
    return {**_namespace(place.namespace), **pods}


def _port(port: int, protocol: str = "TCP") -> Document:
    return {"protocol": protocol, "port": port}
