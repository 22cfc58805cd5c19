"""Streams, consumers and buckets as resources of NACK, kept from being deleted by accident."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from deploy.manifests.documents import Document, labels
from deploy.manifests.profiles import NATS_URL
from handler_base.messages.streams import STREAMS, BucketSpec, StreamSpec
from handler_base.nats_client import ConsumerSpec

__all__ = ["ACCOUNT_RESOURCE", "APP", "stream_resources"]

APP: Final = "ai-streams"
ACCOUNT_RESOURCE: Final = "ai"

_API: Final = "jetstream.nats.io/v1beta2"
_KEPT: Final = {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
_REPLICAS: Final = 3
_DELIVER: Final = {"new": "new", "all": "all"}
_RECORDINGS_KEPT: Final = timedelta(hours=1)
"""Voice audio, as the contract says."""

_MIB: Final = 1024**2
_SIZES: Final = {
    "COMPANIONS_LOGINS": 256 * _MIB,
    "COMPANIONS_CHAT": 2048 * _MIB,
    "AI_CHAT_STREAM": 256 * _MIB,
    "AI_VOICE_STREAM": 4096 * _MIB,
    "AI_PIPELINE": 512 * _MIB,
    "AI_EVENTS": 4096 * _MIB,
    "AI_DEAD_LETTER": 1024 * _MIB,
}
"""Most bytes of each stream. The server sets them aside, so that all of them have to fit its volume."""

_RECORDINGS_SIZE: Final = 4096 * _MIB


def stream_resources(
    consumers: Iterable[ConsumerSpec], buckets: Iterable[BucketSpec], object_stores: Iterable[str]
) -> dict[str, tuple[Document, ...]]:
    """Return the resources by the file they go to.

    Args:
        consumers: Durable consumers of the services.
        buckets: Their key-value buckets.
        object_stores: The object stores they read.
    """
    files = {
        "account.yaml": (_account(),),
        "streams.yaml": tuple(map(_stream, STREAMS)),
        "consumers.yaml": tuple(map(_consumer, {(one.stream, one.durable): one for one in consumers}.values())),
        "buckets.yaml": tuple(map(_bucket, {one.name: one for one in buckets}.values())),
        "objectstores.yaml": tuple(map(_object_store, dict.fromkeys(object_stores))),
    }
    return {name: documents for name, documents in files.items() if documents}


def _account() -> Document:
    secret = {"secret": {"name": f"{APP}-nats"}, "user": "user", "password": "password"}
    return {
        "apiVersion": _API,
        "kind": "Account",
        "metadata": {"name": ACCOUNT_RESOURCE, "labels": labels(APP, kind="streams")},
        "spec": {"name": ACCOUNT_RESOURCE, "servers": [NATS_URL], "user": secret},
    }


def _resource(kind: str, name: str, spec: Document) -> Document:
    metadata = {"name": name, "labels": labels(APP, kind="streams"), "annotations": dict(_KEPT)}
    # Without this the controller deletes what it made when the resource goes.
    kept = {"preventDelete": True, "account": ACCOUNT_RESOURCE}
    return {"apiVersion": _API, "kind": kind, "metadata": metadata, "spec": {**spec, **kept}}


def _stream(stream: StreamSpec) -> Document:
    in_memory = stream.storage == "memory"
    return _resource(
        "Stream",
        _name(stream.name),
        {
            "name": stream.name,
            "description": stream.description,
            "subjects": list(stream.subjects),
            "retention": "limits",
            "discard": "old",
            "storage": stream.storage,
            "replicas": 1 if in_memory else _REPLICAS,
            "maxAge": _duration(stream.max_age),
            "maxBytes": _SIZES[stream.name],
            "maxMsgs": -1,
            "maxMsgSize": -1,
            "maxConsumers": -1,
            "duplicateWindow": _duration(stream.duplicate_window),
        },
    )


def _consumer(consumer: ConsumerSpec) -> Document:
    spec: Document = {
        "streamName": consumer.stream,
        "durableName": consumer.durable,
        "deliverPolicy": _DELIVER[consumer.deliver],
        "ackPolicy": "explicit",
        "ackWait": _duration(consumer.ack_wait),
        "maxDeliver": consumer.max_deliver,
        "maxAckPending": consumer.max_ack_pending,
        "replayPolicy": "instant",
    }
    if consumer.description:
        spec["description"] = consumer.description
    if len(consumer.filter_subjects) == 1:
        spec["filterSubject"] = consumer.filter_subjects[0]
    elif consumer.filter_subjects:
        spec["filterSubjects"] = list(consumer.filter_subjects)
    return _resource("Consumer", f"{_name(consumer.stream)}-{consumer.durable}", spec)


def _bucket(bucket: BucketSpec) -> Document:
    spec: Document = {
        "bucket": bucket.name,
        "description": bucket.description,
        "history": bucket.history,
        "storage": bucket.storage,
        "replicas": _REPLICAS,
    }
    if bucket.ttl is not None:
        spec["ttl"] = _duration(bucket.ttl)
    return _resource("KeyValue", f"kv-{_name(bucket.name)}", spec)


def _object_store(store: str) -> Document:
    spec: Document = {
        "bucket": store,
        "description": "Recordings that questions name.",
        "ttl": _duration(_RECORDINGS_KEPT),
        "storage": "file",
        "replicas": _REPLICAS,
        "maxBytes": _RECORDINGS_SIZE,
    }
    return _resource("ObjectStore", f"obj-{_name(store)}", spec)


def _name(name: str) -> str:
    return name.lower().replace("_", "-")


def _duration(duration: timedelta) -> str:
    """Return a duration as Go reads it."""
    seconds = int(duration.total_seconds())
    return f"{seconds // 3600}h" if seconds % 3600 == 0 else f"{seconds}s"
