"""What the work in a session knows and can do: say things to the client, and keep what a successor has to know."""

from __future__ import annotations

from typing import Protocol

from handler_base.errors import FleetError
from handler_base.live.endpoint import LiveEndpoint
from handler_base.messages import Encoding, Message, encode
from handler_base.nats_client import EventLog, NatsConnection
from handler_base.nats_client import headers as names
from handler_base.nats_client.message_headers import message_headers
from handler_base.telemetry import SpanContext, propagation

__all__ = ["Answers", "Fence", "LiveSession", "OwnershipLostError"]


class OwnershipLostError(Exception):
    """The session is another replica's by now: whatever is under way here counts no more."""


class Fence(Protocol):
    """What keeps a replica that lost a session from speaking for it."""

    @property
    def generation(self) -> int:
        """How many owners the session has had, this one included."""

    def holds(self) -> bool:
        """Whether nobody can have taken the session over yet."""

    async def save(self, state: bytes, *, until: float) -> None:
        """Keep what a successor has to know, and up to when that holds what was heard.

        Raises:
            OwnershipLostError: The session is another's.
            FleetError: It cannot be kept right now.
        """


class Answers:
    """Says things to clients of sessions.

    Args:
        connection: Where to.
        endpoint: Whose clients.
    """

    def __init__(self, connection: NatsConnection, endpoint: LiveEndpoint) -> None:
        self._connection = connection
        self._endpoint = endpoint

    async def send(
        self, session_id: str, message: Message, encoding: Encoding, error: FleetError | None = None
    ) -> None:
        """Publish a message to a session's client; with the error it tells of, where it does."""
        headers = message_headers(message, encoding)
        if error is not None:
            headers[names.ERROR] = error.message
            headers[names.ERROR_CODE] = str(error.code)
            if error.retry_after is not None:
                headers[names.RETRY_AFTER] = f"{error.retry_after.total_seconds():.3f}"
        propagation.inject(headers)
        subject = self._endpoint.answers.format(session_id=session_id)
        await self._connection.publish(subject, encode(message, encoding), headers=headers)

    async def refuse(self, session_id: str, encoding: Encoding, error: FleetError) -> None:
        """Tell of an error where there is no session."""
        await self.send(session_id, self._endpoint.error_answer(session_id, error), encoding, error)


class LiveSession:
    """One session, as its work sees it.

    Attributes:
        session_id: Its id.
        encoding: That of its first message; everything goes out in it.
        resumed: What the owner before kept for its successor; empty in a new session.
        parent: The trace that its first message belongs to.
        heard_at: Unix seconds when the message came that is being taken.
        over: Set by the work when nothing more can come of the session: it is finished then.
    """

    __slots__ = (
        "_answers",
        "_events",
        "_fence",
        "encoding",
        "heard_at",
        "over",
        "parent",
        "resumed",
        "session_id",
    )

    def __init__(
        self,
        session_id: str,
        encoding: Encoding,
        answers: Answers,
        fence: Fence,
        *,
        resumed: bytes = b"",
        parent: SpanContext | None = None,
        events: EventLog | None = None,
    ) -> None:
        self.session_id = session_id
        self.encoding = encoding
        self.resumed = resumed
        self.parent = parent
        self.heard_at = 0.0
        self.over = False
        self._answers = answers
        self._fence = fence
        self._events = events

    @property
    def generation(self) -> int:
        """How many owners the session has had, this one included."""
        return self._fence.generation

    async def publish(self, message: Message, error: FleetError | None = None) -> bool:
        """Say something that does not count if another replica says it too; unsaid when that may be so.

        Returns:
            Whether it was said.
        """
        if not self._fence.holds():
            return False
        await self._answers.send(self.session_id, message, self.encoding, error)
        return True

    async def commit(self, message: Message, state: bytes, *, until: float, error: FleetError | None = None) -> None:
        """Say something that must be said once: first keep a state that has it said, then say it.

        Args:
            message: What is said.
            state: What a successor has to know once it is said.
            until: The `heard_at` of the last message that needs not be heard again then.
            error: What the message tells of, where it does.

        Raises:
            OwnershipLostError: The session is another's.
            FleetError: The state cannot be kept right now; nothing was said.
        """
        await self.save(state, until=until)
        await self._answers.send(self.session_id, message, self.encoding, error)

    async def save(self, state: bytes, *, until: float) -> None:
        """Keep what a successor has to know; see `commit`.

        Raises:
            OwnershipLostError: The session is another's.
            FleetError: It cannot be kept right now.
        """
        await self._fence.save(state, until=until)

    def record(self, name: str, request_id: str, **data: str | float | bool | None) -> None:
        """Tell of a step as an event of the domain."""
        if self._events is not None:
            self._events.record(name, user_id="", session_id=self.session_id, request_id=request_id, data=data)
