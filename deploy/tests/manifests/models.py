"""The fields of custom resources that we write, as strict types: an unknown field or a wrong value does not decode."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

__all__ = ["MODELS", "Resource"]

Duration = Annotated[str, msgspec.Meta(pattern=r"^\d+(ms|s|m|h)$")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]
Port = Annotated[str, msgspec.Meta(pattern=r"^\d{1,5}$")]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Number = Annotated[str, msgspec.Meta(pattern=r"^\d+$")]


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Nothing but its fields."""


class Metadata(Strict):
    name: Name
    labels: dict[str, str]
    namespace: Name | None = None
    annotations: dict[str, str] = {}


class Resource(Strict):
    api_version: str
    kind: str
    metadata: Metadata


class Labels(Strict):
    match_labels: dict[str, str]


class NameOnly(Strict):
    name: Name


# --- Flux


class Source(Strict):
    kind: Literal["GitRepository"]
    name: Literal["flux-system"]
    namespace: Literal["flux-system"]


class HealthCheck(Strict):
    api_version: str
    kind: str
    current: str
    failed: str


class FluxSpec(Strict):
    path: str
    prune: bool
    wait: bool
    interval: Literal["30m"]
    retry_interval: Literal["1m"]
    timeout: Literal["5m"]
    source_ref: Source
    target_namespace: Name | None = None
    depends_on: list[NameOnly] = []
    health_check_exprs: list[HealthCheck] = []


class FluxKustomization(Resource):
    spec: FluxSpec


class ChartSource(Strict):
    kind: Literal["HelmRepository"]
    name: Name


class ChartSpec(Strict):
    chart: Name
    version: Annotated[str, msgspec.Meta(pattern=r"^\d+\.\d+\.\d+$")]
    source_ref: ChartSource


class ChartTemplate(Strict):
    spec: ChartSpec


class Remediation(Strict):
    retries: int


class Install(Strict):
    crds: Literal["CreateReplace"]
    remediation: Remediation


class Upgrade(Install):
    cleanup_on_fail: bool


class HelmReleaseSpec(Strict):
    interval: Duration
    chart: ChartTemplate
    install: Install
    upgrade: Upgrade
    values: dict[str, Any]


class HelmRelease(Resource):
    spec: HelmReleaseSpec


class HelmRepositorySpec(Strict):
    interval: Duration
    url: Annotated[str, msgspec.Meta(pattern=r"^https://")]


class HelmRepository(Resource):
    spec: HelmRepositorySpec


# --- KEDA


class JetStreamMetadata(Strict):
    nats_server_monitoring_endpoint: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9.-]+:\d+$")]
    account: str
    stream: str
    consumer: str
    lag_threshold: Number
    activation_lag_threshold: Number
    use_https: Literal["true", "false"]


class JetStreamTrigger(Strict, tag_field="type", tag="nats-jetstream"):
    metadata: JetStreamMetadata
    metric_type: Literal["AverageValue"]


class CpuMetadata(Strict):
    value: Number


class CpuTrigger(Strict, tag_field="type", tag="cpu"):
    metadata: CpuMetadata
    metric_type: Literal["Utilization"]


class Target(Strict):
    api_version: Literal["apps/v1"]
    kind: Literal["Deployment"]
    name: Name


class Fallback(Strict):
    failure_threshold: Positive
    replicas: Positive
    behavior: Literal["currentReplicasIfHigher"]


class ScaledObjectSpec(Strict):
    scale_target_ref: Target
    min_replica_count: Positive
    max_replica_count: Positive
    polling_interval: Positive
    cooldown_period: Positive
    advanced: dict[str, Any]
    triggers: list[JetStreamTrigger | CpuTrigger]
    fallback: Fallback | None = None


class ScaledObject(Resource):
    spec: ScaledObjectSpec


# --- Prometheus, External Secrets, Cilium


class MetricsEndpoint(Strict):
    port: str
    path: str
    interval: Duration
    scrape_timeout: Duration


class PodMonitorSpec(Strict):
    selector: Labels
    pod_metrics_endpoints: list[MetricsEndpoint]
    job_label: str = ""


