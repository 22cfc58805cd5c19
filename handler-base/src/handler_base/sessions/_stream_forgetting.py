"""A user's messages taken out of the streams."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Final

from handler_base.errors import FleetError, InternalError, NotFoundError, UpstreamUnavailableError
from handler_base.messages.streams import (
    AI_CHAT_STREAM,
    AI_DEAD_LETTER,
    AI_EVENTS,
    AI_VOICE_STREAM,
    COMPANIONS_CHAT,
    COMPANIONS_LOGINS,
)
from handler_base.messages.subjects import CHAT_RESPONSE_STREAM, STT_TRANSCRIPTION, check_token
from handler_base.nats_client import ApiError, JetStreamApi, NatsConnection, StreamMessage, StreamReader
from handler_base.nats_client.jetstream_api import MESSAGE_NOT_FOUND, STREAM_NOT_FOUND
from handler_base.sessions._traces import Trace, dead_letter_trace, names_user, trace

__all__ = ["StreamForgetting"]

_AT_ONCE: Final = 16
"""Deletions under way; the server does one after the other, so more would only hold up everybody else's."""

_OWN: Final = (
    (COMPANIONS_LOGINS.name, "ai.chat.user.{}.>"),
    (COMPANIONS_CHAT.name, "ai.chat.user.{}.>"),
    (AI_VOICE_STREAM.name, "ai.voice.user.{}.>"),
)
_VOICE_ANSWERS: Final = "ai.voice.response.>"


