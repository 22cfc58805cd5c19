"""The fleet as it is deployed: what the services declare, together with what an operator decides."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cache

from deploy.manifests.declarations import Declared, declared_services
from deploy.manifests.profiles import MODELS, PROFILES, STORES, Lifecycle, Place, Profile, Secret

__all__ = ["App", "apps"]

_ROOM = 30
"""Seconds from the end of the drain to the end of the pod's grace: closing connections, a slow node."""

_LONGEST_DRAIN = 120
"""Seconds: a live conversation may last for minutes, and another replica goes on with it."""


@dataclass(frozen=True)
class App:
    """One Deployment.

    Attributes:
        service: What the service declares.
        profile: What an operator decides.
    """

    service: Declared
    profile: Profile

    @property
    def name(self) -> str:
        """Of the app and all its objects."""
        return self.service.name

    @property
    def image(self) -> str:
        """Name of its image; what shares a package shares the image."""
        return self.service.package.replace("_", "-")

    @property
    def description(self) -> str:
        """One line for people."""
        return self.service.handler.description if self.service.handler is not None else "Not built yet."

    @property
    def lifecycle(self) -> Lifecycle:
        """Its probes and its end: what is being answered may be finished, within reason."""
        budgets = [endpoint.budget(self.service.settings) for endpoint in self.service.endpoints]
        longest = math.ceil(max((budget.total_seconds() for budget in budgets), default=0))
        drain = min(max(longest, Lifecycle().drain_timeout), _LONGEST_DRAIN)
        return dataclasses.replace(Lifecycle(), drain_timeout=drain, grace=drain + _ROOM)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The secrets it mounts."""
        return (Secret("nats", {"NATS_PASSWORD": "password"}), *self.profile.secrets)

    @property
    def reaches(self) -> tuple[Place, ...]:
        """All it connects to."""
        names = ("nats", "telemetry", *self.profile.stores)
        return (*(STORES[name] for name in names), *(MODELS[name] for name in self.profile.models))


@cache
def apps() -> tuple[App, ...]:
    """Return every Deployment of the fleet."""
    return tuple(App(_as_deployed(service), PROFILES[service.name]) for service in declared_services())


def _as_deployed(service: Declared) -> Declared:
    """Return a service with the settings it has in the cluster: what it pulls from follows from them."""
    changed = {name.lower(): value for name, value in PROFILES[service.name].environment.items()}
    known = {name: value for name, value in changed.items() if name in type(service.settings).model_fields}
    return dataclasses.replace(service, settings=service.settings.model_copy(update=known))