class PodMonitor(Resource):
    spec: PodMonitorSpec


class Remote(Strict):
    key: str
    property: str


class SecretData(Strict):
    secret_key: str
    remote_ref: Remote


class SecretTemplate(Strict):
    engine_version: Literal["v2"]
    metadata: dict[str, Any]
    data: dict[str, str] = {}


class SecretTarget(Strict):
    name: Name
    creation_policy: Literal["Owner"]
    template: SecretTemplate


class StoreRef(Strict):
    kind: Literal["ClusterSecretStore"]
    name: Name


class ExternalSecretSpec(Strict):
    refresh_interval: Duration
    secret_store_ref: StoreRef
    target: SecretTarget
    data: list[SecretData]


class ExternalSecret(Resource):
    spec: ExternalSecretSpec


class CiliumPort(Strict):
    port: Port
    protocol: Literal["TCP", "ANY"]


class CiliumDns(Strict):
    match_name: str | None = None
    match_pattern: str | None = None


class CiliumRules(Strict):
    dns: list[CiliumDns]


class CiliumPorts(Strict):
    ports: list[CiliumPort]
    rules: CiliumRules | None = None


class CiliumRule(Strict):
    to_ports: list[CiliumPorts]
    to_endpoints: list[Labels] = []
    from_endpoints: list[Labels] = []
    from_entities: list[Literal["host"]] = []


class CiliumSpec(Strict):
    endpoint_selector: Labels
    ingress: list[CiliumRule]
    egress: list[CiliumRule]


class CiliumNetworkPolicy(Resource):
    spec: CiliumSpec


# --- NACK


class AccountUser(Strict):
    secret: NameOnly
    user: str
    password: str


class AccountSpec(Strict):
    name: Name
    servers: list[str]
    user: AccountUser


class Account(Resource):
    spec: AccountSpec


class Kept(Strict, kw_only=True):
    account: Name
    prevent_delete: Literal[True]


class StreamSpec(Kept):
    name: str
    description: str
    subjects: list[str]
    retention: Literal["limits"]
    discard: Literal["old"]
    storage: Literal["file", "memory"]
    replicas: Positive
    max_age: Duration
    max_bytes: Positive
    max_msgs: Literal[-1]
    max_msg_size: Literal[-1]
    max_consumers: Literal[-1]
    duplicate_window: Duration


class Stream(Resource):
    spec: StreamSpec


class ConsumerSpec(Kept):
    stream_name: str
    durable_name: str
    deliver_policy: Literal["new", "all"]
    ack_policy: Literal["explicit"]
    ack_wait: Duration
    max_deliver: Positive
    max_ack_pending: Positive
    replay_policy: Literal["instant"]
    description: str = ""
    filter_subject: str = ""
    filter_subjects: list[str] = []


class Consumer(Resource):
    spec: ConsumerSpec


class KeyValueSpec(Kept):
    bucket: str
    description: str
    history: Positive
    storage: Literal["file", "memory"]
    replicas: Positive
    ttl: Duration | None = None


class KeyValue(Resource):
    spec: KeyValueSpec


class ObjectStoreSpec(Kept):
    bucket: str
    description: str
    ttl: Duration
    storage: Literal["file"]
    replicas: Positive
    max_bytes: Positive


class ObjectStore(Resource):
    spec: ObjectStoreSpec


MODELS: dict[tuple[str, str], type[Resource]] = {
    ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"): FluxKustomization,
    ("helm.toolkit.fluxcd.io/v2", "HelmRelease"): HelmRelease,
    ("source.toolkit.fluxcd.io/v1", "HelmRepository"): HelmRepository,
    ("keda.sh/v1alpha1", "ScaledObject"): ScaledObject,
    ("monitoring.coreos.com/v1", "PodMonitor"): PodMonitor,
    ("external-secrets.io/v1", "ExternalSecret"): ExternalSecret,
    ("cilium.io/v2", "CiliumNetworkPolicy"): CiliumNetworkPolicy,
    **{
        ("jetstream.nats.io/v1beta2", model.__name__): model
        for model in (Account, Stream, Consumer, KeyValue, ObjectStore)
    },
}
