"""The upstreams of a live conversation: they hear and speak as well, and note when each question came and went.

``python -m deploy.bench.speaking_upstreams`` prints one JSON line with the ports. Every transcript has a word in it
that names the question, and the answer begins with it, so that each later call tells which question it belongs to. The
word has letters for digits, since digits are not what is said. The times are those of `time.perf_counter`, which on
Linux is one clock for all processes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

import msgspec
import uvloop

from deploy.bench import canned
from deploy.bench.upstreams import UpstreamProtocol, main

__all__ = ["DELAYS", "GAP", "Marks", "SpeakingProtocol", "number_in", "word_of"]

DELAYS: Final = {"stt": 0.05, "embed": 0.01, "search": 0.01, "rerank": 0.01, "llm": 0.1, "tts": 0.05}
"""Seconds until a server answers; of the chat server until its first token."""

GAP: Final = 0.02
"""Seconds between two tokens."""

RATE: Final = 24_000
SOUND: Final = b"\x10\x00" * (RATE // 2)
"""What the speech server says to every clause: half a second."""

_STAGES: Final = {
    "/v1/embeddings": "embed",
    "/embeddings": "embed",
    "/embed": "embed",
    "/v2/vectordb/entities/hybrid_search": "search",
    "/v2/vectordb/entities/search": "search",
    "/rerank": "rerank",
    "/v1/rerank": "rerank",
    "/v2/rerank": "rerank",
}
_WORD: Final = "question-"
_NUMBER: Final = re.compile(rb"question-([a-j]+)")
_LETTERS: Final = str.maketrans("0123456789", "abcdefghij")
_DIGITS: Final = str.maketrans("abcdefghij", "0123456789")
_CLAUSE_TOKENS: Final = 6
"""Tokens until the first clause is over: a comma may stand in a number, so it takes the word behind it to know."""

Marks = dict[str, float]
"""When things happened to one question: ``stt`` and ``stt_done`` and so on; ``clause`` when the token left that
shows that the first clause is over, ``llm_closed`` when the client closed the connection of the chat server."""

_marks: dict[int, Marks] = {}


def word_of(number: int) -> str:
    """Return the word that names a question."""
    return _WORD + str(number).translate(_LETTERS)


def number_in(text: str) -> int:
    """Return the number of the question that a text names; 0 where it names none."""
    found = _NUMBER.findall(text.encode())
    return int(found[-1].decode().translate(_DIGITS)) if found else 0


class SpeakingProtocol(UpstreamProtocol):
    """One connection, on which a transcript, an answer or speech may be asked for as well."""

    _number = 0
    _streaming = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of an answer that is not over."""
        if self._streaming:
            _marks[self._streaming]["llm_closed"] = time.perf_counter()
        super().connection_lost(exc)

    def _answer(self, path: str, body: bytes) -> None:
        arrived = time.perf_counter()
        if path == "/bench/marks":
            self._send(msgspec.json.encode({str(number): marks for number, marks in _marks.items()}), 0, b"")
            return
        if path.endswith("/audio/transcriptions"):
            SpeakingProtocol._number += 1
            number = SpeakingProtocol._number
            text = f"Who answers now and how long does it wait, {word_of(number)}?"
            self._hold(number, "stt", arrived, lambda: self._send(msgspec.json.encode({"text": text}), 0, b""))
            return
        number = number_in(body.decode("utf-8", "replace"))
        if path.endswith("/audio/speech"):
            self._hold(number, "tts", arrived, self._speak)
        elif path.endswith("/chat/completions") and number:
            self._hold(number, "llm", arrived, lambda: self._write_answer(number))
        elif path in _STAGES and number:
            self._hold(number, _STAGES[path], arrived, lambda: super(SpeakingProtocol, self)._answer(path, body))
        else:
            super()._answer(path, body)

    def _hold(self, number: int, stage: str, arrived: float, send: Callable[[], None]) -> None:
        """Answer after the delay of a stage; only the first call of each stage is noted."""
        marks = _marks.setdefault(number, {})
        first = stage not in marks
        marks.setdefault(stage, arrived)

        def fire() -> None:
            self._timer = None
            if first:
                marks[f"{stage}_done"] = time.perf_counter()
            send()
            self._next()

        self._timer = self._loop.call_later(DELAYS[stage], fire)

    def _speak(self) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm;rate={RATE}\r\ncontent-length: {len(SOUND)}\r\n\r\n"
        self._write(head.encode() + SOUND)

    def _write_answer(self, number: int) -> None:
        """Write the tokens one by one; the first ones are a clause that names the question."""
        clause = (word_of(number), " is", " answered", " at", " once,", " and")
        frames = canned.frames((*clause, *canned.ANSWER_TOKENS * 3))
        started, sent = self._loop.time(), 0
        self._streaming = number

        def fire() -> None:
            nonlocal sent
            self._timer = None
            self._write(frames[sent])
            sent += 1
            if sent == _CLAUSE_TOKENS:
                _marks[number]["clause"] = time.perf_counter()
            if sent < len(frames):
                self._timer = self._loop.call_at(started + sent * GAP, fire)
            else:
                self._streaming = 0
                self._next()

        fire()


if __name__ == "__main__":
    uvloop.run(main(SpeakingProtocol))
