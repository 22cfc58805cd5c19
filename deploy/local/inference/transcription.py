"""Transcription over HTTP: OpenAI's `/v1/audio/transcriptions`, in one piece or streamed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import BodyPartReader, MultipartReader, web

from deploy.local.inference.transcription_audio import LONGEST
from deploy.local.inference.transcription_pool import Recognizer, Transcript
from handler_base.errors import InvalidRequestError, PayloadTooLargeError, UpstreamUnavailableError

if TYPE_CHECKING:
    from deploy.local.inference.transcription_decoder import Heard

__all__ = ["TranscriptionRoutes"]

_MOST_BYTES: Final = 25 * 1024 * 1024
_MOST_FIELD: Final = 64 * 1024
_MOST_PARTS: Final = 32
_FORMATS: Final = ("json", "text", "verbose_json")
_ENGLISH: Final = ("", "auto", "en", "english")


@dataclass(slots=True)
class _Form:
    recording: bytes | None = None
    fields: dict[str, str] = field(default_factory=dict)


class TranscriptionRoutes:
    """The endpoint of the recogniser.

    Args:
        recognizer: What hears; None: nothing can.
    """

    def __init__(self, recognizer: Recognizer | None) -> None:
        self._recognizer = recognizer

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this family."""
        return [web.post("/v1/audio/transcriptions", self._transcriptions)]

    async def _transcriptions(self, request: web.Request) -> web.StreamResponse:
        if self._recognizer is None:
            raise UpstreamUnavailableError("Nothing can transcribe here: pocketsphinx is not installed.")
        form = await _read_form(request)
        if form.recording is None:
            raise InvalidRequestError("The form has no `file`.")
        shape = form.fields.get("response_format") or "json"
        if shape not in _FORMATS:
            raise InvalidRequestError(f"`response_format` must be one of {', '.join(_FORMATS)}.")
        language = form.fields.get("language", "").lower().replace("_", "-").partition("-")[0]
        if language not in _ENGLISH:
            raise InvalidRequestError("`language` must be en: the local recogniser knows no other.")
        if form.fields.get("stream", "").lower() in {"true", "1"}:
            return await _stream(request, self._recognizer, form.recording)
        transcript = await self._recognizer.transcribe(form.recording)
        if shape == "text":
            return web.Response(text=f"{transcript.text}\n")
        return web.json_response(_verbose(transcript) if shape == "verbose_json" else _answer(transcript))


async def _stream(request: web.Request, recognizer: Recognizer, recording: bytes) -> web.StreamResponse:
    heard: asyncio.Queue[Heard | None] = asyncio.Queue()
    work = asyncio.create_task(recognizer.transcribe(recording, heard.put_nowait))
    work.add_done_callback(lambda _: heard.put_nowait(None))
    piece = await heard.get()
    if piece is None:
        # What is wrong with the recording shows before its first words, and gets its status.
        await work
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    before = ""
    try:
        while piece is not None:
            await _send(response, {"type": "transcript.text.delta", "delta": before + piece.text})
            before = " "
            piece = await heard.get()
        await _send(response, {"type": "transcript.text.done", **_answer(await work)})
        await response.write_eof()
    except ConnectionResetError:
        # The reader closed the stream.
        work.cancel()
        response.force_close()
    except Exception:
        # Raised on: the server counts and logs what it does not know.
        if request.transport is not None:
            # There is no other way to say that what was sent is not all.
            request.transport.abort()
        raise
    return response


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")


def _answer(transcript: Transcript) -> dict[str, Any]:
    return {"text": transcript.text, "usage": {"type": "duration", "seconds": round(transcript.seconds, 2)}}


def _verbose(transcript: Transcript) -> dict[str, Any]:
    segments = [
        {"id": index, "start": round(piece.begin, 2), "end": round(piece.end, 2), "text": piece.text}
        for index, piece in enumerate(transcript.pieces)
    ]
    duration = round(transcript.seconds, 2)
    return {"task": "transcribe", "language": "english", "duration": duration, "segments": segments} | _answer(
        transcript
    )


async def _read_form(request: web.Request) -> _Form:
    form = _Form()
    size = 0
    try:
        reader = await request.multipart()
        for _ in range(_MOST_PARTS):
            part = await reader.next()
            if part is None:
                return form
            if isinstance(part, MultipartReader):
                raise InvalidRequestError("The form holds another form.")
            limit = _MOST_BYTES if part.name == "file" else _MOST_FIELD
            content = await _read_part(part, limit)
            size += len(content)
            if size > _MOST_BYTES + _MOST_FIELD:
                raise PayloadTooLargeError("The request body is too large.")
            if part.name == "file":
                form.recording = content
            elif part.name:
                form.fields[part.name] = content.decode(errors="replace").strip()
    except (ValueError, AssertionError, KeyError, RuntimeError, web.RequestPayloadError) as error:
        raise InvalidRequestError("The request body is not a valid form with a file.") from error
    raise InvalidRequestError(f"The form has more than {_MOST_PARTS} fields.")


async def _read_part(part: BodyPartReader, limit: int) -> bytes:
    content = bytearray()
    while chunk := await part.read_chunk(64 * 1024):
        content += chunk
        if len(content) > limit:
            what = (
                f"The recording is larger than {limit // 2**20} MB" if part.name == "file" else "A field is too large"
            )
            raise PayloadTooLargeError(f"{what}; send at most {LONGEST} seconds of sound.")
    # As it is: an encoding of a part could make a small one large.
    return bytes(content)
