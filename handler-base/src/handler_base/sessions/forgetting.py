"""A user forgotten in every store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from handler_base.errors import FleetError
from handler_base.messages.subjects import check_token
from handler_base.nats_client import NatsConnection
from handler_base.sessions._stream_forgetting import StreamForgetting

if TYPE_CHECKING:
    from handler_base.sessions.archive import Archive
    from handler_base.sessions.store import SessionStore

__all__ = ["Forgotten", "forget_user"]


@dataclass(slots=True)
class Forgotten:
    """What became of a user's data.

    Attributes:
        streams: Messages removed, by the stream that held them.
        archived: Messages removed from the archive.
        keys: Keys removed from Valkey.
        troubles: What could not be done, by the store: ``JetStream``, ``archive`` or ``Valkey``; empty when all is
            gone. Forgetting the user again does what is left.
    """

    streams: Mapping[str, int] = field(default_factory=dict)
    archived: int = 0
    keys: int = 0
    troubles: dict[str, str] = field(default_factory=dict)


async def forget_user(
    user_id: str, *, store: SessionStore | None, archive: Archive | None, connection: NatsConnection | None
) -> Forgotten:
    """Remove a user from the streams, then the archive, then Valkey.

    A store that fails is told of, and does not keep the others from being cleared. A question of the user that is
    being answered meanwhile may leave an answer behind; what the user does afterwards is kept as anybody's.

    Args:
        user_id: Who; exactly this id.
        store: Where sessions are; None: there is none.
        archive: Where conversations are kept for long; None: there is none.
        connection: Where the streams are; None: they are left alone.

    Returns:
        What was removed where, and what could not be.

    Raises:
        InvalidRequestError: That is no user id.
    """
    check_token("user_id", user_id)
    forgotten = Forgotten()
    requests, sessions = await _known(user_id, store, archive, forgotten)
    streams = None
    if connection is not None:
        streams = StreamForgetting(connection, user_id, requests=requests, sessions=sessions)
        await _forget_in_streams(streams, forgotten)
    if archive is not None and "archive" not in forgotten.troubles:
        # Only now: what was on its way from the streams to the archive is older, and is kept out by its tombstone.
        try:
            forgotten.archived = await archive.forget(user_id, datetime.now(UTC))
        except FleetError as error:
            forgotten.troubles["archive"] = error.message
    if store is not None and "Valkey" not in forgotten.troubles:
        try:
            forgotten.keys = await store.forget(user_id)
        except FleetError as error:
            forgotten.troubles["Valkey"] = error.message
    if streams is not None and "JetStream" not in forgotten.troubles:
        # The archive tells of each message it stored, which may have been after the streams were read.
        await _forget_in_streams(streams, forgotten)
    return forgotten


async def _known(
    user_id: str, store: SessionStore | None, archive: Archive | None, forgotten: Forgotten
) -> tuple[set[str], set[str]]:
    """Return the ids of the user's questions and conversations that the stores tell, before they are gone."""
    requests: set[str] = set()
    sessions: set[str] = set()
    if archive is not None:
        try:
            requests, sessions = await archive.identifiers(user_id)
        except FleetError as error:
            forgotten.troubles["archive"] = error.message
    if store is not None:
        try:
            sessions |= {session.session_id for session in await store.sessions(user_id)}
        except FleetError as error:
            forgotten.troubles["Valkey"] = error.message
    return requests, sessions


async def _forget_in_streams(streams: StreamForgetting, forgotten: Forgotten) -> None:
    try:
        await streams.run()
    except FleetError as error:
        forgotten.troubles["JetStream"] = error.message
    forgotten.streams = dict(streams.removed)
