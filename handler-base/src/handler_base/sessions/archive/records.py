"""What comes out of the archive besides messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from handler_base.sessions.conversation import Kind

__all__ = ["StoredConversation", "UsageRow"]


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """A conversation as a list of them shows it; `messages` is how many are stored."""

    user_id: str
    session_id: str
    kind: Kind
    title: str
    started_at: datetime
    last_activity: datetime
    messages: int


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one user used on one day, by UTC."""

    day: date
    user_id: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    premium_requests: int
