"""How sessions are written in the store, and read back, also when something else wrote there."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from handler_base.sessions.records import Preferences, Session, Turn

__all__ = [
    "encode_turn",
    "part",
    "read_preferences",
    "read_session",
    "read_turns",
    "whole",
]

_plain: Final = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch

encode_turn: Final = msgspec.msgpack.Encoder().encode
_decode_turns: Final = msgspec.msgpack.Decoder(list[Turn]).decode
_decode_preferences: Final = msgspec.json.Decoder(Preferences).decode
_decode_metadata: Final = msgspec.json.Decoder(dict[str, str]).decode


def part(identifier: str) -> str:
    """Return an id as a part of a key: no two ids give the same key, and none is a pattern."""
    return identifier if _plain(identifier) else quote(identifier, safe="", errors="surrogatepass")


def whole(text: bytes) -> str:
    """Return the id that `part` made this of."""
    return unquote(text.decode("ascii", "replace"))


class _AnyTurn(msgspec.Struct):
    """A turn of this version, or of one that kept question and answer apart."""

    said: bytes = b""
    question: str = ""
    answer: str = ""
    request_id: str = ""
    at: int = 0

    def turn(self) -> Turn:
        if self.said:
            return Turn(self.said, self.request_id, self.at)
        return Turn.of(self.question, self.answer, self.request_id, self.at)


_decode_any: Final = msgspec.msgpack.Decoder(list[_AnyTurn]).decode


def read_turns(encoded: bytes) -> list[Turn] | None:
    """Return the turns of a MessagePack array; None when they cannot be read."""
    if not encoded:
        return []
    try:
        return _decode_turns(encoded)
    except msgspec.ValidationError:
        return _read_any(encoded)
    except msgspec.DecodeError:
        return None


def _read_any(encoded: bytes) -> list[Turn] | None:
    try:
        return [turn.turn() for turn in _decode_any(encoded)]
    except msgspec.DecodeError:
        return None


def read_preferences(encoded: bytes | None) -> Preferences | None:
    """Return preferences; None when they cannot be read."""
    try:
        return _decode_preferences(encoded) if encoded else _NO_PREFERENCES
    except msgspec.DecodeError:
        return None


def read_session(user_id: str, session_id: str, reply: list[bytes]) -> Session | None:
    """Return a session from the fields and values of its hash; None when it is none."""
    fields = dict(zip(reply[::2], reply[1::2], strict=False))
    if b"started" not in fields:
        return None

    def text(name: bytes) -> str:
        return fields.get(name, b"").decode("utf-8", "replace")

    def number(name: bytes) -> int:
        value = fields.get(name, b"")
        return int(value) if value.isdigit() else 0

    return Session(
        user_id,
        session_id,
        kind=text(b"kind"),
        started=number(b"started"),
        last_activity=number(b"last_activity"),
        username=text(b"username"),
        premium=fields.get(b"premium") == b"1",
        title=text(b"title"),
        turns=number(b"turns"),
        metadata=_metadata(fields.get(b"metadata", b"")),
    )


_NO_PREFERENCES: Final = Preferences()


def _metadata(encoded: bytes) -> dict[str, str]:
    try:
        return _decode_metadata(encoded) if encoded else {}
    except msgspec.DecodeError:
        return {}
