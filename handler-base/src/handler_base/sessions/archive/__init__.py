"""Conversations kept in PostgreSQL or SQLite.

Nothing outside this package loads SQLAlchemy; a service that archives nothing does not pay for it.
"""

from handler_base.sessions.archive.archive import Archive
from handler_base.sessions.archive.records import ArchivedMessage, StoredConversation, UsageRow

__all__ = ["Archive", "ArchivedMessage", "StoredConversation", "UsageRow"]
