"""The answers of the chat handler as messages of the contract."""

from __future__ import annotations

from collections.abc import Sequence

from handler_base.errors import FleetError, InvalidRequestError
from handler_base.messages import ChatRequest, ChatResponse, GreetingRequest, GreetingResponse
from handler_base.rag import Hit

__all__ = ["failed_answer", "greeting", "source_names", "validate"]


def validate(request: ChatRequest, *, most_top_k: int) -> None:
    """Check what a question asks for.

    Raises:
        InvalidRequestError: It is empty, or asks for an impossible number of passages.
    """
    if not request.question.strip():
        raise InvalidRequestError("The message is empty.")
    if not 1 <= request.top_k <= most_top_k:
        raise InvalidRequestError(f"top_k must be 1 to {most_top_k}.")
    if not 1 <= request.rerank_top_k <= most_top_k:
        raise InvalidRequestError(f"rerank_top_k must be 1 to {most_top_k}.")


def failed_answer(request: ChatRequest, error: FleetError) -> ChatResponse:
    """Return the answer to a question that could not be answered."""
    return ChatResponse(
        user_id=request.user_id,
        success=False,
        error=error.message,
        request_id=request.request_id,
        session_id=request.session_id,
    )


def source_names(hits: Sequence[Hit]) -> list[str]:
    """Return how the sources are called, in the order of their citation numbers."""
    return [hit.title or hit.source_url or hit.document_id for hit in hits]


def greeting(request: GreetingRequest) -> GreetingResponse:
    """Return the line of welcome for a user."""
    name = (request.nickname or request.username).strip()
    hello = f"Hello {name}! " if name else "Hello! "
    extra = "Thank you for being a premium member. " if request.premium else ""
    return GreetingResponse(user_id=request.user_id, greeting=f"{hello}{extra}What would you like to know?")
