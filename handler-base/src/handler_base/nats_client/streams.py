"""The streams of the contract: made, changed, or only checked."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from handler_base.errors import UpstreamUnavailableError
from handler_base.messages.streams import StreamSpec
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

    async def ensure(self, specs: Iterable[StreamSpec]) -> tuple[str, ...]:
        """Make the streams that do not exist, and change those that differ.

        Returns:
            What could not be brought about, a sentence each; empty when all is well.

        Raises:
            UpstreamUnavailableError: JetStream is away.
            DeadlineExceededError: It does not answer.
        """
        return tuple([told for spec in specs for told in await self._ensure(spec)])

    async def verify(self, specs: Iterable[StreamSpec]) -> tuple[str, ...]:
        """Compare the streams with the contract, and change nothing.

        Returns:
            The differences, a sentence each; empty when there are none.

        Raises:
            UpstreamUnavailableError: JetStream is away.
            DeadlineExceededError: It does not answer.
        """
        return tuple([told for spec in specs for told in await self._verify(spec)])

    async def _ensure(self, spec: StreamSpec) -> list[str]:
        wanted = self._config(spec)
        found = await self._find(spec)
        if found is None:
            if "num_replicas" not in wanted and self._connection.is_clustered:
                wanted["num_replicas"] = _REPLICAS_ON_A_CLUSTER
            made = await self._api.create_stream(wanted)
            if isinstance(made, ApiError):
                return await self._refused(spec, made)
            log.info("made a stream", extra={"stream": spec.name})
            return []
        fixed = _differences(spec, found, {name: wanted[name] for name in _FIXED})
        if fixed:
            return [f"{told} That cannot be changed while the stream exists." for told in fixed]
        differences = _differences(spec, found, wanted)
        if not differences:
            return []
        log.info("changing a stream", extra={"stream": spec.name, "differences": differences})
        # What an operator set besides the contract, such as a size limit, stays.
        changed = await self._api.update_stream({**found, **wanted})
        return await self._refused(spec, changed) if isinstance(changed, ApiError) else []

    async def _verify(self, spec: StreamSpec) -> list[str]:
        found = await self._find(spec)
        if found is None:
            return [f"Stream {spec.name} does not exist."]
        wanted = self._config(spec)
        del wanted["description"]
        return _differences(spec, found, wanted)

    async def _find(self, spec: StreamSpec) -> Config | None:
        found = await self._api.stream_info(spec.name)
        if not isinstance(found, ApiError):
            return found.config
        if found.err_code == STREAM_NOT_FOUND:
            return None
        log.warning("JetStream failed", extra={"stream": spec.name, "error": found.description})
        raise UpstreamUnavailableError("JetStream is not available right now.")

    async def _refused(self, spec: StreamSpec, error: ApiError) -> list[str]:
        if error.code == 503 and error.err_code != _SUBJECTS_OVERLAP:
            raise UpstreamUnavailableError(f"Stream {spec.name} cannot be made right now: {error.description}.")
        if error.err_code != _SUBJECTS_OVERLAP:
            return [f"Stream {spec.name} cannot be made as the contract says: {error.description}."]
        others: set[str] = set()
        for subject in spec.subjects:
            names = await self._api.stream_names(subject)
            others.update(() if isinstance(names, ApiError) else names)
        others.discard(spec.name)
        return [f"Stream {spec.name} cannot be made: {', '.join(sorted(others))} captures some of its subjects."]

    def _config(self, spec: StreamSpec) -> Config:
        config: Config = {
            "name": spec.name,
            "description": spec.description,
            "subjects": list(spec.subjects),
            "retention": "limits",
            "discard": "old",
            "storage": spec.storage,
            "max_age": int(spec.max_age.total_seconds() * _NANOSECONDS),
            "duplicate_window": int(spec.duplicate_window.total_seconds() * _NANOSECONDS),
        }
        if self._replicas:
            config["num_replicas"] = self._replicas
        return config


def _differences(spec: StreamSpec, found: Config, wanted: Config) -> list[str]:
    return [
        f"Stream {spec.name}: {name} is {_shown(name, found.get(name))}, should be {_shown(name, value)}."
        for name, value in wanted.items()
        if _normal(found.get(name)) != _normal(value)
    ]


def _normal(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, list) else value


def _shown(name: str, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(sorted(map(str, value)))
    if name in {"max_age", "duplicate_window"} and isinstance(value, int):
        return f"{value / _NANOSECONDS:g} s"
    return str(value)
