from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from handler_base.errors import FleetError
from handler_base.messages import ChatRequest, ChatResponse, decode, encode
from handler_base.messages.subjects import CHAT_REQUEST, CHAT_USER_MESSAGE
from handler_base.nats_client import Msg, NatsConnection
from handler_base.testing.service_process import ServiceProcess

StartReplica = Callable[..., Awaitable[ServiceProcess]]


@dataclass
class Ledger:
    """What was asked and what was answered: lost and doubled are set arithmetic."""

    client: NatsConnection
    asked: set[str] = field(default_factory=set)
    answers: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def lost(self) -> set[str]:
        return self.asked - set(self.answers)

    @property
    def doubled(self) -> set[str]:
        return {answer for answer in self.answers if self.answers.count(answer) > 1}

    async def listen(self) -> None:
        await self.client.subscribe("ai.chat.response.*", self._note)
        await self.client.flush()

    def _note(self, msg: Msg) -> None:
        answer = decode(ChatResponse, msg.data)
        self.answers.append(answer.request_id)
        if not answer.success:
            self.errors[answer.request_id] = answer.error

    async def put(self, request_id: str) -> None:
        """Ask durably; counts as asked once the stream has it."""
        request = ChatRequest(request_id=request_id, message=request_id, enable_rag=False, enable_streaming=False)
        await self.client.jetstream_publish(
            CHAT_USER_MESSAGE.format(user_id="ann"),
            encode(request),
            message_id=request_id,
            timeout=timedelta(seconds=9),
        )
        self.asked.add(request_id)

    async def ask(self, request_id: str) -> bool:
        """Ask by request-reply; tell whether a good answer came."""
        request = ChatRequest(request_id=request_id, message="hi", enable_rag=False)
        try:
            reply = await self.client.request(CHAT_REQUEST.template, encode(request), timeout=timedelta(seconds=15))
        except FleetError as error:
            self.errors[request_id] = error.message
            return False
        answer = decode(ChatResponse, reply.data)
        if not answer.success:
            self.errors[request_id] = answer.error
        return answer.success
