"""A text spoken over NATS: its sound in chunks, or in one piece, then the last status."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from handler_base.cli.asking import Asking, encoding_of, error_of, told_error
from handler_base.cli.ordering import InOrder
from handler_base.errors import FleetError
from handler_base.messages import TTSAudioChunk, TTSFullResponse, TTSRequest, decode
from handler_base.messages.subjects import TTS_AUDIO, TTS_CANCEL, TTS_REQUEST
from handler_base.nats_client import Msg, NatsConnection, headers

__all__ = ["Ended", "SpokenText"]


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a speech.

    Attributes:
        error: Why it broke off, or None.
    """

    error: FleetError | None


class SpokenText(Asking):
    """One text to be spoken, in a session of its own; use it with ``async with``.

    Args:
        connection: To NATS.
        request: What is said, and how.
        timeout: Time for all of it.

    Attributes:
        session_id: Where it is heard.
    """

    def __init__(self, connection: NatsConnection, request: TTSRequest, *, timeout: timedelta) -> None:
        self.session_id = f"cli-{secrets.token_hex(6)}"
        super().__init__(
            connection,
            request,
            request_id=request.request_id,
            subject=TTS_REQUEST.format(session_id=self.session_id),
            stream=TTS_AUDIO.format(session_id=self.session_id),
            cancel=TTS_CANCEL.format(session_id=self.session_id),
            timeout=timeout,
        )

    async def events(self) -> AsyncIterator[TTSAudioChunk | TTSFullResponse | Ended]:
        """Yield the sound in order, and last its end.

        Raises:
            UpstreamUnavailableError: Nobody listens.
            DeadlineExceededError: It did not end in time.
            InvalidRequestError: What came is no message of the contract.
        """
        order = InOrder[TTSAudioChunk]()
        async for msg, final in self.arrivals():
            if final:
                yield Ended(told_error(msg) or error_of(msg))
            elif _is_whole(msg):
                yield decode(TTSFullResponse, msg.data, encoding_of(msg))
            else:
                chunk = decode(TTSAudioChunk, msg.data, encoding_of(msg))
                for piece in order.take(chunk.chunk_index, chunk):
                    yield piece


def _is_whole(msg: Msg) -> bool:
    return headers.header(msg.headers, headers.MESSAGE_TYPE) == TTSFullResponse.schema_name
