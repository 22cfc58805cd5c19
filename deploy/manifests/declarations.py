"""Finds what the services declare: their handlers, their settings, and so their subjects, streams and buckets."""

from __future__ import annotations

import importlib
import typing
from dataclasses import dataclass
from typing import Any, Final

from handler_base.config import Settings
from handler_base.handler import Endpoint, Handler, consumers_of, endpoints_of, stream_of
from handler_base.messages.streams import AI_DEAD_LETTER, AI_EVENTS, BucketSpec, StreamSpec
from handler_base.messages.subjects import Subject
from handler_base.nats_client import ConsumerSpec

__all__ = ["PACKAGES", "Declared", "declared_services"]

PACKAGES: Final = ("chat_handler", "voice_assistant", "stt_module", "tts_module", "pipeline_bridge")
"""The packages of the fleet's services."""


@dataclass(frozen=True)
class Declared:
    """What one service says of itself.

    Attributes:
        name: Of the service.
        package: What is run.
        handler: Its handler class; None while the package has none.
        settings: Its settings with their defaults, whatever the environment says.
    """

    name: str
    package: str
    handler: type[Handler[Any]] | None
    settings: Settings

    @property
    def version(self) -> str:
        """Its version."""
        return self.handler.version if self.handler is not None else Handler.version

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """What it answers."""
        return endpoints_of(self.handler) if self.handler is not None else ()

    @property
    def consumers(self) -> tuple[ConsumerSpec, ...]:
        """The durable consumers it pulls from."""
        if self.handler is None:
            return ()
        own = consumers_of(self.name, self.endpoints, self.settings)
        return (*own, *self.handler.worker_consumers(self.settings))

    @property
    def streams(self) -> tuple[StreamSpec, ...]:
        """The streams it makes or checks when it starts, and those it writes to."""
        if self.handler is None:
            return ()
        durable = [stream_of(subject) for endpoint in self.endpoints for subject in endpoint.durable]
        used = [*durable, *self.handler.streams]
        if self.consumers:
            used.append(AI_DEAD_LETTER)
        if self.handler.events is not None or any(one.stream == AI_EVENTS.name for one in self.consumers):
            used.append(AI_EVENTS)
        return tuple({stream.name: stream for stream in used}.values())

    @property
    def buckets(self) -> tuple[BucketSpec, ...]:
        """The key-value buckets it keeps its state in."""
        return self.handler.buckets if self.handler is not None else ()

    @property
    def object_stores(self) -> tuple[str, ...]:
        """The object stores it reads."""
        return tuple(self.handler.object_stores(self.settings)) if self.handler is not None else ()

    @property
    def listens(self) -> tuple[Subject, ...]:
        """What it subscribes to besides pulling it."""
        return self.handler.listens if self.handler is not None else ()

    @property
    def publishes(self) -> tuple[str, ...]:
        """More patterns that its workers publish on."""
        return self.handler.publishes if self.handler is not None else ()


def declared_services() -> tuple[Declared, ...]:
    """Return every service, those that share a package after each other."""
    return tuple(service for package in PACKAGES for service in _of_package(package))


def _of_package(package: str) -> list[Declared]:
    found = [
        Declared(handler.name, package, handler, _settings_of(handler).model_construct())
        for handler in _handlers(package)
    ]
    name = package.replace("_", "-")
    # What answers comes first, what shares its package after it.
    found.sort(key=lambda service: service.name != name)
    return found or [Declared(name, package, None, Settings.model_construct())]


def _handlers(package: str) -> list[type[Handler[Any]]]:
    module = importlib.import_module(package)
    # By name: a package may load what it offers only when it is asked for.
    offered = (getattr(module, name) for name in sorted(getattr(module, "__all__", ())))
    return [
        value for value in offered if isinstance(value, type) and issubclass(value, Handler) and "name" in vars(value)
    ]


def _settings_of(handler: type[Handler[Any]]) -> type[Settings]:
    for base in getattr(handler, "__orig_bases__", ()):
        for argument in typing.get_args(base):
            if isinstance(argument, type) and issubclass(argument, Settings):
                return argument
    raise TypeError(f"{handler.__name__} does not say which settings it reads")
