"""The smallest service on the fleet's own base, everything on: validation, tracing, metrics, admission, deadlines.

``python -m deploy.bench.echo_service``, configured as every service.
"""

from __future__ import annotations

from typing import ClassVar

from handler_base.config import Settings
from handler_base.handler import Context, Handler, endpoint, run
from handler_base.messages import ChatRequest, ChatResponse
from handler_base.messages.subjects import CHAT_REQUEST

__all__ = ["EchoService"]


class EchoService(Handler[Settings]):
    """Answers with the question."""

    name: ClassVar[str] = "bench-echo"
    description: ClassVar[str] = "Says what it hears."

    @endpoint(core=(CHAT_REQUEST,))
    async def echo(self, request: ChatRequest, context: Context) -> ChatResponse:
        """Answer with the question."""
        return ChatResponse(
            user_id=request.user_id,
            request_id=context.request_id,
            response=request.message,
            response_text=request.message,
        )


if __name__ == "__main__":
    run(EchoService, Settings)
