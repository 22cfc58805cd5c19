"""What an operator decides and no code declares: where things are, how many, and what each service reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "CONFIG",
    "IMAGES",
    "MODELS",
    "NATS_URL",
    "PROFILES",
    "STORES",
    "Lifecycle",
    "Place",
    "Profile",
    "Secret",
]

IMAGES: Final = "registry.example.com/ai-services"
"""Stands for the operator's registry: `images` of each app's kustomization puts the real one in its place."""

NATS_URL: Final = "nats://nats.nats.svc.cluster.local:4222"


@dataclass(frozen=True, slots=True)
class Place:
    """Something that is reached over the network.

    Attributes:
        namespace: Where its pods are.
        port: Of its pods.
        app: Their `app.kubernetes.io/name`; empty: any pod of the namespace.
        name: Name for DNS, for policies that know names.
    """

    namespace: str
    port: int
    app: str = ""
    name: str = ""


MODELS: Final[Mapping[str, Place]] = {
    "VLLM_URL": Place("inference", 8000, "vllm", "vllm.inference.svc.cluster.local"),
    "EMBEDDINGS_URL": Place("inference", 8080, "embeddings", "embeddings.inference.svc.cluster.local"),
    "RERANKER_URL": Place("inference", 8080, "reranker", "reranker.inference.svc.cluster.local"),
    "WHISPER_URL": Place("inference", 8000, "whisper", "whisper.inference.svc.cluster.local"),
    "TTS_URL": Place("inference", 8000, "tts", "tts.inference.svc.cluster.local"),
}
"""The model servers, by the setting that points at each."""

STORES: Final[Mapping[str, Place]] = {
    "nats": Place("nats", 4222, "nats", "nats.nats.svc.cluster.local"),
    "milvus": Place("milvus", 19530, "milvus", "milvus.milvus.svc.cluster.local"),
    "valkey": Place("valkey", 6379, "valkey", "valkey.valkey.svc.cluster.local"),
    "postgres": Place("databases", 5432, name="postgres.databases.svc.cluster.local"),
    "telemetry": Place("observability", 4318, name="otel-collector.observability.svc.cluster.local"),
    "argo": Place("argo", 2746, "argo-server", "argo-server.argo.svc.cluster.local"),
    "kubeflow": Place("kubeflow", 8888, name="ml-pipeline.kubeflow.svc.cluster.local"),
}
"""Everything else that services reach."""

CONFIG: Final[Mapping[str, str]] = {
    "NATS_URL": NATS_URL,
    "STREAMS_MODE": "verify",
    **{name: f"http://{place.name}:{place.port}" for name, place in MODELS.items()},
    "MILVUS_HOST": STORES["milvus"].name,
    "MILVUS_PORT": str(STORES["milvus"].port),
    "COLLECTION_NAME": "knowledge_base",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{STORES['telemetry'].name}:{STORES['telemetry'].port}",
    "OTEL_TRACES_SAMPLER_ARG": "0.1",
    "LOG_LEVEL": "INFO",
}
"""The ConfigMap `ai-services-config`, which every service reads."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that an app mounts.

    Attributes:
        kind: What is in it; the secret is called `{app}-{kind}`.
        variables: The settings it holds, by the key of each.
    """

    kind: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """How a pod is probed and ended; a process that is handled like this loses nothing when it is replaced.

    Attributes:
        liveness: Path of the probe; a failure restarts the pod.
        liveness_delay: Seconds before the first.
        liveness_period: Seconds between two.
        readiness: Path of the probe; a failure takes the pod out of a rollout's count.
        readiness_delay: Seconds before the first.
        readiness_period: Seconds between two.
        startup_period: Seconds between two tries before the first success.
        startup_tries: How many of them.
        drain_timeout: `DRAIN_TIMEOUT` of the service, seconds.
        grace: Seconds from SIGTERM to SIGKILL.
        max_surge: Pods more than wanted during a rollout.
        max_unavailable: Pods fewer than wanted.
    """

    liveness: str = "/health"
    liveness_delay: int = 10
    liveness_period: int = 30
    readiness: str = "/ready"
    readiness_delay: int = 5
    readiness_period: int = 10
    startup_period: int = 2
    startup_tries: int = 60
    drain_timeout: int = 25
    grace: int = 60
    max_surge: int = 1
    max_unavailable: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """How one service runs in a cluster.

    Attributes:
        replicas: Fewest and most.
        models: Settings of the model servers it calls.
        stores: What else it reaches, by the names of `STORES`; NATS and telemetry go without saying.
        secrets: What it mounts, besides its NATS password.
        environment: Settings of its own.
        token: Whether it has a token for the cluster's API.
        lag: Messages waiting a replica, above which another is started; 0: its work is not in a stream.
        volumes: Claims by the path they are mounted at, read-only.
    """

    replicas: tuple[int, int]
    models: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    token: bool = False
    lag: int = 0


_VALKEY: Final = Secret("valkey", {"REDIS_URL": "url"})
_ANSWERING: Final = ("VLLM_URL", "EMBEDDINGS_URL", "RERANKER_URL")

PROFILES: Final[Mapping[str, Profile]] = {
    "chat-handler": Profile(
        (2, 8),
        models=(*_ANSWERING, "TTS_URL"),
        stores=("milvus", "valkey"),
        secrets=(_VALKEY,),
        environment={"ARCHIVE_MODE": "off"},
        lag=32,
    ),
    "chat-archive": Profile(
        (1, 3),
        models=("VLLM_URL",),
        stores=("valkey", "postgres"),
        secrets=(_VALKEY, Secret("database", {"ARCHIVE_URL": "url"})),
        environment={"ARCHIVE_MODE": "only"},
        lag=500,
    ),
    "voice-assistant": Profile(
        (2, 6),
        models=(*_ANSWERING, "WHISPER_URL", "TTS_URL"),
        stores=("milvus", "valkey"),
        secrets=(_VALKEY,),
        lag=16,
    ),
    "stt-module": Profile((2, 6), models=("WHISPER_URL",)),
    "tts-module": Profile((2, 6), models=("TTS_URL",)),
    "pipeline-bridge": Profile(
        (1, 2),
        stores=("argo", "kubeflow"),
        environment={"PIPELINE_ENGINE": "configured", "ARGO_TOKEN_PATH": "/var/run/secrets/tokens/api/token"},
        token=True,
        lag=20,
    ),
}
"""By the name of the service."""
