"""Text chat: a question over NATS gets a streamed, grounded answer with its sources."""

from chat_handler.archiving import ArchiveHandler
from chat_handler.chat_handler import ChatHandler
from chat_handler.settings import ChatSettings

__all__ = ["ArchiveHandler", "ChatHandler", "ChatSettings"]
