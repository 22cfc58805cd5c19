"""Everything that a service calls to answer a question."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from handler_base.clients import HttpPool, embeddings_client, llm_client, reranker_client, tts_client
from handler_base.config import AnsweringSettings
from handler_base.rag import PromptBudgets, QueryRewriter, RetrievalOptions, Retriever, Summariser, vector_store
from handler_base.sessions import QuotaLimits, SessionStore

__all__ = ["Backends"]

_SUMMARY_TIMEOUT: Final = timedelta(seconds=30)


class Backends:
    """The clients of one process, on one pool of connections.

    Args:
        settings: Where the servers are.

    Attributes:
        pool: For the clients that one service has besides.
        llm: Chat model.
        tts: Speech.
        retriever: Documents.
        budgets: What the prompt may take.
        rewriter: Makes a query of a question that leans on its conversation.
        summariser: Sums up what was said.
        sessions: Conversations, preferences and quotas.
    """

    def __init__(self, settings: AnsweringSettings) -> None:
        self.pool = HttpPool()
        self._embeddings = embeddings_client(settings, self.pool)
        self._reranker = reranker_client(settings, self.pool)
        self._store = vector_store(settings, self.pool)
        self.llm = llm_client(settings, self.pool)
        self.tts = tts_client(settings, self.pool)
        self.retriever = Retriever(
            self._embeddings, self._store, self._reranker, RetrievalOptions.from_settings(settings)
        )
        self.budgets = PromptBudgets.from_settings(settings, history=settings.history_token_budget)
        self.rewriter = QueryRewriter(self.llm, settings.follow_ups, timedelta(seconds=settings.follow_up_timeout))
        self.summariser = Summariser(self.llm, settings.history_token_budget // 2, _SUMMARY_TIMEOUT)
        self.sessions = SessionStore(
            settings.redis_url,
            ttl=timedelta(seconds=settings.session_ttl),
            most_turns=settings.history_turns,
            timeout=timedelta(seconds=settings.memory_timeout),
            limits=QuotaLimits(
                settings.quota_requests_per_minute,
                settings.quota_tokens_per_day,
                settings.quota_premium_requests_per_minute,
                settings.quota_premium_tokens_per_day,
            ),
        )

    async def open(self) -> None:
        """Open what needs opening; nothing is called yet that could be away."""
        await self.pool.open()
        await self._store.open()
        await self.sessions.open()

    async def close(self) -> None:
        """Close in reverse order."""
        await self.sessions.close()
        await self._store.close()
        await self.pool.close()

    def working(self) -> Mapping[str, bool]:
        """Return which of them worked when last called."""
        return {
            "llm": self.llm.available,
            "embeddings": self._embeddings.available,
            "reranker": self._reranker.available,
            "vector_store": self._store.available,
            "sessions": not self.sessions.enabled or self.sessions.available,
        }
