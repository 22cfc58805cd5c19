"""Conversations and runs of pipelines kept in PostgreSQL or SQLite.

Nothing outside this package loads SQLAlchemy; a service that archives nothing does not pay for it.
"""

from handler_base.sessions.archive.archive import Archive
from handler_base.sessions.archive.records import StoredConversation, UsageRow
from handler_base.sessions.archive.runs import PipelineRun
from handler_base.sessions.archive.titles import Titler
from handler_base.sessions.archive.worker import ArchiveWorker, archive_consumer

__all__ = ["Archive", "ArchiveWorker", "PipelineRun", "StoredConversation", "Titler", "UsageRow", "archive_consumer"]
