"""Where an utterance begins and where it ends.

A state machine over windows and how sure the detector is that each is speech. It knows neither clock nor task: its time
is the audio's, so the same audio gives the same utterances at any pace.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from stt_module.windows import RATE, SAMPLE_BYTES, WINDOW_BYTES, WINDOW_MS, milliseconds

__all__ = ["EndReason", "EndpointRules", "Endpointer", "Utterance"]


class EndReason(StrEnum):
    """Why an utterance ended."""

    SILENCE = "silence"
    SIZE = "size"
    TIME = "time"
    END = "end"


@dataclass(frozen=True, slots=True)
class EndpointRules:
    """When speech becomes an utterance and when that is over."""

    speech: float = 0.5
    """A window at least this likely to be speech counts as voiced."""
    quiet: float = 0.35
    """One less likely than this counts as silent; between the two, what was so far goes on."""
    start: timedelta = timedelta(milliseconds=64)
    """Voice this long begins an utterance; what is shorter is a click."""
    silence: timedelta = timedelta(milliseconds=500)
    """Silence this long ends it."""
    pre_roll: timedelta = timedelta(milliseconds=300)
    """Audio kept from before the first voiced window: soft consonants come before the voice."""
    post_roll: timedelta = timedelta(milliseconds=200)
    """Most silence kept behind the last voice."""
    longest: timedelta = timedelta(seconds=30)
    """An utterance is cut here; what comes after it is the next one."""
    most_bytes: int = 2**20
    """The same by size; it bounds what a session can hold."""

    def __post_init__(self) -> None:
        """Refuse rules that cannot work."""
        if not 0 < self.quiet <= self.speech <= 1:
            raise ValueError("It takes 0 < quiet <= speech <= 1.")
        if self.most_bytes < WINDOW_BYTES or self.longest < timedelta(milliseconds=WINDOW_MS):
            raise ValueError("An utterance must have room for at least one window.")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One piece of speech; its times are milliseconds since the session's audio began."""

    number: int
    audio: bytes
    start_ms: int
    """Where its first voiced window begins."""
    end_ms: int
    """Where its last voiced window ends."""
    cut_ms: int
    """How much audio had been heard when it was known to be over."""
    reason: EndReason


def _windows(length: timedelta) -> int:
    """As many windows as it takes to cover a length."""
    return -(-length // timedelta(milliseconds=WINDOW_MS))


class Endpointer:
    """Makes utterances of windows.

    Args:
        rules: When speech begins and ends.
    """

    def __init__(self, rules: EndpointRules | None = None) -> None:
        self._rules = rules = rules or EndpointRules()
        self._start = max(1, _windows(rules.start))
        self._silence = max(1, _windows(rules.silence))
        self._post_bytes = _windows(rules.post_roll) * WINDOW_BYTES
        self._pre_roll = _windows(rules.pre_roll)
        longest = rules.longest // timedelta(microseconds=1) * RATE // 1_000_000 * SAMPLE_BYTES
        self._most, self._limit = min((longest, EndReason.TIME), (rules.most_bytes, EndReason.SIZE))
        self._before: deque[bytes] = deque(maxlen=self._pre_roll + self._start)
        self._audio = bytearray()
        self._heard = 0  # bytes
        self._begun = False
        self._voiced = 0  # windows of the current run of voice
        self._silent = 0  # windows since the voice stopped
        self._number = 0
        self._run_at = self._first = self._last = 0  # bytes from the beginning of the session

    @property
    def speaking(self) -> bool:
        """Whether an utterance is under way."""
        return self._begun

    @property
    def heard_ms(self) -> int:
        """How much audio the session has had."""
        return milliseconds(self._heard)

    @property
    def voiced_ms(self) -> int:
        """How long the voice has been going on in this utterance, pauses within it included."""
        return milliseconds(max(0, self._last - self._first)) if self._begun else 0

    @property
    def size(self) -> int:
        """Bytes of the utterance under way."""
        return len(self._audio)

    @property
    def held_bytes(self) -> int:
        """Audio held at the moment."""
        return len(self._audio) + sum(map(len, self._before))

    def so_far(self) -> bytes:
        """The audio of the utterance under way, for a partial transcript."""
        return bytes(self._audio)

    def feed(self, window: bytes, probability: float) -> Utterance | None:
        """Take the next window.

        Args:
            window: Its audio.
            probability: How likely it is speech, 0 to 1.

        Returns:
            The utterance that ended with it, if one did.
        """
        at = self._heard
        self._heard += len(window)
        voiced = probability >= self._rules.speech
        if not self._begun:
            self._listen(window, at, voiced=voiced, silent=probability < self._rules.quiet)
        else:
            self._audio += window
            self._follow(voiced=voiced, silent=probability < self._rules.quiet)
        return self._ended()

    def finish(self, rest: bytes = b"") -> Utterance | None:
        """The audio is over; `rest` is what was too short for a window."""
        self._heard += len(rest)
        if not self._begun:
            return None
        self._audio += rest
        if not self._silent:
            self._last = self._heard
        return self._cut(EndReason.END, begun=False)

    def _listen(self, window: bytes, at: int, *, voiced: bool, silent: bool) -> None:
        """Wait for enough voice to begin."""
        self._before.append(window)
        if voiced:
            self._run_at = at if not self._voiced else self._run_at
            self._voiced += 1
        elif silent:
            self._voiced = 0
        elif self._voiced:
            self._voiced += 1
        if self._voiced < self._start:
            return
        lead = (self._heard - self._run_at) // WINDOW_BYTES + self._pre_roll
        self._audio += b"".join(list(self._before)[-lead:])
        self._before.clear()
        self._begun, self._voiced, self._silent = True, 0, 0
        self._first, self._last = self._run_at, self._heard

    def _follow(self, *, voiced: bool, silent: bool) -> None:
        """Keep account of voice and silence within an utterance."""
        if voiced:
            self._silent = 0
        elif silent or self._silent:
            self._silent += 1
        if not self._silent:
            self._last = self._heard

    def _ended(self) -> Utterance | None:
        if not self._begun:
            return None
        if self._silent >= self._silence:
            return self._cut(EndReason.SILENCE, begun=False)
        if len(self._audio) + WINDOW_BYTES > self._most:
            return self._cut(self._limit, begun=True)
        return None

    def _cut(self, reason: EndReason, *, begun: bool) -> Utterance | None:
        """End the utterance; `begun` says that the next one goes on right behind it."""
        audio, self._audio = bytes(self._audio), bytearray()
        first, last = self._first, self._last
        self._begun, self._first, self._silent = begun, self._heard, self._silent if begun else 0
        if not begun:
            kept = len(audio) - max(0, self._heard - last - self._post_bytes)
            self._remember(audio[kept:])
            audio = audio[:kept]
        if last <= first:  # the silence behind one that was cut by its length
            return None
        self._number += 1
        return Utterance(
            self._number - 1, audio, milliseconds(first), milliseconds(last), milliseconds(self._heard), reason
        )

    def _remember(self, silence: bytes) -> None:
        """What an utterance left over may lead the next; what it kept does not, lest a word be heard twice."""
        for start in range(0, len(silence) - WINDOW_BYTES + 1, WINDOW_BYTES):
            self._before.append(silence[start : start + WINDOW_BYTES])
