"""The streams of the contract, and the buckets of services: made, changed, or only checked."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, cast

from handler_base.errors import UpstreamUnavailableError
from handler_base.messages.streams import BucketSpec, StreamSpec
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.jetstream_api import STREAM_NOT_FOUND, Config, JetStreamApi
from handler_base.nats_client.publishing import ApiError

__all__ = ["StreamManager"]

log = logging.getLogger(__name__)

_NANOSECONDS: Final = 1_000_000_000
_SUBJECTS_OVERLAP: Final = 10065
_REPLICAS_ON_A_CLUSTER: Final = 3
_FIXED: Final = ("retention", "storage")
"""What cannot be changed once a stream exists."""

_LONGEST_WINDOW: Final = 120
"""Seconds in which a bucket knows a repetition."""

Spec = StreamSpec | BucketSpec


class StreamManager:
    """Brings streams to what the contract says, and tells where they are not. It never deletes one.

    Args:
        connection: To the server.
        replicas: Copies of each stream; 0: one on a lone server, three on a cluster, and as they are where they exist.
    """

    def __init__(self, connection: NatsConnection, replicas: int = 0) -> None:
        self._connection = connection
        self._replicas = replicas
        self._api = JetStreamApi(connection)

    async def ensure(self, specs: Iterable[Spec]) -> tuple[str, ...]:
        """Make the streams that do not exist, and change those that differ.

        Returns:
            What could not be brought about, a sentence each; empty when all is well.

        Raises:
            UpstreamUnavailableError: JetStream is away.
            DeadlineExceededError: It does not answer.
        """
        return tuple([told for spec in specs for told in await self._ensure(spec)])

    async def verify(self, specs: Iterable[Spec]) -> tuple[str, ...]:
        """Compare the streams with the contract, and change nothing.

        Returns:
            The differences, a sentence each; empty when there are none.

        Raises:
            UpstreamUnavailableError: JetStream is away.
            DeadlineExceededError: It does not answer.
        """
        return tuple([told for spec in specs for told in await self._verify(spec)])

    async def _ensure(self, spec: Spec) -> list[str]:
        wanted = self._config(spec)
        name = str(wanted["name"])
        found = await self._find(name)
        if found is None:
            if "num_replicas" not in wanted and self._connection.is_clustered:
                wanted["num_replicas"] = _REPLICAS_ON_A_CLUSTER
            made = await self._api.create_stream(wanted)
            if isinstance(made, ApiError):
                return await self._refused(wanted, made)
            log.info("made a stream", extra={"stream": name})
            return []
        fixed = _differences(name, found, {name: wanted[name] for name in _FIXED})
        if fixed:
            return [f"{told} That cannot be changed while the stream exists." for told in fixed]
        differences = _differences(name, found, wanted)
        if not differences:
            return []
        log.info("changing a stream", extra={"stream": name, "differences": differences})
        # What an operator set besides the contract, such as a size limit, stays.
        changed = await self._api.update_stream({**found, **wanted})
        return await self._refused(wanted, changed) if isinstance(changed, ApiError) else []

    async def _verify(self, spec: Spec) -> list[str]:
        wanted = self._config(spec)
        name = str(wanted["name"])
        found = await self._find(name)
        if found is None:
            return [f"Stream {name} does not exist."]
        del wanted["description"]
        return _differences(name, found, wanted)

    async def _find(self, name: str) -> Config | None:
        found = await self._api.stream_info(name)
        if not isinstance(found, ApiError):
            return found.config
        if found.err_code == STREAM_NOT_FOUND:
            return None
        log.warning("JetStream failed", extra={"stream": name, "error": found.description})
        raise UpstreamUnavailableError("JetStream is not available right now.")

    async def _refused(self, wanted: Config, error: ApiError) -> list[str]:
        name = str(wanted["name"])
        if error.code == 503 and error.err_code != _SUBJECTS_OVERLAP:
            raise UpstreamUnavailableError(f"Stream {name} cannot be made right now: {error.description}.")
        if error.err_code != _SUBJECTS_OVERLAP:
            return [f"Stream {name} cannot be made as the contract says: {error.description}."]
        others: set[str] = set()
        for subject in cast("list[str]", wanted["subjects"]):
            names = await self._api.stream_names(subject)
            others.update(() if isinstance(names, ApiError) else names)
        others.discard(name)
        return [f"Stream {name} cannot be made: {', '.join(sorted(others))} captures some of its subjects."]

    def _config(self, spec: Spec) -> Config:
        config = _bucket_config(spec) if isinstance(spec, BucketSpec) else _stream_config(spec)
        if self._replicas:
            config["num_replicas"] = self._replicas
        return config


def _stream_config(spec: StreamSpec) -> Config:
    return {
        "name": spec.name,
        "description": spec.description,
        "subjects": list(spec.subjects),
        "retention": "limits",
        "discard": "old",
        "storage": spec.storage,
        "max_age": int(spec.max_age.total_seconds() * _NANOSECONDS),
        "duplicate_window": int(spec.duplicate_window.total_seconds() * _NANOSECONDS),
    }


def _bucket_config(spec: BucketSpec) -> Config:
    """Return the stream that every NATS client knows as a key-value bucket (ADR-8 of NATS)."""
    age = 0.0 if spec.ttl is None else spec.ttl.total_seconds()
    return {
        "name": spec.stream,
        "description": spec.description,
        "subjects": [f"$KV.{spec.name}.>"],
        "retention": "limits",
        "discard": "new",
        "storage": spec.storage,
        "max_msgs_per_subject": spec.history,
        "max_age": int(age * _NANOSECONDS),
        "duplicate_window": int(min(age or _LONGEST_WINDOW, _LONGEST_WINDOW) * _NANOSECONDS),
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_direct": True,
    }


def _differences(name: str, found: Config, wanted: Config) -> list[str]:
    return [
        f"Stream {name}: {key} is {_shown(key, found.get(key))}, should be {_shown(key, value)}."
        for key, value in wanted.items()
        if _normal(found.get(key)) != _normal(value)
    ]


def _normal(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, list) else value


def _shown(name: str, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(sorted(map(str, value)))
    if name in {"max_age", "duplicate_window"} and isinstance(value, int):
        return f"{value / _NANOSECONDS:g} s"
    return str(value)
