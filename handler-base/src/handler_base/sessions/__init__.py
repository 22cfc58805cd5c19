"""Conversation memory."""

from handler_base.sessions.memory import ConversationMemory, Turn

__all__ = ["ConversationMemory", "Turn"]
