"""A real nats-server with the accounts file that compose and the cluster use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from deploy.manifests.declarations import Declared, declared_services
from deploy.manifests.nats_accounts import SERVICES_MAY_NOT, password_variables
from deploy.manifests.permissions import inbox_of, owned_by_operator, users
from handler_base.nats_client import NatsConnection
from handler_base.testing.nats_server import NatsServer

__all__ = ["ACCOUNTS", "SERVICES", "GuardedServer", "LogIn", "refused"]

ACCOUNTS: Final = Path(__file__).resolve().parents[2] / "nats" / "accounts.conf"
SERVICES: Final[Mapping[str, Declared]] = {service.name: service for service in declared_services()}

_VIOLATION: Final = re.compile(r"(Publish|Subscription) Violation - .*")


class LogIn(Protocol):
    """Opens a connection that the test does not have to close."""

    async def __call__(self, server: GuardedServer, user: str) -> NatsConnection:
        """Connect as a user."""
        ...


class GuardedServer:
    """The server.

    Args:
        operator_owns: Whether streams, consumers and buckets belong to an operator.
        config: More of the server's configuration.
    """

    def __init__(self, *, operator_owns: bool = False, config: str = "") -> None:
        may_not = owned_by_operator(SERVICES.values()) if operator_owns else ()
        self._users = users(SERVICES.values())
        passwords = {variable: f"of{variable.lower()}" for variable in password_variables(self._users)}
        self._server = NatsServer(
            f"max_payload: 8MB\n{config}{ACCOUNTS.read_text(encoding='utf-8')}",
            environment={**passwords, SERVICES_MAY_NOT: json.dumps(list(may_not))},
        )
        self._passwords = passwords

    @property
    def url(self) -> str:
        """Address without credentials."""
        return self._server.url

    @property
    def violations(self) -> list[str]:
        """What the server has refused so far, in its words."""
        return [found.group() for found in _VIOLATION.finditer(self._server.log)]

    def password(self, user: str) -> str:
        """Return a user's password."""
        return self._passwords[f"NATS_PASSWORD_{user.replace('-', '_').upper()}"]

    def inbox(self, user: str) -> str:
        """Return a user's inbox prefix."""
        return inbox_of(user)

    def environment(self, user: str) -> dict[str, str]:
        """Return what a service logs in with."""
        return {
            "NATS_URL": self.url,
            "NATS_USER": user,
            "NATS_PASSWORD": self.password(user),
            "NATS_INBOX_PREFIX": self.inbox(user),
        }

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()


async def refused(
    connection: NatsConnection, *, publish: Iterable[str] = (), subscribe: Iterable[str] = ()
) -> set[str]:
    """Try each subject; return those that the server refuses."""
    found = set()
    for subject in publish:
        before = connection.permission_violations
        # A reply, as a call of an API has one; where it goes does not matter.
        connection.send(subject, b"{}", reply=connection.new_inbox())
        await connection.flush()
        if connection.permission_violations > before:
            found.add(subject)
    for subject in subscribe:
        before = connection.permission_violations
        subscription = connection.listen(subject, lambda _: None)
        await connection.flush()
        if connection.permission_violations > before:
            found.add(subject)
        await subscription.unsubscribe()
    return found
