"""Answers to triggers that were asked as questions.

The stream keeps a trigger without the inbox of who asked. So every replica listens on the subject as well and notes
the inboxes; the one that takes the trigger from the stream has noted it too, and answers. What cannot be read is
answered by one of them at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import OrderedDict
from datetime import timedelta
from typing import Final, TypeVar

import msgspec

from handler_base.errors import FleetError, PayloadTooLargeError
from handler_base.messages import Encoding, PipelineStatus, PipelineTrigger, decode, detect, encode
from handler_base.messages.subjects import PIPELINE_TRIGGER
from handler_base.nats_client import Msg, NatsConnection, Subscription
from handler_base.nats_client import headers as names
from handler_base.nats_client.headers import HeaderValue, header

__all__ = ["Inboxes"]

_INBOXES: Final = ("_INBOX.", "_INBOX_")
"""How inboxes begin; who may log in with a name may have a prefix of that name."""

_KEEP: Final = 60.0
"""Seconds an inbox is remembered: another replica may take the trigger."""

_EARLY: Final = 1.0
"""Seconds in which a question may come after its trigger was taken from the stream."""

_MOST: Final = 4096

V = TypeVar("V")


class _Question(msgspec.Struct):
    reply: str
    encoding: Encoding
    until: float


class _Answer(msgspec.Struct):
    status: PipelineStatus
    until: float


class Inboxes:
    """Notes who asked.

    Args:
        connection: To the server.
        group: Queue group of the replicas.
    """

    def __init__(self, connection: NatsConnection, group: str) -> None:
        self._connection = connection
        self._group = group
        self._subscriptions: list[Subscription] = []
        self._asked: OrderedDict[str, list[_Question]] = OrderedDict()
        self._answered: OrderedDict[str, _Answer] = OrderedDict()

    async def start(self) -> None:
        """Listen."""
        listen = self._connection.listen
        self._subscriptions = [
            listen(PIPELINE_TRIGGER.pattern, self._note),
            listen(PIPELINE_TRIGGER.pattern, self._refuse, queue=self._group),
        ]

    async def stop(self, budget: timedelta) -> None:
        """Listen no more."""
        for subscription in self._subscriptions:
            await subscription.drain(timeout=budget)

    def answer(self, request: PipelineTrigger, status: PipelineStatus, *, made_id: bool) -> None:
        """Answer whoever asked with a trigger.

        Args:
            request: The trigger.
            status: The answer.
            made_id: Whether it came without an id.
        """
        key = _key(request, with_id=not made_id)
        questions = self._asked.pop(key, None)
        if questions is None:
            _remember(self._answered, key, _Answer(status, time.monotonic() + _EARLY))
            return
        for question in questions:
            if question.until > time.monotonic():
                self._reply(question, status)

    def _note(self, msg: Msg) -> None:
        if not msg.reply.startswith(_INBOXES):
            return
        try:
            trigger, encoding = _read(msg)
        except FleetError:
            return
        key = _key(trigger, with_id=bool(trigger.request_id))
        question = _Question(msg.reply, encoding, time.monotonic() + _KEEP)
        early = self._answered.pop(key, None)
        if early is not None and early.until > time.monotonic():
            self._reply(question, early.status)
            return
        noted = [each for each in self._asked.get(key, []) if each.until > time.monotonic()]
        _remember(self._asked, key, [*noted[-16:], question])

    def _refuse(self, msg: Msg) -> None:
        """Answer what cannot be read; the stream's consumer keeps it aside."""
        if not msg.reply.startswith(_INBOXES):
            return
        try:
            _read(msg)
        except FleetError as error:
            status = PipelineStatus(status="error", error=error.message)
            self._reply(_Question(msg.reply, Encoding.MSGPACK, 0.0), status, error)

    def _reply(self, question: _Question, status: PipelineStatus, error: FleetError | None = None) -> None:
        fields: dict[str, HeaderValue] = {
            names.CONTENT_TYPE: question.encoding.value,
            names.MESSAGE_TYPE: PipelineStatus.schema_name,
        }
        if error is not None:
            fields |= {names.ERROR: error.message, names.ERROR_CODE: str(error.code)}
        with contextlib.suppress(FleetError):  # the link is away, and who asked has the status subject
            self._connection.send(question.reply, encode(status, question.encoding), headers=fields)


def _read(msg: Msg) -> tuple[PipelineTrigger, Encoding]:
    if len(msg.data) > PIPELINE_TRIGGER.max_bytes:
        raise PayloadTooLargeError
    encoding = detect(msg.data, header(msg.headers, names.CONTENT_TYPE))
    return decode(PipelineTrigger, msg.data, encoding), encoding


def _key(trigger: PipelineTrigger, *, with_id: bool) -> str:
    if with_id:
        return trigger.request_id
    told = msgspec.json.encode([trigger.pipeline, sorted(trigger.parameters.items())])
    return f"#{hashlib.sha256(told).hexdigest()}"


def _remember(memory: OrderedDict[str, V], key: str, value: V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > _MOST:
        memory.popitem(last=False)
