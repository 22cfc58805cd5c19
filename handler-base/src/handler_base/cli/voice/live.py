"""A live session over NATS: sound out, and all that comes of it in."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from handler_base.cli.asking import encoding_of, error_of
from handler_base.cli.voice.recordings import read_samples
from handler_base.cli.voice.sound import MICROPHONE_RATE, microphone
from handler_base.errors import DeadlineExceededError, FleetError, error_for_code
from handler_base.messages import STTStreamMessage, STTTranscription, decode, encode
from handler_base.messages.subjects import STT_STREAM, STT_TRANSCRIPTION
from handler_base.nats_client import Msg, NatsConnection, Subscription, headers

__all__ = ["MICROPHONE", "Heard", "LiveSession", "Source", "heard_in", "heard_json", "new_session", "open_source"]

MICROPHONE: Final = "mic"
"""Names the microphone in place of a file."""

_PCM: Final = 1
_INTERRUPT: Final = "STTInterrupt"


@dataclass(frozen=True, slots=True)
class Source:
    """Where sound comes from.

    Attributes:
        sample_rate: Of the pieces.
        pieces: Raw 16 bit mono samples, each when it is heard.
    """

    sample_rate: int
    pieces: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Heard:
    """Something that was told of a session's sound.

    Attributes:
        kind: What it is.
        transcription: With what was understood; empty for an interrupt.
        error: What went wrong, or None.
    """

    kind: Literal["partial", "final", "interrupt", "error", "ended"]
    transcription: STTTranscription
    error: FleetError | None = None


class LiveSession:
    """One session; use it with ``async with``.

    Args:
        connection: To NATS.
        session_id: Its id.
        sample_rate: Of the sound.
        language: Spoken; empty: the service's own.
        speaker_id: Who speaks; empty: nobody in particular.
        also: More subjects of the session to hear.
    """

    def __init__(
        self,
        connection: NatsConnection,
        session_id: str,
        *,
        sample_rate: int,
        language: str = "",
        speaker_id: str = "",
        also: Sequence[str] = (),
    ) -> None:
        self._connection = connection
        self._start = STTStreamMessage(
            type="start",
            sample_rate=sample_rate,
            channels=1,
            bit_depth=16,
            audio_encoding=_PCM,
            language=language,
            speaker_id=speaker_id,
        )
        self._subject = STT_STREAM.format(session_id=session_id)
        self._inbox = connection.new_inbox()
        self._subjects = (STT_TRANSCRIPTION.format(session_id=session_id), *also, self._inbox)
        self._arrived: asyncio.Queue[Msg | FleetError] = asyncio.Queue()
        self._subscriptions: list[Subscription] = []
        self._chunks = 0
        self._over = False

    async def __aenter__(self) -> Self:
        for subject in self._subjects:
            self._subscriptions.append(await self._connection.subscribe(subject, self._arrived.put_nowait))
        await self._connection.flush()
        # Nobody answers this in the inbox, but for the server where nobody listens.
        await self._send(self._start, reply=self._inbox)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._over:
            await self._send(STTStreamMessage(type="end"))
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            await subscription.unsubscribe()

    async def speak(self, pieces: AsyncIterator[bytes], patience: timedelta) -> None:
        """Send sound, piece by piece, and say when it is over; what goes wrong, `arrivals` raises.

        Args:
            pieces: Raw 16 bit mono samples, each when it is heard.
            patience: See `end`.
        """
        try:
            async for samples in pieces:
                self._chunks += 1
                await self._send(STTStreamMessage(type="chunk", audio=samples, sequence=self._chunks))
            await self.end(patience)
        except FleetError as error:
            self.fail(error)

    async def end(self, patience: timedelta) -> None:
        """Say that no more comes; the rest is still told.

        Args:
            patience: How long that may take.
        """
        if not self._over:
            self._over = True
            await self._send(STTStreamMessage(type="end"))
            late = DeadlineExceededError("The end of the session was not told in time.")
            asyncio.get_running_loop().call_later(patience.total_seconds(), self.fail, late)

    def fail(self, error: FleetError) -> None:
        """Have `arrivals` raise an error after what has come."""
        self._arrived.put_nowait(error)

    async def arrivals(self) -> AsyncGenerator[Msg]:
        """Yield what comes, for as long as it is asked for.

        Raises:
            UpstreamUnavailableError: Nobody listens.
            DeadlineExceededError: The end was not told in time.
            FleetError: What `fail` was given.
        """
        while True:
            msg = await self._arrived.get()
            if isinstance(msg, FleetError):
                raise msg
            error_of(msg)
            yield msg

    async def _send(self, message: STTStreamMessage, *, reply: str = "") -> None:
        fields: dict[str, headers.HeaderValue] = {headers.MESSAGE_TYPE: message.schema_name}
        await self._connection.publish(self._subject, encode(message), headers=fields, reply=reply)


def heard_in(msg: Msg) -> Heard:
    """Return what a message on a session's transcription subject tells.

    Raises:
        InvalidRequestError: It is no message of the contract.
    """
    if (headers.header(msg.headers, headers.MESSAGE_TYPE) or "").endswith(_INTERRUPT):
        return Heard("interrupt", STTTranscription())
    told = decode(STTTranscription, msg.data, encoding_of(msg))
    error = error_of(msg)
    if error is None and told.error_type:
        error = error_for_code(500, "")
    if told.is_final:
        return Heard("final", told, error)
    if told.is_partial:
        return Heard("partial", told, error)
    if told.state == "ended":
        return Heard("ended", told, error)
    return Heard("error", told, error)


def heard_json(heard: Heard, confirmed: str) -> dict[str, object]:
    """Return what was told as what JSON can hold.

    Args:
        heard: What was told.
        confirmed: For a partial, the words that stay.
    """
    told = heard.transcription
    shown: dict[str, object] = {"kind": heard.kind}
    if heard.kind in {"partial", "final"}:
        shown |= {"number": told.sequence, "transcript": told.transcript, "audio_ms": told.audio_ms}
    if heard.kind == "partial":
        shown["confirmed"] = confirmed
    if heard.kind == "ended":
        shown |= {"utterances": told.sequence, "audio_ms": told.audio_ms}
    if told.speaker_id:
        shown["speaker"] = told.speaker_id
    if heard.error is not None:
        shown |= {"error": heard.error.message, "error_type": heard.error.type.value}
    return shown


def new_session(prefix: str) -> str:
    """Return an id that no other session has."""
    return f"{prefix}-{secrets.token_hex(6)}"


@asynccontextmanager
async def open_source(name: str) -> AsyncIterator[Source]:
    """Yield what a file, or the microphone, gives.

    Args:
        name: Path of a file, or `MICROPHONE`.

    Raises:
        NotFoundError: There is no microphone.
        typer.Exit: The file cannot be read.
    """
    if name == MICROPHONE:
        async with microphone() as pieces:
            yield Source(MICROPHONE_RATE, pieces)
        return
    samples = await asyncio.to_thread(read_samples, Path(name))
    yield Source(samples.sample_rate, samples.at_its_pace())