class StreamForgetting:
    """Finds what streams hold of one user and erases it.

    What was on disk is overwritten there, message by message: a purge would be one call, and leave the bytes in the
    stream's file. The events go last: they tell which answers are the user's, so that an attempt that was cut short
    can be made again.

    Args:
        connection: To the server.
        user_id: Whose messages.
        requests: Ids of questions that are known to be the user's.
        sessions: Ids of conversations that are known to be the user's.

    Attributes:
        removed: Messages taken away, by stream.
    """

    def __init__(
        self, connection: NatsConnection, user_id: str, *, requests: Iterable[str], sessions: Iterable[str]
    ) -> None:
        self._connection = connection
        self._user_id = check_token("user_id", user_id)
        self._api = JetStreamApi(connection)
        self._requests = set(requests)
        self._sessions = set(sessions)
        self._read_up_to: dict[tuple[str, str], int] = defaultdict(int)
        self._found: dict[str, set[int]] = defaultdict(set)
        self._undecided: dict[str, list[tuple[int, Trace]]] = defaultdict(list)
        self.removed: Counter[str] = Counter()

    async def run(self) -> None:
        """Erase what is there now; called again, what came since.

        Raises:
            UpstreamUnavailableError: JetStream is away.
            DeadlineExceededError: It does not answer.
            PermissionDeniedError: The server forbids it.
            InternalError: A stream does not let its messages be deleted.
        """
        await self._find_own()
        await self._find_by_trace(AI_DEAD_LETTER.name)
        await self._find_by_trace(AI_EVENTS.name)
        self._decide(AI_DEAD_LETTER.name)
        self._decide(AI_EVENTS.name)
        await self._purge_streamed_answers()
        await self._find_voice()
        for stream in (*(name for name, _ in _OWN), AI_DEAD_LETTER.name, AI_EVENTS.name):
            await self._erase(stream)

    async def _find_own(self) -> None:
        """Find what the user sent, and was sent, on subjects of their own."""
        for stream, pattern in _OWN:
            async for message in self._read(stream, pattern.format(self._user_id)):
                self._found[stream].add(message.sequence)
                self._note(trace(message.subject, message.headers, message.data))

    async def _find_by_trace(self, stream: str) -> None:
        """Find what names the user, and keep in mind what names nobody."""
        async for message in self._read(stream):
            if stream == AI_DEAD_LETTER.name:
                told = dead_letter_trace(message.headers, message.data)
            else:
                told = trace(message.subject, message.headers, message.data)
            if self._user_id in told.users:
                self._note(told)
            elif told.users:
                continue
            elif told.readable or not names_user(self._user_id, message.headers, message.data):
                self._undecided[stream].append((message.sequence, told))
                continue
            self._found[stream].add(message.sequence)

    async def _find_voice(self) -> None:
        """Find the spoken answers to the user's questions, and what was understood in their conversations."""
        stream = AI_VOICE_STREAM.name
        # Live answers have the session where others have the question.
        for subject in await self._answers(stream, _VOICE_ANSWERS, self._requests | self._sessions):
            async for message in self._read(stream, subject, headers_only=True):
                self._found[stream].add(message.sequence)
        async for message in self._read(stream, STT_TRANSCRIPTION.pattern):
            told = trace(message.subject, message.headers, message.data)
            if told.speaker == self._user_id:
                self._found[stream].add(message.sequence)
            else:
                self._undecided[stream].append((message.sequence, told))
        self._decide(stream)

    async def _purge_streamed_answers(self) -> None:
        """Take away what is in memory only, where a purge leaves nothing."""
        stream = AI_CHAT_STREAM.name
        for subject in await self._answers(stream, CHAT_RESPONSE_STREAM.pattern, self._requests):
            purged = await self._api.purge(stream, subject)
            if isinstance(purged, ApiError):
                raise _refused(stream, purged)
            self.removed[stream] += purged

    async def _answers(self, stream: str, pattern: str, known: set[str]) -> list[str]:
        """Return the subjects whose last token is one that is known as the user's."""
        subjects = await self._api.subjects(stream, pattern)
        if isinstance(subjects, ApiError):
            if subjects.err_code == STREAM_NOT_FOUND:
                return []
            raise UpstreamUnavailableError(f"Stream {stream} cannot be read right now.")
        return [subject for subject in subjects if subject.rpartition(".")[2] in known]

    def _note(self, told: Trace) -> None:
        self._requests |= {told.request_id} - {""}
        self._sessions |= {told.session_id} - {""}

    def _decide(self, stream: str) -> None:
        """Find, of what names nobody, what belongs to a question or conversation of the user."""
        rest = []
        for sequence, told in self._undecided[stream]:
            if told.request_id in self._requests or told.session_id in self._sessions:
                self._found[stream].add(sequence)
            else:
                rest.append((sequence, told))
        self._undecided[stream] = rest

    async def _read(
        self, stream: str, pattern: str = ">", *, headers_only: bool = False
    ) -> AsyncIterator[StreamMessage]:
        """Yield what a stream holds on a subject since the last time."""
        reader = StreamReader(self._connection, stream, subjects=(pattern,), headers_only=headers_only)
        at = (stream, pattern)
        try:
            async with aclosing(reader.read(start=self._read_up_to[at] + 1)) as messages:
                async for message in messages:
                    yield message
                    self._read_up_to[at] = message.sequence
        except NotFoundError:
            return  # streams are made with the first service that needs them

    async def _erase(self, stream: str) -> None:
        sequences = sorted(self._found[stream])
        for start in range(0, len(sequences), _AT_ONCE):
            await asyncio.gather(*(self._erase_one(stream, one) for one in sequences[start : start + _AT_ONCE]))

    async def _erase_one(self, stream: str, sequence: int) -> None:
        erased = await self._api.delete_message(stream, sequence, erase=True)
        if isinstance(erased, ApiError):
            # The server has one error for all that can go wrong with it.
            found = await self._api.get_message(stream, sequence)
            if not isinstance(found, ApiError) or found.err_code != MESSAGE_NOT_FOUND:
                raise _refused(stream, erased)
        else:
            self.removed[stream] += 1
        self._found[stream].discard(sequence)


def _refused(stream: str, error: ApiError) -> FleetError:
    if error.code == 503:
        return UpstreamUnavailableError(f"Stream {stream} is not available right now.")
    return InternalError(f"Messages of stream {stream} cannot be deleted: {error.description}.")
