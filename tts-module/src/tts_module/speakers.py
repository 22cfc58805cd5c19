"""Whose voice a request is spoken in."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from handler_base.clients import TTSClient
from handler_base.clients.audio import find_wav_data
from handler_base.deadline import Deadline
from handler_base.errors import (
    FleetError,
    InvalidRequestError,
    NotFoundError,
    UnsupportedFormatError,
    UpstreamError,
)
from handler_base.messages import TTSRequest
from tts_module.cloning import ClonedVoices
from tts_module.registry import VoiceRegistry
from tts_module.voices import Voice

__all__ = ["Speakers"]

_LISTING: Final = timedelta(seconds=2)
_LISTED_FOR: Final = 30.0
_BY_NAME_FOR: Final = 60.0


class Speakers:
    """Finds the voice for a request: a recording in it, a custom voice, or one of the speech server's.

    Args:
        tts: Asks the speech server.
        registry: The custom voices.
        most_clones: How many voices made of recordings are kept.
    """

    def __init__(self, tts: TTSClient, registry: VoiceRegistry, most_clones: int) -> None:
        self._tts = tts
        self._registry = registry
        self._clones = ClonedVoices(tts, most_clones)
        self._built_in: list[str] = []
        self._listed = -_LISTED_FOR
        self._by_name: dict[str, float] = {}

    @contextlib.asynccontextmanager
    async def of(self, request: TTSRequest, deadline: Deadline) -> AsyncIterator[str]:
        """Give the name to ask the speech server for; it holds until the context ends.

        Raises:
            InvalidRequestError: The recording is not base64, or has lost its end.
            UnsupportedFormatError: The recording is not a WAV file.
            FleetError: The speech server cannot make the voice.
        """
        async with contextlib.AsyncExitStack() as stack:
            if request.speaker_wav_b64:
                wav, digest = await asyncio.to_thread(_recording, request.speaker_wav_b64)

                async def given() -> bytes:
                    return wav

                yield await stack.enter_async_context(self._clones.using(digest, given, deadline))
                return
            voice = self._registry.find(request.speaker) if request.speaker else None
            if voice is None or voice.recording is None:
                yield request.speaker
                return
            yield await self._custom(voice, voice.recording, deadline, stack)

    async def built_in(self, deadline: Deadline) -> list[str]:
        """Return the speech server's own voices, as far as it tells them; while it fails, the last known."""
        if time.monotonic() - self._listed >= _LISTED_FOR:
            try:
                names = await self._tts.voices(deadline=deadline.sooner(_LISTING))
            except FleetError:
                return self._built_in
            self._built_in = [name for name in names if not self._clones.is_clone(name)]
            self._listed = time.monotonic()
        return self._built_in

    async def is_unknown(self, name: str, deadline: Deadline) -> bool:
        """Whether the speech server tells its voices, and none has this name."""
        if not name or self._clones.is_clone(name):
            return False
        names = await self.built_in(deadline)
        return bool(names) and name not in names

    async def _custom(self, voice: Voice, recording: Path, deadline: Deadline, stack: contextlib.AsyncExitStack) -> str:
        """Return the name for a custom voice: made of its recording, or its own where the server makes none."""
        if time.monotonic() < self._by_name.get(voice.digest, 0.0):
            return voice.name
        self._by_name.pop(voice.digest, None)

        async def read() -> bytes:
            try:
                return await asyncio.to_thread(recording.read_bytes)
            except OSError as error:
                raise NotFoundError("The recording of the voice is gone.") from error

        try:
            return await stack.enter_async_context(self._clones.using(voice.digest, read, deadline))
        except UpstreamError:
            # It may have the same voices by name, as servers with a directory of speakers do.
            self._by_name[voice.digest] = time.monotonic() + _BY_NAME_FOR
            return voice.name


def _recording(text: str) -> tuple[bytes, str]:
    """Return the recording in base64 text, and its digest."""
    try:
        wav = base64.b64decode(text.rpartition(",")[2].strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError("speaker_wav_b64 is not base64.") from error
    data = find_wav_data(wav)
    if data is None or not data.told:
        raise UnsupportedFormatError("speaker_wav_b64 must be a WAV file with sound in it.")
    if data.cut_off:
        raise InvalidRequestError("speaker_wav_b64 is cut off: it holds less than its header says.")
    return wav, hashlib.sha256(wav).hexdigest()
