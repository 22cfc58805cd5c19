"""Fake transcription and speech servers."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from handler_base.testing.inference.script import Script
from handler_base.testing.inference.server import FakeServer, Handler

__all__ = ["FakeSTT", "FakeTTS", "STTScript", "TTSScript", "wav_file"]


def wav_file(pcm: bytes, sample_rate: int, *, streamed: bool = False) -> bytes:
    """Return 16 bit mono samples as a WAV file.

    Args:
        pcm: The samples.
        sample_rate: Samples a second.
        streamed: Whether the sizes in the header are the placeholders of a stream.
    """
    size = 0xFFFFFFFF if streamed else len(pcm)
    total = 0xFFFFFFFF if streamed else 36 + len(pcm)
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", total, b"WAVE", b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16
    )
    return head + struct.pack("<4sI", b"data", size) + pcm


@dataclass(kw_only=True)
class STTScript(Script):
    """What a fake transcription server hears.

    Attributes:
        pieces: The text, in the pieces in which it is streamed.
        field: Name of the text's field in the answer.
        events: The interface of its streams; empty: it does not stream.
    """

    pieces: Sequence[str] = ("What", " is", " NATS?")
    field: str = "text"
    events: Literal["", "openai", "vllm"] = "openai"


class FakeSTT(FakeServer):
    """A fake transcription server.

    Args:
        script: What it hears and how it answers.
        dialect: Whose interface it speaks.
        prefix: Put before all paths, such as ``/whisper``.
    """

    script: STTScript

    def __init__(
        self,
        script: STTScript | None = None,
        *,
        dialect: Literal["openai", "whispercpp"] = "openai",
        prefix: str = "",
    ) -> None:
        super().__init__(script or STTScript(), prefix=prefix)
        self._dialect = dialect

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the handler of each path."""
        path = "/inference" if self._dialect == "whispercpp" else "/v1/audio/transcriptions"
        return {("POST", path): self._transcribe}

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        form = self.recorded(request).form
        if not form.get("file"):
            return web.json_response({"error": "no file"}, status=400)
        text = "".join(self.script.pieces)
        if form.get("stream") != b"true" or not self.script.events or self._dialect == "whispercpp":
            # whisper.cpp puts a blank before and a line end after what it heard.
            said = f" {text}\n" if self._dialect == "whispercpp" else text
            return await self.json(request, {self.script.field: said})
        if self.script.events == "vllm":
            events = [_vllm_chunk({"content": piece}, None) for piece in self.script.pieces]
            tail = [_vllm_chunk({}, "stop"), b"data: [DONE]\n\n"]
        else:
            events = [_event({"type": "transcript.text.delta", "delta": piece}) for piece in self.script.pieces]
            tail = [_event({"type": "transcript.text.done", "text": text})]
        error = _event({"error": {"message": "scripted failure"}})
        return await self.stream(request, events, "text/event-stream", tail=tail, error=error)


@dataclass(kw_only=True)
class TTSScript(Script):
    """What a fake speech server says.

    Attributes:
        chunks: The samples, in the pieces in which they are streamed.
        sound: Makes the pieces from the text, in place of `chunks`, in OpenAI's interface.
        sample_rate: Of the samples.
        tell_rate: Whether the ``Content-Type`` of raw samples names the rate.
        voices: Names of its voices.
    """

    chunks: Sequence[bytes] = (b"\x01\x00" * 480, b"\x02\x00" * 480, b"\x03\x00" * 480)
    sound: Callable[[str], Sequence[bytes]] | None = None
    sample_rate: int = 24_000
    tell_rate: bool = True
    voices: list[str] = field(default_factory=lambda: ["anna", "ben"])


