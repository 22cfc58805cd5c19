"""The Deployment of a service, with what goes with it: account, disruption budget, monitor, role."""

from __future__ import annotations

from typing import Final

from deploy.manifests.documents import NAMESPACE, Document, labels
from deploy.manifests.permissions import inbox_of
from deploy.manifests.profiles import IMAGES
from deploy.manifests.topology import App

__all__ = [
    "CONFIG_MAP",
    "PORT",
    "SECRETS_AT",
    "deployment",
    "disruption_budget",
    "pod_monitor",
    "role",
    "service_account",
]

CONFIG_MAP: Final = "ai-services-config"
PORT: Final = 8080
SECRETS_AT: Final = "/var/run/secrets/ai-services"
USER: Final = 65532
"""Of the images: neither root nor anybody on the node."""

_TOKEN_SECONDS: Final = 3600


def selector(app: App) -> dict[str, str]:
    """Return the labels that tell the app's pods."""
    return {"app.kubernetes.io/name": app.name, "app.kubernetes.io/instance": app.name}


def deployment(app: App) -> Document:
    """Return the Deployment; how many replicas there are is the scaler's."""
    lifecycle = app.lifecycle
    annotations = {
        "reloader.stakater.com/auto": "true",
        "description": app.description,
        "checkov.io/skip1": "CKV_K8S_43=The digest is that of the operator's own build: set it under images.",
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app.name, "labels": _labels(app), "annotations": annotations},
        "spec": {
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 600,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": lifecycle.max_surge, "maxUnavailable": lifecycle.max_unavailable},
            },
            "selector": {"matchLabels": selector(app)},
            "template": {
                "metadata": {"labels": _labels(app), "annotations": {"description": app.description}},
                "spec": _pod(app),
            },
        },
    }


def _pod(app: App) -> Document:
    return {
        "serviceAccountName": app.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": app.lifecycle.grace,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(app)},
            }
        ],
        "containers": [_container(app)],
        "volumes": _volumes(app),
    }


def _container(app: App) -> Document:
    mounts: list[Document] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - a path in the container
    mounts += [
        {"name": f"secret-{secret.kind}", "mountPath": f"{SECRETS_AT}/{secret.kind}", "readOnly": True}
        for secret in app.secrets
    ]
    if app.profile.token:
        mounts.append({"name": "api-token", "mountPath": "/var/run/secrets/tokens/api", "readOnly": True})
    return {
        "name": app.name,
        "image": f"{IMAGES}/{app.image}:{app.service.version}",
        "imagePullPolicy": "Always",
        "ports": [{"name": "health", "containerPort": PORT, "protocol": "TCP"}],
        "envFrom": [{"configMapRef": {"name": CONFIG_MAP}}],
        "env": _environment(app),
        "startupProbe": _probe(
            app.lifecycle.liveness,
            periodSeconds=app.lifecycle.startup_period,
            failureThreshold=app.lifecycle.startup_tries,
            timeoutSeconds=2,
        ),
        "livenessProbe": _probe(
            app.lifecycle.liveness,
            initialDelaySeconds=app.lifecycle.liveness_delay,
            periodSeconds=app.lifecycle.liveness_period,
            timeoutSeconds=5,
        ),
        "readinessProbe": _probe(
            app.lifecycle.readiness,
            initialDelaySeconds=app.lifecycle.readiness_delay,
            periodSeconds=app.lifecycle.readiness_period,
            timeoutSeconds=3,
        ),
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "64Mi"},
            "limits": {"cpu": "500m", "memory": "512Mi", "ephemeral-storage": "256Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": USER,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": mounts,
    }


def _probe(path: str, **timing: int) -> Document:
    return {"httpGet": {"path": path, "port": "health"}, **timing}


def _environment(app: App) -> list[Document]:
    values = {
        "NATS_USER": app.name,
        "NATS_INBOX_PREFIX": inbox_of(app.name),
        "DRAIN_TIMEOUT": str(app.lifecycle.drain_timeout),
        **{
            f"{variable}_FILE": f"{SECRETS_AT}/{secret.kind}/{key}"
            for secret in app.secrets
            for variable, key in secret.variables.items()
        },
        **app.profile.environment,
    }
    fields = [("POD_NAME", "metadata.name"), ("NODE_NAME", "spec.nodeName")]
    found: list[Document] = [
        {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}} for name, path in fields
    ]
    attributes = f"k8s.namespace.name={NAMESPACE},k8s.pod.name=$(POD_NAME),k8s.node.name=$(NODE_NAME)"
    found.append({"name": "OTEL_RESOURCE_ATTRIBUTES", "value": attributes})
    return [*found, *({"name": name, "value": value} for name, value in values.items())]


def _volumes(app: App) -> list[Document]:
    found: list[Document] = [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}]
    for secret in app.secrets:
        name = f"{app.name}-{secret.kind}"
        found.append({"name": f"secret-{secret.kind}", "secret": {"secretName": name, "defaultMode": 0o440}})
    if app.profile.token:
        token = {"path": "token", "expirationSeconds": _TOKEN_SECONDS}
        found.append({"name": "api-token", "projected": {"sources": [{"serviceAccountToken": token}]}})
    return found


def service_account(app: App) -> Document:
    """Return the account; its token is mounted nowhere by itself."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": app.name, "labels": _labels(app)},
        "automountServiceAccountToken": False,
    }


def role(app: App) -> tuple[Document, Document]:
    """Return what the token of the pipeline bridge may do, and that it may."""
    rules = [
        {
            "apiGroups": ["argoproj.io"],
            "resources": ["workflows"],
            "verbs": ["create", "get", "list", "watch", "patch", "update"],
        },
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtemplates"], "verbs": ["get"]},
    ]
    metadata = {"name": app.name, "labels": _labels(app)}
    return (
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": app.name},
            "subjects": [{"kind": "ServiceAccount", "name": app.name, "namespace": NAMESPACE}],
        },
    )


def disruption_budget(app: App) -> Document:
    """Return how many pods may be taken away at once; pods that do not work do not count."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": app.name, "labels": _labels(app)},
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(app)},
        },
    }


def pod_monitor(app: App) -> Document:
    """Return how Prometheus finds the pods; nothing else needs a Service."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": app.name, "labels": _labels(app)},
        "spec": {
            # Alerts and dashboards know a service by its job.
            "jobLabel": "app.kubernetes.io/name",
            "selector": {"matchLabels": selector(app)},
            "podMetricsEndpoints": [{"port": "health", "path": "/metrics", "interval": "30s", "scrapeTimeout": "10s"}],
        },
    }


def _labels(app: App) -> dict[str, str]:
    return labels(app.name, version=app.service.version)
