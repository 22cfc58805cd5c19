"""Chat completions over HTTP, in OpenAI's shape, streamed or in one piece."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from deploy.local.inference.bodies import boolean, integer, read_object
from deploy.local.inference.conversation import Message, read_messages, understand
from deploy.local.inference.extractive import ExtractiveModel
from handler_base.errors import InvalidRequestError

__all__ = ["CHAT_MODEL", "FINGERPRINT", "ChatRoutes"]

CHAT_MODEL: Final = "local-extractive"
FINGERPRINT: Final = "extractive-stand-in"
_MESSAGE_TOKENS: Final = 4
"""What a chat template adds to a message, for the usage figures."""


@dataclass(frozen=True, slots=True)
class _Completion:
    words: list[str]
    finish_reason: str
    usage: dict[str, int]
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def envelope(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": CHAT_MODEL,
            "system_fingerprint": FINGERPRINT,
        }


class ChatRoutes:
    """The endpoints of the extractive model.

    Args:
        model: Makes the answers.
        count_tokens: Tokens of a text, for usage and `max_tokens`.
        words_per_second: Pace of a streamed answer; 0 for no pause.
    """

    def __init__(self, model: ExtractiveModel, count_tokens: Callable[[str], int], *, words_per_second: float) -> None:
        self._model = model
        self._count_tokens = count_tokens
        self._pause = 1 / words_per_second if words_per_second > 0 else 0.0

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this family."""
        return [web.post("/v1/chat/completions", self._completions)]

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await read_object(request)
        messages = read_messages(body.get("messages"))
        streamed = boolean(body, "stream", default=False)
        options = {} if body.get("stream_options") is None else body["stream_options"]
        if not isinstance(options, dict):
            raise InvalidRequestError("`stream_options` must be an object.")
        with_usage = boolean(options, "include_usage", default=False)
        limit = integer(body, "max_completion_tokens", default=integer(body, "max_tokens", default=1 << 20))
        answer = await self._model.answer(await asyncio.to_thread(understand, messages))
        completion = await asyncio.to_thread(self._complete, messages, answer, limit)
        if streamed:
            return await self._stream(request, completion, with_usage=with_usage)
        return web.json_response(_whole(completion))

    def _complete(self, messages: list[Message], answer: str, limit: int) -> _Completion:
        words: list[str] = []
        used = 0
        reason = "stop"
        for word in answer.split(" "):
            cost = self._count_tokens(word)
            if used + cost > limit:
                reason = "length"
                break
            words.append(f" {word}" if words else word)
            used += cost
        prompt = sum(self._count_tokens(message.text) + _MESSAGE_TOKENS for message in messages)
        usage = {"prompt_tokens": prompt, "completion_tokens": used, "total_tokens": prompt + used}
        return _Completion(words, reason, usage)

    async def _stream(self, request: web.Request, completion: _Completion, *, with_usage: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        extra = {"usage": None} if with_usage else {}

        async def send(delta: dict[str, str], finish_reason: str | None = None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
            await _send(response, {**completion.envelope("chat.completion.chunk"), "choices": [choice], **extra})

        try:
            await send({"role": "assistant", "content": ""})
            for word in completion.words:
                await send({"content": word})
                await asyncio.sleep(self._pause)
            await send({}, completion.finish_reason)
            if with_usage:
                last = {**completion.envelope("chat.completion.chunk"), "choices": [], "usage": completion.usage}
                await _send(response, last)
            await response.write(b"data: [DONE]\n\n")
            await response.write_eof()
        except ConnectionResetError:
            # The reader closed the stream: that is how an answer is cancelled.
            response.force_close()
        return response


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")


def _whole(completion: _Completion) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(completion.words)}
    choice = {"index": 0, "message": message, "finish_reason": completion.finish_reason}
    return {**completion.envelope("chat.completion"), "choices": [choice], "usage": completion.usage}
