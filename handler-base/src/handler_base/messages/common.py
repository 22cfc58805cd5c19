"""Messages that several services share."""

from __future__ import annotations

from handler_base.messages._base import Message
from handler_base.messages._bounds import Int32

__all__ = ["CancelRequest", "DocumentSource", "ErrorResponse", "Usage"]


class ErrorResponse(Message):
    """The answer to what could not even be read; `type` is one of the closed list."""

    error: bool = True
    message: str = ""
    type: str = "internal"


class CancelRequest(Message):
    """Stops the running answer to `request_id`."""

    request_id: str = ""
    reason: str = ""


class DocumentSource(Message):
    """A passage an answer rests on; `score` is higher for a better match."""

    text: str = ""
    score: float = 0.0
    document_id: str = ""
    chunk_id: str = ""
    title: str = ""
    source_url: str = ""
    position: Int32 = 0
    page: Int32 = 0


class Usage(Message):
    """Tokens as the model server counted them."""

    prompt_tokens: Int32 = 0
    completion_tokens: Int32 = 0
    total_tokens: Int32 = 0
