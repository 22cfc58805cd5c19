"""One text made into sound: as a stream of chunks, or whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from handler_base.clients import TTSClient
from handler_base.clients.audio import SpeechAudio, SpeechChunk, pcm_to_wav
from handler_base.deadline import Deadline
from handler_base.errors import PayloadTooLargeError, UpstreamError
from handler_base.handler.audio_stream import Chunk, Chunker
from tts_module.formats import ENCODINGS, PCM, WAV
from tts_module.speaking import spoken

__all__ = ["Synthesis"]


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What is said, and by whom.

    Attributes:
        tts: Asks the speech server.
        sentences: What is said, in pieces.
        voice: Name of the voice; empty: the default one.
        language: ISO 639-1, or empty.
        parallel: Sentences that are made at the same time.
        deadline: When the end is due.
        patience: How long the speech server may take for each sentence.
    """

    tts: TTSClient
    sentences: Sequence[str]
    voice: str
    language: str
    parallel: int
    deadline: Deadline
    patience: timedelta

    async def chunks(self, longest: float) -> AsyncGenerator[Chunk]:
        """Yield the sound as it is made, the last chunk marked as such.

        Args:
            longest: Seconds of sound in a chunk at most.

        Raises:
            FleetError: The speech server failed.
        """
        chunker = Chunker(longest)
        async with spoken(self.sentences, self._make, parallel=self.parallel) as in_order:
            for number, sentence in enumerate(in_order, start=1):
                while piece := await sentence.next():
                    for chunk in chunker.feed(piece):
                        yield chunk
                if number < len(self.sentences):
                    for chunk in chunker.flush():
                        yield chunk
        yield chunker.close()

    async def whole(self, audio_format: str, most_bytes: int) -> SpeechAudio:
        """Return the sound in one piece.

        Args:
            audio_format: One of `ENCODINGS`.
            most_bytes: How long it may be.

        Raises:
            PayloadTooLargeError: It is longer.
            FleetError: The speech server failed.
        """
        if audio_format in {PCM, WAV}:
            speech = await self._samples(most_bytes)
            if audio_format == WAV:
                file = pcm_to_wav(speech.audio, speech.sample_rate, speech.channels)
                speech = SpeechAudio(file, WAV, speech.sample_rate, speech.channels)
        else:
            speech = await self.tts.synthesize(
                " ".join(self.sentences),
                voice=self.voice,
                language=self.language,
                audio_format=audio_format,
                deadline=self.deadline,
            )
        if speech.audio_format not in ENCODINGS:
            raise UpstreamError("The speech server sent a format that was not asked for.")
        if len(speech.audio) > most_bytes:
            raise _too_large()
        return speech

    async def _samples(self, most_bytes: int) -> SpeechAudio:
        samples = bytearray()
        rate = channels = 0
        async with spoken(self.sentences, self._make, parallel=self.parallel) as in_order:
            for sentence in in_order:
                while piece := await sentence.next():
                    if (piece.sample_rate, piece.channels) != (rate, channels):
                        if rate:
                            raise UpstreamError("The speech server changed the sample rate between sentences.")
                        rate, channels = piece.sample_rate, piece.channels
                    samples += piece.audio
                    if len(samples) > most_bytes:
                        raise _too_large()
        return SpeechAudio(bytes(samples), PCM, rate, channels)

    def _make(self, text: str) -> AsyncGenerator[SpeechChunk]:
        deadline = self.deadline.sooner(self.patience)
        return self.tts.stream(text, voice=self.voice, language=self.language, deadline=deadline)


def _too_large() -> PayloadTooLargeError:
    return PayloadTooLargeError("The speech is too large for one message. Ask for a stream.")
