"""Sessions and what is remembered of them."""

from handler_base.sessions.memory import ConversationMemory
from handler_base.sessions.quota import QuotaLimits
from handler_base.sessions.records import Opening, Preferences, Session, Turn
from handler_base.sessions.store import SessionStore

__all__ = ["ConversationMemory", "Opening", "Preferences", "QuotaLimits", "Session", "SessionStore", "Turn"]
