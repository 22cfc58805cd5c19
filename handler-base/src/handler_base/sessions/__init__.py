"""Sessions and what is remembered of them."""

from handler_base.sessions.conversation import ChatMessage, Conversation
from handler_base.sessions.quota import QuotaLimits
from handler_base.sessions.records import Opening, Preferences, Session, Turn
from handler_base.sessions.store import SessionStore

__all__ = [
    "ChatMessage",
    "Conversation",
    "Opening",
    "Preferences",
    "QuotaLimits",
    "Session",
    "SessionStore",
    "Turn",
]
