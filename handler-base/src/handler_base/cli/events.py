"""`fleet events`: what happened in the fleet."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from handler_base.cli.connecting import jetstream
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.terminal import clean_line, fail, fit, print_json_line, print_text, warn
from handler_base.errors import FleetError, InvalidRequestError, NotFoundError
from handler_base.messages import DomainEvent, decode, detect
from handler_base.messages.streams import AI_EVENTS
from handler_base.messages.subjects import CHAT_EVENT, PIPELINE_EVENT, VOICE_EVENT, check_token
from handler_base.nats_client import StreamMessage, StreamReader, headers

__all__ = ["DEFAULT_LIMIT", "EventFilter", "events"]

DEFAULT_LIMIT: Final = 50
"""Events that are shown when nothing else was asked for."""

_SUBJECTS: Final = {"chat": CHAT_EVENT, "voice": VOICE_EVENT, "pipeline": PIPELINE_EVENT}
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])")
_WINDOW: Final = 1000
"""Messages at the end of the stream that are looked at first for the last events."""

_MOST_ID: Final = 13
_LONG_TEXT: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events."""

    user: str = ""
    """Only of this user; empty: of all."""
    session: str = ""
    """Only of this conversation; empty: of all."""
    name: str = ""
    """Only of this name; empty: of all."""
    domain: str = ""
    """Only of this domain; empty: of all."""

    def subjects(self) -> tuple[str, ...]:
        """Return the subjects they are on.

        Raises:
            InvalidRequestError: The name is not one.
        """
        name = check_token("--name", self.name) if self.name else "*"
        chosen = [_SUBJECTS[self.domain]] if self.domain else list(_SUBJECTS.values())
        return tuple(subject.pattern.replace("*", name) for subject in chosen)

    def matches(self, event: DomainEvent) -> bool:
        """Whether an event on those subjects is meant."""
        return self.user in {"", event.user_id} and self.session in {"", event.session_id}


@dataclass(frozen=True, slots=True)
class _Shown:
    sequence: int
    moment: str
    domain: str
    event: DomainEvent
    readable: bool


async def events(
    nats_url: str, wanted: EventFilter, *, follow: bool, since: str, limit: int | None, as_json: bool
) -> None:
    """Print the events, oldest first.

    Args:
        nats_url: From the command line.
        wanted: Which.
        follow: Whether to go on with what comes.
        since: How far to go back, such as ``10m``; empty: by `limit` alone.
        limit: Most events of the past; 0: all; None: `DEFAULT_LIMIT`, or all since `since`.
        as_json: Whether to print a JSON object a line.

    Raises:
        typer.Exit: JetStream is away, or an option is not valid.
    """
    try:
        subjects = wanted.subjects()
    except InvalidRequestError as error:
        fail(error.message, ExitCode.USAGE)
    start = _since(since)
    most = (0 if since else DEFAULT_LIMIT) if limit is None else limit
    async with jetstream(nats_url) as (connection, _):
        reader = StreamReader(connection, AI_EVENTS.name, subjects=subjects)
        last = 0
        try:
            last = (await reader.info()).state.last_seq
            shown = await _past(reader, wanted, start, last, most)
        except NotFoundError:
            shown = []
            if follow:
                warn(f"There is no stream {AI_EVENTS.name} yet; waiting for the service that makes it.")
        for one in shown:
            _print(one, as_json=as_json)
        if not follow:
            if not shown and not as_json:
                print_text("No events.")
            return
        async with aclosing(reader.follow(last + 1)) as messages:
            async for message in messages:
                one = _read(message)
                if wanted.matches(one.event):
                    _print(one, as_json=as_json)


def _since(text: str) -> datetime | None:
    if not text:
        return None
    found = _DURATION.fullmatch(text)
    if found is None:
        fail("--since must be a number with s, m, h or d, such as 10m.", ExitCode.USAGE)
    try:
        return datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        return datetime(1970, 1, 1, tzinfo=UTC)


async def _past(
    reader: StreamReader, wanted: EventFilter, since: datetime | None, last: int, most: int
) -> list[_Shown]:
    """Return the last events up to a sequence; without `most` and with `since`, all from that moment on."""
    if since is not None or not most:
        found = [one async for one in _between(reader, wanted, 1, last, since)]
        return found[-most:]
    found = []
    end, window = last, _WINDOW
    while end > 0 and len(found) < most:
        start = max(1, end - window + 1)
        found = [one async for one in _between(reader, wanted, start, end, None)] + found
        end, window = start - 1, window * 4
    return found[-most:]


async def _between(
    reader: StreamReader, wanted: EventFilter, start: int, end: int, since: datetime | None
) -> AsyncIterator[_Shown]:
    async with aclosing(reader.read(start=start, end=end, since=since)) as messages:
        async for message in messages:
            one = _read(message)
            if wanted.matches(one.event):
                yield one


def _read(message: StreamMessage) -> _Shown:
    _, domain, _, name = message.subject.split(".", 3)
    try:
        encoding = detect(message.data, headers.header(message.headers, headers.CONTENT_TYPE))
        event = decode(DomainEvent, message.data, encoding)
        readable = True
    except FleetError:
        event, readable = DomainEvent(), False
    event.name = event.name or name
    moment = event.occurred_at or message.stored_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _Shown(message.sequence, moment, domain, event, readable)


def _print(one: _Shown, *, as_json: bool) -> None:
    event = one.event
    if as_json:
        print_json_line(
            {
                "sequence": one.sequence,
                "time": one.moment,
                "domain": one.domain,
                "name": event.name,
                "user_id": event.user_id,
                "session_id": event.session_id,
                "request_id": event.request_id,
                "data": event.data,
            }
        )
        return
    # A whole id matters where it is piped on; on a terminal there would be no room for what was said.
    most = _MOST_ID if sys.stdout.isatty() else 0
    ids = (clean_line(value, most) or "-" for value in (event.user_id, event.session_id, event.request_id))
    moment = one.moment[:19].replace("T", " ")
    told = _in_short(event.data) if one.readable else "(cannot be read)"
    print_text(fit(clean_line(f"{moment}  {one.domain}.{event.name}  {'  '.join(ids)}  {told}")))


def _in_short(data: Mapping[str, str | int | float | bool | None]) -> str:
    """Return what an event tells in one line, long texts last."""
    parts = [(name, "" if value is None else str(value)) for name, value in data.items()]
    parts.sort(key=lambda part: len(part[1]) > _LONG_TEXT)
    return " ".join(f"{name}={value}" for name, value in parts)
