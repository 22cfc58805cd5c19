"""Messages of sessions on their way from one replica to another."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from handler_base.errors import FleetError
from handler_base.live.arrivals import Arrival
from handler_base.live.endpoint import LiveEndpoint
from handler_base.messages import Encoding, Message, encode
from handler_base.messages.subjects import is_token
from handler_base.nats_client import Msg, NatsConnection
from handler_base.nats_client import headers as names
from handler_base.nats_client.headers import header
from handler_base.nats_client.message_headers import message_headers
from handler_base.telemetry import metrics

__all__ = ["Done", "Passing"]

_SESSION: Final = "Live-Session"
_AT: Final = "Live-At"
_MADE: Final = "Live-Made"
_DONE: Final = "Live-Done"
_REVISION: Final = "Live-Revision"
_KEPT: Final = (names.CONTENT_TYPE, names.TRACEPARENT, names.TRACESTATE)
_STEP: Final = 1e-6
"""Seconds by which messages made here follow each other, so that they stay in order and before all later ones."""


@dataclass(frozen=True, slots=True)
class Done:
    """A replica has passed on all it had of a session.

    Attributes:
        replica: Which.
        revision: Of the record by which it knew whom to pass it on to.
        heard: The marks of the newest messages that it has heard itself, where it had the session before.
    """

    replica: str
    revision: int
    heard: tuple[int, ...] | None = None


class Passing:
    """Passes messages on, and knows those that were passed on.

    Args:
        connection: Where to.
        endpoint: Whose sessions.
    """

    def __init__(self, connection: NatsConnection, endpoint: LiveEndpoint) -> None:
        self._connection = connection
        self._endpoint = endpoint

    def on(self, replica: str, session_id: str, arrivals: Iterable[Arrival]) -> None:
        """Pass on what came from a client."""
        for arrival in arrivals:
            kept = {name: value for name in _KEPT if (value := header(arrival.msg.headers, name)) is not None}
            self._send(replica, session_id, arrival.at, arrival.msg.data, kept)

    def made(self, replica: str, session_id: str, messages: Iterable[Message], after: float) -> float:
        """Pass on what the work in a session leaves to its successor; return when the last of it came, as told."""
        at = after
        for message in messages:
            at += _STEP
            encoding = Encoding.MSGPACK
            headers = {**message_headers(message, encoding), _MADE: "1"}
            self._send(replica, session_id, at, encode(message, encoding), headers)
        return at

    def done(self, replica: str, session_id: str, done: Done) -> None:
        """Tell the replica that has a session now that it has got all there was of it here."""
        headers = {_DONE: done.replica, _REVISION: str(done.revision)}
        self._send(replica, session_id, 0.0, msgspec.msgpack.encode(done.heard), headers)

    def done_by(self, msg: Msg) -> tuple[str, Done] | None:
        """Return a session, and who has passed on all it had of it; None where the message says another thing."""
        replica, session_id = header(msg.headers, _DONE), header(msg.headers, _SESSION) or ""
        if not replica or not is_token(session_id):
            return None
        try:
            revision = int(header(msg.headers, _REVISION) or "")
            heard = msgspec.msgpack.decode(msg.data, type=tuple[int, ...] | None)
        except (ValueError, msgspec.DecodeError):
            return None
        return session_id, Done(replica, revision, heard)

    def read(self, msg: Msg) -> tuple[str, Arrival] | None:
        """Return a session and its message, or None where another replica did not send this."""
        session_id, at = header(msg.headers, _SESSION) or "", header(msg.headers, _AT)
        if not is_token(session_id) or at is None:
            return None
        try:
            came = min(float(at), time.time())
        except ValueError:
            return None
        subject = self._endpoint.subject.format(session_id=session_id)
        made = header(msg.headers, _MADE) is not None
        return session_id, Arrival(Msg(subject, msg.data, headers=msg.headers), came, passed=True, made=made)

    def _send(self, replica: str, session_id: str, at: float, payload: bytes, headers: dict[str, str]) -> None:
        try:
            self._connection.send(
                self._endpoint.replica.format(replica=replica),
                payload,
                headers={**headers, _SESSION: session_id, _AT: f"{at:.6f}"},
            )
        except FleetError:
            # Too large with these headers, or no link: it is lost as it would be on its first way.
            metrics.SWALLOWED_ERRORS.of("live.passing").inc()
