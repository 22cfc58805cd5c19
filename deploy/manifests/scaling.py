"""How many replicas there are: by what waits in the streams, and by what is being done."""

from __future__ import annotations

from typing import Final

from deploy.manifests.documents import Document, labels
from deploy.manifests.nats_accounts import ACCOUNT
from deploy.manifests.topology import App

__all__ = ["MONITORING", "scaled_object"]

MONITORING: Final = "nats-headless.nats.svc.cluster.local:8222"
"""The headless service: the scaler asks the server that leads the consumer, by that server's own name, and the plain
service has no monitoring port."""

_CPU_PERCENT: Final = "70"


def scaled_object(app: App) -> Document:
    """Return the scaler.

    A consumer that is missing is an error to it, not zero: Flux applies the streams first, and the fallback keeps the
    replicas there are. Questions on core NATS are in no stream, so processor time counts too, and nothing goes to zero.
    """
    fewest, most = app.profile.replicas
    triggers = [_lag(app, consumer.stream, consumer.durable) for consumer in app.service.consumers if _pulls(app)]
    spec: Document = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": app.name},
        "minReplicaCount": fewest,
        "maxReplicaCount": most,
        "pollingInterval": 10,
        "cooldownPeriod": 300,
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {
                    "scaleUp": {"stabilizationWindowSeconds": 0},
                    "scaleDown": {
                        "stabilizationWindowSeconds": 300,
                        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
                    },
                }
            }
        },
        "triggers": [*triggers, {"type": "cpu", "metricType": "Utilization", "metadata": {"value": _CPU_PERCENT}}],
    }
    if triggers:
        spec["fallback"] = {"failureThreshold": 3, "replicas": fewest, "behavior": "currentReplicasIfHigher"}
    metadata = {"name": app.name, "labels": labels(app.name, version=app.service.version)}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata, "spec": spec}


def _pulls(app: App) -> bool:
    return app.profile.lag > 0


def _lag(app: App, stream: str, durable: str) -> Document:
    return {
        "type": "nats-jetstream",
        "metricType": "AverageValue",
        "metadata": {
            "natsServerMonitoringEndpoint": MONITORING,
            "account": ACCOUNT,
            "stream": stream,
            "consumer": durable,
            "lagThreshold": str(app.profile.lag),
            "activationLagThreshold": "0",
            "useHttps": "false",
        },
    }
