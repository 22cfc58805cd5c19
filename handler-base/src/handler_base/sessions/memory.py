"""The last turns of a conversation, kept in Valkey or Redis.

Memory is worth a few milliseconds, not an answer: every call is bounded in time, and when the store is
away, hangs or is full, the answer goes without it. After a failure the store is left alone for a moment,
so that a hanging one costs its time limit once, not on every question.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from handler_base.sessions.records import Turn
from handler_base.telemetry import metrics

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["ConversationMemory", "Turn"]

log = logging.getLogger(__name__)

_PAUSE: Final = 1.0
"""Seconds the store is left alone after it failed."""

_CONNECTIONS: Final = 64


class ConversationMemory:
    """Loads and appends the turns of a conversation.

    A conversation belongs to a user: the same `session_id` of another user is another conversation.

    Args:
        url: Of the store; empty turns memory off.
        ttl: How long a conversation lives after its last turn.
        most_turns: How many of its last turns are kept.
        timeout: What a call may cost.
    """

    def __init__(self, url: str, *, ttl: timedelta, most_turns: int, timeout: timedelta) -> None:
        self._url = url
        self._ttl = int(ttl.total_seconds())
        self._most_turns = most_turns
        self._timeout = timeout.total_seconds()
        self._redis: Redis | None = None
        self._errors: tuple[type[Exception], ...] = (OSError,)
        self._paused_until = 0.0
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Turn)

    @property
    def enabled(self) -> bool:
        """Whether there is a store at all."""
        return bool(self._url) and self._most_turns > 0

    @property
    def available(self) -> bool:
        """Whether the last call succeeded, or enough time has passed to try again."""
        return time.monotonic() >= self._paused_until

    async def open(self) -> None:
        """Make ready; the store need not be there yet."""
        if not self.enabled:
            return
        # Imported with its first use: a service without memory does not pay for it.
        from redis.asyncio import Redis  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import RedisError  # noqa: PLC0415

        self._errors = (OSError, RedisError)
        self._redis = Redis.from_url(
            self._url,
            socket_connect_timeout=self._timeout,
            socket_timeout=self._timeout,
            retry=Retry(NoBackoff(), 0),
            max_connections=_CONNECTIONS,
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    async def load(self, user_id: str, session_id: str) -> list[Turn]:
        """Return the conversation's last turns, oldest first; empty when there are none or the store is away."""
        if not session_id:
            return []
        answers = await self._call("load", ("LRANGE", _key(user_id, session_id), -self._most_turns, -1))
        if not answers:
            return []
        try:
            return [self._decoder.decode(turn) for turn in answers[0]]
        except (msgspec.DecodeError, TypeError) as error:
            self._failed("load", error)
            return []

    async def append(self, user_id: str, session_id: str, turn: Turn) -> bool:
        """Add a turn and renew the conversation's life.

        Returns:
            Whether it was stored.
        """
        if not session_id:
            return False
        key = _key(user_id, session_id)
        stored = await self._call(
            "append",
            ("RPUSH", key, self._encoder.encode(turn)),
            ("LTRIM", key, -self._most_turns, -1),
            ("EXPIRE", key, self._ttl),
        )
        return stored is not None

    async def open_session(self, user_id: str, *, username: str = "", premium: bool = False) -> bool:
        """Note that a user opened a session.

        Returns:
            Whether it was stored.
        """
        key = f"fleet:session:{user_id}"
        fields = ("username", username, "premium", int(premium), "started", int(time.time()))
        stored = await self._call("open_session", ("HSET", key, *fields), ("EXPIRE", key, self._ttl))
        return stored is not None

    async def _call(self, operation: str, *commands: tuple[str | bytes | int, ...]) -> list[Any] | None:
        """Run commands as one transaction; None when there is no store, or it failed."""
        redis = self._redis
        if redis is None or not self.available:
            return None
        try:
            async with asyncio.timeout(self._timeout), redis.pipeline(transaction=len(commands) > 1) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                answers: list[Any] = await pipe.execute()
        except self._errors as error:
            self._failed(operation, error)
            return None
        return answers

    def _failed(self, operation: str, error: BaseException) -> None:
        self._paused_until = time.monotonic() + _PAUSE
        metrics.SWALLOWED_ERRORS.of(f"memory.{operation}").inc()
        log.warning(
            "the conversation memory is away, answering without it",
            extra={"operation": operation, "error_type": type(error).__name__},
        )


def _key(user_id: str, session_id: str) -> str:
    return f"fleet:conversation:{user_id}:{session_id}"
