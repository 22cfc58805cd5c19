"""The ears of one session: raw audio in, utterances and interrupts out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from stt_module.backchannel import InterruptRules, InterruptWatch
from stt_module.pcm import PcmFormat, PcmReader
from stt_module.utterances import Endpointer, EndpointRules, Utterance
from stt_module.vad import VoiceStream
from stt_module.windows import Windows, milliseconds

__all__ = ["Ears", "Heard", "ListeningRules", "ListeningState"]


class ListeningState(StrEnum):
    """What the session is doing, as its client says."""

    LISTENING = "listening"
    RESPONDING = "responding"


@dataclass(frozen=True, slots=True)
class ListeningRules:
    """How a session is listened to."""

    endpoints: EndpointRules = field(default_factory=EndpointRules)
    """Where utterances begin and end."""
    interrupts: InterruptRules = field(default_factory=InterruptRules)
    """What stops an answer."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a piece of audio brought."""

    utterances: tuple[Utterance, ...] = ()
    """Those that ended, in their order."""
    interrupt: bool = False
    """Whether the answer is to stop."""


class Ears:
    """Listens to one session; one call at a time.

    Args:
        voice: The session's stream of the detector.
        rules: How to listen.
        layout: How the samples come in.
        language: What is spoken, as far as it is known.

    Raises:
        UnsupportedFormatError: It takes PyAV to read the samples, which is not installed.
    """

    def __init__(
        self,
        voice: VoiceStream,
        rules: ListeningRules | None = None,
        *,
        layout: PcmFormat | None = None,
        language: str = "en",
    ) -> None:
        self._rules = rules or ListeningRules()
        self._voice = voice
        self._pcm = PcmReader(layout or PcmFormat())
        self._windows = Windows()
        self._endpointer = Endpointer(self._rules.endpoints)
        self._language = language
        self._state = ListeningState.LISTENING
        self._watch = self._new_watch()
        self._words = ""

    @property
    def state(self) -> ListeningState:
        """What the session is doing; an interrupt brings it back to listening."""
        return self._state

    @property
    def speaking(self) -> bool:
        """Whether an utterance is under way."""
        return self._endpointer.speaking

    @property
    def utterance_ms(self) -> int:
        """How much audio the utterance under way has; 0 when there is none."""
        return milliseconds(self._endpointer.size) if self._endpointer.speaking else 0

    @property
    def heard_ms(self) -> int:
        """How much audio the session has had."""
        return self._endpointer.heard_ms

    @property
    def held_bytes(self) -> int:
        """Audio held at the moment."""
        return self._endpointer.held_bytes

    def so_far(self) -> bytes:
        """The audio of the utterance under way, for a partial transcript."""
        return self._endpointer.so_far()

    def change_state(self, state: ListeningState) -> None:
        """Take what the client says the session is doing."""
        if state is not self._state:
            self._state = state
            self._watch = self._new_watch()

    async def hear(self, audio: bytes) -> Heard:
        """Take the next audio, of any length.

        Raises:
            InternalError: The detector failed.
        """
        return await self._follow(self._pcm.feed(audio))

    async def end(self) -> Heard:
        """The audio is over: what is under way ends, and begins anew with the next audio.

        Raises:
            InternalError: The detector failed.
        """
        heard = await self._follow(self._pcm.flush())
        last = self._endpointer.finish(self._windows.flush())
        return heard if last is None else Heard((*heard.utterances, last), heard.interrupt)

    def understand(self, words: str) -> bool:
        """Take what a partial transcript says of the utterance under way; tell whether the answer is to stop."""
        if not self._endpointer.speaking:
            return False
        self._words = words
        return self._interrupted()

    async def _follow(self, samples: bytes) -> Heard:
        windows = list(self._windows.feed(samples))
        if not windows:
            return Heard()
        utterances: list[Utterance] = []
        interrupt = False
        for window, score in zip(windows, await self._voice.score(windows), strict=True):
            ended = self._endpointer.feed(window, score)
            interrupt |= self._interrupted()
            if ended is not None:
                utterances.append(ended)
                self._watch, self._words = self._new_watch(), ""
        return Heard(tuple(utterances), interrupt)

    def _interrupted(self) -> bool:
        voiced = self._endpointer.voiced_ms
        if self._state is not ListeningState.RESPONDING or not self._watch.hear(voiced, self._words):
            return False
        self._state = ListeningState.LISTENING
        return True

    def _new_watch(self) -> InterruptWatch:
        return InterruptWatch(self._rules.interrupts, self._language)
