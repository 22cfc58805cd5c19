"""Sessions, their last turns, what users prefer and how much they may still ask, kept in Valkey or Redis.

A question is worth more than its session: what stands before an answer is bounded in time, what follows it waits
for nothing, and when the store is away, hangs or is full, the answer goes without it. After a failure the store is
left alone for a moment, so that a hanging one costs its time limit once, not on every question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

import msgspec

from handler_base.errors import UpstreamUnavailableError
from handler_base.sessions import scripts
from handler_base.sessions.forms import (
    encode_turn,
    part,
    read_preferences,
    read_session,
    read_turns,
    whole,
)
from handler_base.sessions.outage import Outage
from handler_base.sessions.quota import QuotaLimits
from handler_base.sessions.records import Opening, Preferences, Session, Turn
from handler_base.sessions.scripts import Script, write
from handler_base.sessions.valkey import LinkError, RefusedError, ValkeyLink, error_code

__all__ = ["SessionStore"]

_MOST_SESSIONS: Final = 1000
_SCANNED: Final = 1000
_FLAGS: Final = ("0", "1")

_LOAD: Final = [("SCRIPT", "LOAD", script.text) for script in scripts.ALL]
"""Known ahead, scripts of one connection also take effect in the order they were sent in."""

_UNLIMITED: Final = QuotaLimits()

_encode_json: Final = msgspec.json.Encoder().encode


class SessionStore:
    """Opens sessions, and remembers their last turns.

    A session belongs to a user: the same `session_id` of another user is another session.

    Args:
        url: Of the store, see `StoreAddress.parse`; empty turns it off.
        ttl: How long a session lives after its last activity.
        most_turns: How many of its last turns an opening brings. Twice as many are kept, so that a summary
            has time to tell of them.
        timeout: What a call may cost.
        limits: What users are granted.

    Raises:
        ValueError: The URL is none.
    """

    def __init__(
        self, url: str, *, ttl: timedelta, most_turns: int, timeout: timedelta, limits: QuotaLimits = _UNLIMITED
    ) -> None:
        self._link = ValkeyLink(url, timeout=timeout, prepare=_LOAD) if url else None
        self._outage = Outage(self._link) if self._link is not None else None
        self._ttl = str(max(1, int(ttl.total_seconds())))
        self._most_turns = most_turns
        self._granted = (limits.granted(premium=False), limits.granted(premium=True))
        # What every question says again, written once.
        terms = list(zip(_FLAGS, self._granted, strict=True))
        self._standing = [write(self._ttl, str(most_turns), flag, *map(str, granted)) for flag, granted in terms]
        self._uncharged = [write(self._ttl, str(most_turns), flag, "0", "0") for flag in _FLAGS]
        self._charged = [write(self._ttl, str(2 * most_turns), flag, str(granted[1])) for flag, granted in terms]

    @property
    def enabled(self) -> bool:
        """Whether there is a store at all."""
        return self._link is not None

    @property
    def available(self) -> bool:
        """Whether the last call succeeded, or enough time has passed to try again."""
        return self._link is None or self._link.available

    async def open(self) -> None:
        """Connect; the store need not be there yet."""
        if self._link is not None and self._outage is not None:
            try:
                await self._link.open()
            except LinkError as error:
                self._outage.failed("open", error)

    async def close(self) -> None:
        """Wait for what was sent to be stored, as long as a call may take, and close the connection."""
        if self._link is not None:
            await self._link.close()

    async def begin(
        self,
        user_id: str,
        session_id: str,
        *,
        premium: bool = False,
        username: str = "",
        kind: str = "chat",
        metadata: Mapping[str, str] | None = None,
        charge: bool = True,
    ) -> Opening:
        """Open or continue a session for a question, in one round trip.

        Args:
            user_id: Who asks.
            session_id: In which of their sessions; empty for the one that their last login opened.
            premium: Whether this question draws on the premium quota.
            username: For a session that is opened.
            kind: `chat` or `voice`, for a session that is opened.
            metadata: For a session that is opened.
            charge: Whether it draws on the quota; a question that is tried again has done so before.
        """
        if self._link is None:
            return Opening(session_id)
        noted = _encode_json(metadata) if metadata else b""
        standing = (self._standing if charge else self._uncharged)[premium]
        names = write(part(user_id), part(session_id))
        reply = await self._try("begin", scripts.BEGIN, kind, username, noted, written=names + standing, count=7)
        if reply is None:
            return Opening(session_id)
        session_id = session_id or whole(reply[0])
        if reply[2]:
            self._refused("begin", reply[2])
        if reply[1]:
            return Opening(session_id, retry_after=timedelta(milliseconds=reply[1]), stored=True)
        turns, preferences = read_turns(reply[6]), read_preferences(reply[3])
        if turns is None or preferences is None:
            self._refused("begin", None)
        return Opening(
            session_id,
            reply[4] == 1,
            turns or [],
            reply[5].decode("utf-8", "replace"),
            preferences or Preferences(),
            stored=True,
        )

    def finish(
        self, user_id: str, session_id: str, turn: Turn | None, *, tokens: int = 0, premium: bool = False
    ) -> None:
        """Keep what a question came to, without waiting: the next question over this store sees it.

        Only a session that is there is written to, so that a user who was forgotten meanwhile stays forgotten.

        Args:
            user_id: Who asked.
            session_id: As the opening gave it.
            turn: What is kept of it; None when there is nothing to remember.
            tokens: What the answer cost.
            premium: Whether that is taken from the premium quota.
        """
        per_day = self._granted[premium][1]
        if self._link is None or not (session_id or (tokens and per_day)):
            return
        kept, request = b"", ""
        if turn is not None and self._most_turns > 0:
            kept, request = encode_turn(turn), part(turn.request_id)
        names, cost = write(part(user_id), part(session_id)), write(request, str(tokens))
        written = f"{names}{self._charged[premium]}{cost}"
        self._post(scripts.FINISH, scripts.FINISH.command(kept, written=written, count=8))

    async def open_session(
        self, user_id: str, session_id: str, *, username: str, premium: bool, kind: str, login: bool = True
    ) -> bool:
        """Open a session, and with a login make it the one for questions that name none.

        Returns:
            Whether it was created: not when it was there, nor when the store is away.
        """
        names = (part(user_id), part(session_id), self._ttl)
        reply = await self._try("open_session", scripts.OPEN, *names, kind, username, _FLAGS[premium], _FLAGS[login])
        if reply is None:
            return False
        if reply[1]:
            self._refused("open_session", reply[1])
        return bool(reply[0] == 1)

    async def preferences(self, user_id: str) -> Preferences:
        """Return what a user prefers.

        Raises:
            UpstreamUnavailableError: The store is away.
        """
        if self._link is None:
            return Preferences()
        return read_preferences(await self._ask("preferences", "GET", _preferences(user_id))) or Preferences()

    async def set_preferences(self, user_id: str, preferences: Preferences) -> None:
        """Keep what a user prefers, until they are forgotten.

        Raises:
            UpstreamUnavailableError: The store is away or full, or there is none.
        """
        await self._ask("set_preferences", "SET", _preferences(user_id), _encode_json(preferences))

    async def session(self, user_id: str, session_id: str) -> Session | None:
        """Return a session; None when there is none, or it expired.

        Raises:
            UpstreamUnavailableError: The store is away.
        """
        if self._link is None:
            return None
        key = f"fleet:session:{part(user_id)}:{part(session_id)}"
        return read_session(user_id, session_id, await self._ask("session", "HGETALL", key))

    async def sessions(self, user_id: str) -> list[Session]:
        """Return a user's sessions, the last active first.

        Raises:
            UpstreamUnavailableError: The store is away.
        """
        if self._link is None:
            return []
        ids = await self._ask("sessions", "ZREVRANGE", f"fleet:sessions:{part(user_id)}", "0", str(_MOST_SESSIONS - 1))
        found = await asyncio.gather(*(self.session(user_id, whole(session_id)) for session_id in ids))
        return [session for session in found if session is not None]

    async def unsummarised(self, user_id: str, session_id: str) -> tuple[str, int, list[Turn]]:
        """Return a session's summary, how many of its turns that covers, and the turns after them.

        Turns that were dropped before a summary told of them count as covered. All empty when the store is away.
        """
        names = (part(user_id), part(session_id), self._ttl)
        reply = await self._try("unsummarised", scripts.REMAINING, *names)
        if reply is None:
            return "", 0, []
        turns = read_turns(reply[2])
        if reply[3] or turns is None:
            self._refused("unsummarised", reply[3] or None)
        return reply[0].decode("utf-8", "replace"), reply[1] - len(turns or []), turns or []

    async def save_summary(self, user_id: str, session_id: str, summary: str, covers: int) -> bool:
        """Keep a summary of a session's first turns.

        Returns:
            Whether it was kept: not when the one that is there covers as many turns, the session has fewer or
            is gone, or the store is away.
        """
        names = (part(user_id), part(session_id), self._ttl)
        reply = await self._try("save_summary", scripts.SUMMARISE, *names, summary, str(covers))
        return bool(reply == 1)

    async def save_title(self, user_id: str, session_id: str, title: str) -> None:
        """Give a session its title, if it is still there."""
        await self._try("save_title", scripts.TITLE, part(user_id), part(session_id), self._ttl, title)

    async def forget(self, user_id: str) -> int:
        """Remove everything there is of a user.

        Returns:
            How many keys that were.

        Raises:
            UpstreamUnavailableError: The store is away; what was removed until then stays removed.
        """
        if self._link is None:
            return 0
        user = part(user_id)
        own = [f"fleet:{name}:{user}" for name in ("session", "sessions", "login", "preferences", "quota")]
        # The whole store is looked through: an index may have lost what an older version wrote.
        pattern = f"fleet:*:{user}:*"
        prefixes = (f"fleet:session:{user}:".encode(), f"fleet:conversation:{user}:".encode())
        removed, cursor = await self._ask("forget", "UNLINK", *own), b"0"
        while True:
            cursor, found = await self._ask("forget", "SCAN", cursor, "MATCH", pattern, "COUNT", str(_SCANNED))
            # A session goes with its turns in one step, so that nothing can be appended in between.
            ids = {key.removeprefix(prefix) for key in found for prefix in prefixes if key.startswith(prefix)}
            if ids:
                removed += await self._ask("forget", "UNLINK", *(prefix + one for one in ids for prefix in prefixes))
            if cursor == b"0":
                break
        return int(removed + await self._ask("forget", "UNLINK", *own))

    async def _try(
        self, operation: str, script: Script, *arguments: str | bytes, written: str = "", count: int = 0
    ) -> Any:  # noqa: ANN401 - its reply
        """Run a script, as `Script.command` writes it; None when that brought nothing."""
        link, outage = self._link, self._outage
        if link is None or outage is None:
            return None
        try:
            command = script.command(*arguments, written=written, count=count)
            try:
                reply = await link.send(command)
            except RefusedError as error:
                if error.code != "NOSCRIPT":
                    raise
                reply = await link.send(script.in_full(command))
        except LinkError as error:
            outage.failed(operation, error)
            return None
        except UnicodeEncodeError:
            outage.failed(operation, RefusedError("unreadable"))
            return None
        if outage.away:
            outage.over()
        return reply

    async def _ask(self, operation: str, *command: str | bytes) -> Any:  # noqa: ANN401 - a command's reply
        """Send a command whose failure the caller has to know."""
        if self._link is None or self._outage is None:
            raise UpstreamUnavailableError("There is no session store.")
        try:
            reply = await self._link.call(*command)
        except LinkError as error:
            self._outage.failed(operation, error)
            raise UpstreamUnavailableError("The session store cannot be used right now.") from error
        if self._outage.away:
            self._outage.over()
        return reply

    def _post(self, script: Script, command: bytes) -> None:
        """Run a script that nobody waits for."""
        link, outage = self._link, self._outage
        assert link is not None  # noqa: S101 - looked at by the caller
        assert outage is not None  # noqa: S101 - there is one with every link

        def settled(reply: object, *, known: bool = True) -> None:
            if isinstance(reply, RefusedError) and reply.code == "NOSCRIPT" and known:
                link.post(partial(settled, known=False), script.in_full(command))
            elif isinstance(reply, LinkError):
                outage.failed("finish", reply)
            else:
                if outage.away:
                    outage.over()
                if reply:
                    self._refused("finish", reply)

        link.post(settled, command)

    def _refused(self, operation: str, trouble: object) -> None:
        """Count what a script could not do; None: what could not be read or written."""
        if self._outage is not None:
            code = error_code(trouble.decode("utf-8", "replace")) if isinstance(trouble, bytes) else "unreadable"
            self._outage.failed(operation, RefusedError(code))


def _preferences(user_id: str) -> str:
    return f"fleet:preferences:{part(user_id)}"
