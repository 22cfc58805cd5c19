"""Writes the accounts of the NATS server: the same file for compose, the tests and the cluster."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final

from deploy.manifests.permissions import SYSTEM, Grant, User

__all__ = ["ACCOUNT", "SERVICES_MAY_NOT", "accounts_conf", "password_variables"]

ACCOUNT: Final = "AI"
"""The account of the fleet; monitoring and scalers name it."""

SERVICES_MAY_NOT: Final = "NATS_SERVICES_MAY_NOT"
"""Environment variable with what services may not do besides: `[]`, or what an operator owns."""

_HEAD: Final = f"""\
# Accounts and permissions of the fleet, for nats-server 2.11 or later: `include` it in the server's configuration.
# Written by `make manifests` from what the services declare. Do not edit.
#
# The server's environment has to hold a password for each user (NATS_PASSWORD_...: letters and digits, a letter first,
# or a bcrypt hash; never empty, which lets everybody in) and {SERVICES_MAY_NOT}: a list of subjects that
# services may not publish on. It is [] where services make their streams (STREAMS_MODE=create), and what
# docs/permissions.md shows where an operator owns them (STREAMS_MODE=verify).
"""


def accounts_conf(users: Iterable[User]) -> str:
    """Return the file.

    Args:
        users: Of the fleet's account.
    """
    lines = [_HEAD, "accounts {", f"  {ACCOUNT} {{", "    jetstream: enabled", "    users: ["]
    for user in users:
        lines += _user(user)
    lines += ["    ]", "  }", "  SYS {", f"    users: [{{user: {SYSTEM}, password: ${_system_variable()}}}]", "  }"]
    lines += ["}", "system_account: SYS", ""]
    return "\n".join(lines)


def password_variables(users: Iterable[User]) -> tuple[str, ...]:
    """Return the environment variables the file reads passwords from."""
    return (*(user.variable for user in users), _system_variable())


def _system_variable() -> str:
    return f"NATS_PASSWORD_{SYSTEM.upper()}"


def _user(user: User) -> Iterator[str]:
    yield f"      # {user.description}"
    yield "      {"
    yield f"        user: {user.name}, password: ${user.variable}"
    yield "        permissions {"
    yield from _side("publish", user.publish, user.publish_not, variable=user.is_service)
    yield from _side("subscribe", user.subscribe, user.subscribe_not)
    yield "        }"
    yield "      }"


def _side(name: str, allowed: tuple[Grant, ...], denied: tuple[str, ...], *, variable: bool = False) -> Iterator[str]:
    yield f"          {name} {{"
    yield "            allow: ["
    for grant in allowed:
        yield f"              # {grant.why}"
        yield from (f"              {json.dumps(subject)}" for subject in grant.subjects)
    yield "            ]"
    if variable:
        yield f"            deny: ${SERVICES_MAY_NOT}"
    elif denied:
        yield "            deny: ["
        yield from (f"              {json.dumps(subject)}" for subject in denied)
        yield "            ]"
    yield "          }"