class FakeTTS(FakeServer):
    """A fake speech server.

    Args:
        script: What it says and how.
        dialect: Whose interface it speaks.
        prefix: Put before all paths.
    """

    script: TTSScript

    def __init__(
        self,
        script: TTSScript | None = None,
        *,
        dialect: Literal["openai", "xtts", "xtts-api", "coqui", "rayserve"] = "openai",
        prefix: str = "",
    ) -> None:
        super().__init__(script or TTSScript(), prefix=prefix)
        self._dialect = dialect

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the handler of each path."""
        dialects: dict[str, dict[tuple[str, str], Handler]] = {
            "openai": {("POST", "/v1/audio/speech"): self._openai, ("GET", "/v1/audio/voices"): self._openai_voices},
            "xtts": {
                ("GET", "/studio_speakers"): self._speakers,
                ("POST", "/clone_speaker"): self._clone,
                ("POST", "/tts"): self._xtts,
                ("POST", "/tts_stream"): self._xtts_stream,
            },
            "xtts-api": {
                ("GET", "/speakers_list"): self._names,
                ("POST", "/tts_to_audio/"): self._wav,
                ("GET", "/tts_stream"): self._wav_stream,
            },
            "coqui": {("GET", "/api/tts"): self._wav},
            "rayserve": {
                ("POST", "/tts"): self._ray,
                ("POST", "/tts/stream"): self._ray_stream,
                ("GET", "/tts/api/tts"): self._wav,
            },
        }
        return dialects[self._dialect]

    @property
    def pcm(self) -> bytes:
        """All the samples it says."""
        return b"".join(self.script.chunks)

    def _file(self) -> bytes:
        return wav_file(self.pcm, self.script.sample_rate)

    def _streamed_file(self) -> list[bytes]:
        return [wav_file(b"", self.script.sample_rate, streamed=True), *self.script.chunks]

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        asked = self.recorded(request).json
        wanted = asked["response_format"]
        if wanted == "pcm":
            rate = f";rate={self.script.sample_rate}" if self.script.tell_rate else ""
            chunks = self.script.sound(asked["input"]) if self.script.sound is not None else self.script.chunks
            return await self.stream(request, chunks, f"audio/pcm{rate}")
        if wanted == "wav":
            return await self.stream(request, self._streamed_file(), "audio/wav")
        return await self.whole(request, b"ID3" + self.pcm, "audio/mpeg")

    async def _openai_voices(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"voices": self.script.voices})

    async def _names(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(self.script.voices)

    async def _wav(self, request: web.Request) -> web.StreamResponse:
        return await self.whole(request, self._file(), "audio/wav")

    async def _wav_stream(self, request: web.Request) -> web.StreamResponse:
        return await self.stream(request, self._streamed_file(), "audio/x-wav")

    async def _speakers(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({name: _latents(index) for index, name in enumerate(self.script.voices)})

    async def _clone(self, request: web.Request) -> web.StreamResponse:
        return await self.json(request, _latents(99))

    async def _xtts(self, request: web.Request) -> web.StreamResponse:
        return await self.json(request, base64.b64encode(self._file()).decode())

    async def _xtts_stream(self, request: web.Request) -> web.StreamResponse:
        return await self.stream(request, self.script.chunks, "audio/wav")

    async def _ray(self, request: web.Request) -> web.StreamResponse:
        audio = base64.b64encode(self._file()).decode()
        return await self.json(request, {"audio": audio, "sample_rate": self.script.sample_rate})

    async def _ray_stream(self, request: web.Request) -> web.StreamResponse:
        files = [wav_file(chunk, self.script.sample_rate) for chunk in self.script.chunks]
        events = [_event({"audio": base64.b64encode(file).decode()}) for file in files]
        error = _event({"error": "scripted failure"})
        return await self.stream(request, events, "text/event-stream", tail=[b"data: [DONE]\n\n"], error=error)


def _latents(index: int) -> dict[str, Any]:
    return {"speaker_embedding": [float(index), 0.25], "gpt_cond_latent": [[float(index), 0.5], [1.0, 2.0]]}


def _event(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()


def _vllm_chunk(delta: dict[str, str], finish: str | None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return _event({"id": "trsc-fake", "object": "transcription.chunk", "created": 0, "choices": choices})
