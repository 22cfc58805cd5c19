"""Writes the permissions as a page for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from deploy.manifests.permissions import Grant, User, inbox_of

__all__ = ["permissions_page"]

_HEAD: Final = """\
# Who may do what on NATS

Written by `make manifests` from what the services declare. Do not edit.

One user a service, and no more than that service needs; the same rules as a file for the server are in
[`deploy/nats/accounts.conf`](../deploy/nats/accounts.conf), and [`deploy/nats/README.md`](../deploy/nats/README.md)
says how to use it. Whatever is not listed here is refused. Acknowledgements are allowed in both forms: without and
with the domain and the account, which servers may send since 2.15.

Where an operator owns the streams (`STREAMS_MODE=verify`), `NATS_SERVICES_MAY_NOT` takes from the services what begins
with these:

"""


def permissions_page(users: Iterable[User], owned: Iterable[str]) -> str:
    """Return the page.

    Args:
        users: Of the fleet's account.
        owned: What services may not do where an operator owns the streams.
    """
    lines = [_HEAD.rstrip("\n"), "", *(f"- `{subject}`" for subject in owned), ""]
    for user in users:
        lines += _user(user)
    return "\n".join(lines)


def _user(user: User) -> Iterator[str]:
    yield f"## `{user.name}`"
    yield ""
    yield f"{user.description} Password: `{user.variable}`. Inboxes: `{inbox_of(user.name)}`."
    yield ""
    yield from _table("publishes on", user.publish)
    if user.publish_not:
        yield f"Not, though: {', '.join(f'`{subject}`' for subject in user.publish_not)}."
        yield ""
    yield from _table("subscribes to", user.subscribe)
    if user.subscribe_not:
        yield f"Not, though: {', '.join(f'`{subject}`' for subject in user.subscribe_not)}."
        yield ""


def _table(verb: str, grants: tuple[Grant, ...]) -> Iterator[str]:
    yield f"| {verb} | for |"
    yield "|---|---|"
    for grant in grants:
        for subject in grant.subjects:
            yield f"| `{subject}` | {grant.why} |"
    yield ""
