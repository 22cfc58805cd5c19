"""A fake chat server that speaks OpenAI's interface or Ollama's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from handler_base.testing.inference.script import Script
from handler_base.testing.inference.server import FakeServer, Handler

__all__ = ["FakeLLM", "LLMScript"]

_TOKENS = ("The", " answer", " is", " in", " the", " documents", " [1].")


@dataclass(kw_only=True)
class LLMScript(Script):
    """What a fake chat server says.

    Attributes:
        tokens: The pieces of the answer.
        answer: Makes the pieces from the messages of the request, in place of `tokens`.
        models: Names it lists.
        finish_reason: Why it stops.
        usage: Whether it counts tokens.
        reasoning: Pieces of reasoning before the answer, in a field of their own.
        keep_alives: Whether comments, empty `choices` and null contents come in between.
        line_end: What ends a line of the stream.
        streams: Whether it streams at all; else it answers a request for a stream in one piece.
        strict_model: Whether it answers 404 for a model it does not list.
        refused_field: A field of the request that it answers 400 for; empty for none.
        raw: Sent as they are in place of the events of a stream; empty: the answer is made of `tokens`.
        whole: Sent as it is in place of an answer in one piece.
    """

    tokens: Sequence[str] = _TOKENS
    answer: Callable[[list[dict[str, str]]], Sequence[str]] | None = None
    models: list[str] = field(default_factory=lambda: ["fake-model"])
    finish_reason: str = "stop"
    usage: bool = True
    reasoning: Sequence[str] = ()
    keep_alives: bool = False
    line_end: str = "\n"
    streams: bool = True
    strict_model: bool = False
    refused_field: str = ""
    raw: Sequence[bytes] = ()
    whole: bytes = b""


class FakeLLM(FakeServer):
    """A fake chat server.

    Args:
        script: What it says and how.
        dialect: Whose interface it speaks.
        prefix: Put before all paths, such as ``/openai`` for KServe.
        paths: The path of chat completions, where it is another.
    """

    script: LLMScript

    def __init__(
        self,
        script: LLMScript | None = None,
        *,
        dialect: Literal["openai", "ollama"] = "openai",
        prefix: str = "",
        path: str = "/v1/chat/completions",
    ) -> None:
        super().__init__(script or LLMScript(), prefix=prefix)
        self._dialect = dialect
        self._path = path

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the handler of each path."""
        if self._dialect == "ollama":
            return {("POST", "/api/chat"): self._ollama, ("GET", "/api/tags"): self._tags}
        return {("POST", self._path): self._openai, ("GET", "/v1/models"): self._models}

    @property
    def text(self) -> str:
        """The scripted answer, whole."""
        return "".join(self.script.tokens)

    async def _models(self, _request: web.Request) -> web.StreamResponse:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "fake"} for name in self.script.models]
        return web.json_response({"object": "list", "data": data})

    async def _tags(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"models": [{"name": name, "model": name} for name in self.script.models]})

    def _pieces(self, body: dict[str, Any]) -> Sequence[str]:
        return self.script.answer(body["messages"]) if self.script.answer is not None else self.script.tokens

    def _usage(self, body: dict[str, Any], pieces: Sequence[str]) -> dict[str, int]:
        read = sum(len(message["content"].split()) for message in body["messages"])
        return {"prompt_tokens": read, "completion_tokens": len(pieces), "total_tokens": read + len(pieces)}

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        body = self.recorded(request).json
        if self.script.strict_model and body.get("model") not in self.script.models:
            error = {"message": "The model does not exist.", "type": "NotFoundError", "code": 404}
            return web.json_response({"error": error}, status=404)
        if self.script.refused_field in body:
            error = {"message": "Unsupported parameter.", "type": "invalid_request_error", "code": 400}
            return web.json_response({"error": error}, status=400)
        pieces = self._pieces(body)
        model = body.get("model", "")
        if not body.get("stream") or not self.script.streams:
            message = {"role": "assistant", "content": "".join(pieces), "refusal": None}
            choice = {"index": 0, "message": message, "finish_reason": self.script.finish_reason, "logprobs": None}
            answer = {
                "id": "chatcmpl-fake",
                "object": "chat.completion",
                "created": 0,
                "model": model,
                "choices": [choice],
                **({"usage": self._usage(body, pieces)} if self.script.usage else {}),
            }
            return await self._whole_answer(request, answer)
        if self.script.raw:
            return await self.stream(request, self.script.raw, "text/event-stream")
        include = body.get("stream_options", {}).get("include_usage", False) and self.script.usage
        events = [self._chunk(model, {"content": piece}) for piece in pieces]
        events[:0] = [self._chunk(model, {"reasoning_content": piece}) for piece in self.script.reasoning]
        if self.script.keep_alives:
            events = [part for event in events for part in (*self._keep_alives(model), event)]
        if events:
            events[0] = self._chunk(model, {"role": "assistant", "content": ""}) + events[0]
        tail = [self._chunk(model, {}, self.script.finish_reason)]
        if include:
            tail.append(self._event(model, [], self._usage(body, pieces)))
        return await self.stream(
            request,
            events,
            "text/event-stream",
            tail=[*tail, self._lines("data: [DONE]")],
            error=self._lines('data: {"error":{"message":"scripted failure","type":"server_error","code":500}}'),
        )

    def _chunk(self, model: str, delta: dict[str, str], finish: str | None = None) -> bytes:
        return self._event(model, [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], None)

    def _event(self, model: str, choices: list[dict[str, Any]], usage: dict[str, int] | None) -> bytes:
        event = {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": model,
            "choices": choices,
            "usage": usage,
        }
        return self._lines(f"data: {json.dumps(event)}")

    def _keep_alives(self, model: str) -> list[bytes]:
        nothing = self._event(model, [{"index": 0, "delta": {"content": None}, "finish_reason": None}], None)
        return [self._lines(": keep-alive"), self._event(model, [], None), nothing]

    def _lines(self, line: str) -> bytes:
        return f"{line}{self.script.line_end}{self.script.line_end}".encode()

    async def _whole_answer(self, request: web.Request, answer: dict[str, Any]) -> web.StreamResponse:
        if self.script.whole:
            return await self.whole(request, self.script.whole, "application/json")
        return await self.json(request, answer)

    async def _ollama(self, request: web.Request) -> web.StreamResponse:
        body = self.recorded(request).json
        pieces = self._pieces(body)
        usage = self._usage(body, pieces)
        last = {
            "model": body["model"],
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "done_reason": self.script.finish_reason,
            "prompt_eval_count": usage["prompt_tokens"],
            "eval_count": usage["completion_tokens"],
            "total_duration": 1,
        }
        if not body.get("stream", True):
            last["message"] = {"role": "assistant", "content": "".join(pieces)}
            return await self._whole_answer(request, last)
        if self.script.raw:
            return await self.stream(request, self.script.raw, "application/x-ndjson")
        thinking = [{"role": "assistant", "content": "", "thinking": piece} for piece in self.script.reasoning]
        messages = [*thinking, *({"role": "assistant", "content": piece} for piece in pieces)]
        lines = [
            json.dumps({"model": body["model"], "message": message, "done": False}).encode() + b"\n"
            for message in messages
        ]
        return await self.stream(
            request,
            lines,
            "application/x-ndjson",
            tail=[json.dumps(last).encode() + b"\n"],
            error=b'{"error":"scripted failure"}\n',
        )
