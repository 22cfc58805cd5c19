"""Durable consumers: what they should be, and making them so."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from handler_base.errors import FleetError, InternalError, NotFoundError, UpstreamUnavailableError
from handler_base.nats_client.jetstream_api import (
    CONSUMER_NOT_FOUND,
    STREAM_NOT_FOUND,
    Config,
    ConsumerInfo,
    JetStreamApi,
)
from handler_base.nats_client.publishing import ApiError

__all__ = ["ConsumerSpec", "ensure_consumer"]

log = logging.getLogger(__name__)

_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSpec:
    """A durable pull consumer with explicit acknowledgement."""

    stream: str
    """Name of the stream."""
    durable: str
    """Name of the consumer; replicas share it."""
    filter_subjects: tuple[str, ...] = ()
    """Which of the stream's subjects; empty: all."""
    ack_wait: timedelta = timedelta(seconds=30)
    """How long the server waits for a sign of life."""
    max_deliver: int = 5
    """Attempts."""
    max_ack_pending: int = 1000
    """Deliveries that all replicas together may hold."""
    deliver: Literal["new", "all"] = "new"
    """Where a consumer that has to be made starts: with what comes then, or with all that the stream holds.

    With "all" the work must bear repetition: a consumer that was deleted starts over."""
    description: str = ""
    """One line for operators."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """For operators."""

    def config(self) -> Config:
        """Return the configuration by the API's names."""
        config: Config = {
            "durable_name": self.durable,
            "name": self.durable,
            "description": self.description,
            "ack_policy": "explicit",
            "deliver_policy": self.deliver,
            "replay_policy": "instant",
            "ack_wait": int(self.ack_wait.total_seconds() * _NANOSECONDS),
            "max_deliver": self.max_deliver,
            "max_ack_pending": self.max_ack_pending,
        }
        if len(self.filter_subjects) == 1:
            config["filter_subject"] = self.filter_subjects[0]
        elif self.filter_subjects:
            config["filter_subjects"] = list(self.filter_subjects)
        if self.metadata:
            config["metadata"] = dict(self.metadata)
        return config


_CHANGEABLE: Final = ("description", "ack_wait", "max_deliver", "max_ack_pending", "filter_subject", "filter_subjects")


async def ensure_consumer(
    api: JetStreamApi, spec: ConsumerSpec, *, create: bool = True, resume_after: int | None = None
) -> ConsumerInfo:
    """Return the consumer, made or changed to what it should be.

    Args:
        api: To the server.
        spec: What it should be.
        create: Whether it may be made and changed; otherwise it is only checked.
        resume_after: Stream sequence up to which an earlier consumer of the name had delivered; one that has to be
            made starts after it, so that what came in between is not passed over. None starts where the spec says, and
            so does a consumer of all messages: what was delivered may not have been finished.

    Raises:
        NotFoundError: The stream, or (without `create`) the consumer, does not exist.
        InternalError: The consumer differs and may not, or cannot, be changed; the message names the differences.
        UpstreamUnavailableError: JetStream is away.
    """
    wanted = spec.config()
    found = await api.consumer_info(spec.stream, spec.durable)
    if isinstance(found, ApiError):
        if found.err_code != CONSUMER_NOT_FOUND or not create:
            raise _setup_error(spec, found)
        if resume_after is not None and spec.deliver == "new":
            wanted |= await _resume(api, spec, resume_after)
        return await _put(api, spec, wanted, "create")
    differences = _differences(found.config, wanted)
    if not differences:
        return found
    told = "; ".join(f"{name} is {found.config.get(name)!r}, should be {wanted.get(name)!r}" for name in differences)
    if not create or any(name not in _CHANGEABLE for name in differences):
        raise InternalError(f"Consumer {spec.durable} of {spec.stream} differs: {told}.")
    log.info("changing a consumer", extra={"stream": spec.stream, "consumer": spec.durable, "differences": told})
    changed = {name: value for name, value in found.config.items() if name not in _CHANGEABLE}
    changed |= {name: wanted[name] for name in _CHANGEABLE if name in wanted}
    return await _put(api, spec, changed, "update")


async def _resume(api: JetStreamApi, spec: ConsumerSpec, resume_after: int) -> Config:
    stream = await api.stream_info(spec.stream)
    if isinstance(stream, ApiError):
        raise _setup_error(spec, stream)
    if stream.state.last_seq < resume_after:
        # The stream itself is a new one: all it holds came while nobody listened.
        return {"deliver_policy": "all"}
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": resume_after + 1}


async def _put(api: JetStreamApi, spec: ConsumerSpec, config: Config, action: str) -> ConsumerInfo:
    made = await api.put_consumer(spec.stream, config, action)
    if not isinstance(made, ApiError):
        return made
    # Another replica may have been first.
    found = await api.consumer_info(spec.stream, spec.durable)
    if not isinstance(found, ApiError) and not _differences(found.config, spec.config()):
        return found
    raise _setup_error(spec, made)


def _setup_error(spec: ConsumerSpec, error: ApiError) -> FleetError:
    if error.err_code == STREAM_NOT_FOUND:
        return NotFoundError(f"Stream {spec.stream} does not exist.")
    if error.err_code == CONSUMER_NOT_FOUND:
        return NotFoundError(f"Consumer {spec.durable} of {spec.stream} does not exist.")
    if error.code == 503:
        return UpstreamUnavailableError("JetStream is not available right now.")
    return InternalError(f"Consumer {spec.durable} of {spec.stream} cannot be set up: {error.description}.")


def _differences(found: Config, wanted: Config) -> list[str]:
    names = [*_CHANGEABLE, "ack_policy"]
    return [name for name in names if _normal(found.get(name)) != _normal(wanted.get(name))]


def _normal(value: object) -> object:
    return sorted(value) if isinstance(value, list) else value or None
