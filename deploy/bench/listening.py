"""What live sessions cost stt-module with NATS in the loop: streams a core, bytes a session."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from deploy.bench.environment import Environment
from deploy.bench.hearing import scene, spoken_sentences
from deploy.bench.measure import Spread
from deploy.bench.process import Worker
from deploy.bench.result import Bar, Result, Row
from handler_base.messages import STTStreamMessage, STTTranscription, decode, encode
from handler_base.messages.subjects import STT_STREAM, STT_TRANSCRIPTION
from handler_base.nats_client import ConnectionOptions, Msg, NatsConnection
from handler_base.testing.waiting import wait_until
from stt_module.windows import RATE

__all__ = ["listening"]

_BYTES_A_MS: Final = RATE // 1000 * 2
_SETTLE: Final = 3.0
"""Seconds of talk before the measured ones: the noise is learned, and the first connections are made."""

_SPREAD: Final = 10.0
"""Seconds over which the sessions begin at other places of the talk."""


@dataclass(frozen=True, slots=True)
class _Load:
    """Sessions that are talked into at once.

    Attributes:
        vad: The detector.
        streams: How many sessions.
        chunk_ms: Length of a chunk.
        least: Streams a core that are wanted; 0: for comparison only.
    """

    vad: str
    streams: int
    chunk_ms: int
    least: int = 0


_LOADS: Final = (
    _Load("silero", 100, 20, least=100),
    _Load("silero", 100, 100),
    _Load("energy", 300, 20, least=300),
    _Load("energy", 300, 100),
)


class _Talk:
    """Talks into sessions at the pace of the audio, and counts what comes back."""

    def __init__(self, connection: NatsConnection, audio: bytes, load: _Load) -> None:
        self._connection = connection
        size = load.chunk_ms * _BYTES_A_MS
        pieces = [audio[at : at + size] for at in range(0, len(audio) - size, size)]
        self._chunks = [encode(STTStreamMessage(type="chunk", audio=piece)) for piece in pieces]
        self._load = load
        self._subjects = [STT_STREAM.format(session_id=f"bench-{number}") for number in range(load.streams)]
        apart = int(_SPREAD * 1000 / load.chunk_ms / load.streams * 7.7) + 1
        self._places = [number * apart for number in range(load.streams)]
        self.finals: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.ended = 0
        self.worst_lag = 0.0

    def hear(self, msg: Msg) -> None:
        told = decode(STTTranscription, msg.data)
        if told.error_type:
            self.errors[told.error_type] += 1
        elif told.is_final:
            if told.sequence != self.finals[told.session_id]:
                self.errors["out of order"] += 1
            self.finals[told.session_id] += 1
        self.ended += told.state == "ended"

    async def start(self) -> None:
        for subject in self._subjects:
            await self._connection.publish(subject, encode(STTStreamMessage(type="start", language="en")))
        await self._connection.flush()

    async def talk(self, seconds: float) -> None:
        """Send what is due, session after session, so that they do not all talk in one moment."""
        loop, pause = asyncio.get_running_loop(), self._load.chunk_ms / 1000
        began, groups = loop.time(), 10
        for step in range(int(seconds / pause)):
            for group in range(groups):
                due = began + (step + group / groups) * pause
                await asyncio.sleep(max(0.0, due - loop.time()))
                self.worst_lag = max(self.worst_lag, loop.time() - due)
                for number in range(group, self._load.streams, groups):
                    place = self._places[number]
                    self._connection.send_encoded(self._subjects[number], self._chunks[place % len(self._chunks)], b"")
                    self._places[number] = place + 1

    async def end(self) -> None:
        """End all of them in one moment: each has the final of what it was saying."""
        for subject in self._subjects:
            await self._connection.publish(subject, encode(STTStreamMessage(type="end")))
        await wait_until(lambda: self.ended >= self._load.streams, timeout=20, every=0.05)


async def listening(environment: Environment) -> Result:
    """Sessions that all talk, with 20 dB of pink noise, at the pace of their audio."""
    result = Result("listening", "Live sessions at one replica of stt-module, partials and finals on")
    try:
        # In a loop of its own: flite writes to its output by name, which uvloop's cannot be opened by.
        speeches = await asyncio.to_thread(lambda: asyncio.run(spoken_sentences()))
        audio = scene(speeches, "pink", 20, 1).audio
    except SystemExit as missing:
        result.unmeasured = str(missing)
        return result
    for load in _LOADS:
        cores: list[float] = []
        weights: list[float] = []
        finals = 0
        for _ in range(1 if environment.quick else 3):
            cpu, kilobytes, talk = await _measure(environment, load, audio)
            cores.append(load.streams / cpu)
            weights.append(kilobytes)
            finals += sum(talk.finals.values())
            for kind, count in talk.errors.items():
                result.failures[f"{load.vad}: {kind}"] = count
            silent = sum(not talk.finals[f"bench-{number}"] for number in range(load.streams))
            if silent:
                result.failures[f"{load.vad}: sessions without a final"] = silent
        density, weight = Spread.of(cores), Spread.of(weights)
        who = f"{load.vad}, {load.streams} streams, chunks of {load.chunk_ms} ms"
        result.rows.append(
            Row(who, {"streams a core": density.text(0), "KB a session": weight.text(0), "finals": str(finals)})
        )
        if load.least:
            name = f"listening: {load.vad}"
            result.bars.append(Bar(f"{name}, streams a core", density, load.least, better="higher", unit="streams"))
            result.bars.append(Bar(f"{name}, memory a session", weight, 1024.0, unit="KB"))
    result.notes.append(
        "CPU of the service's process over the seconds it is talked into, NATS, decoding and transcription calls "
        "included; the talk is speech for about half of the time."
    )
    return result


async def _measure(environment: Environment, load: _Load, audio: bytes) -> tuple[float, float, _Talk]:
    """Return cores used, kilobytes a session at the most, and what was heard."""
    service, _ = await environment.service(
        "stt_module",
        image="stt-module-full",
        VAD=load.vad,
        STT_SESSIONS="1000",
        WHISPER_URL=environment.url("stt"),
    )
    connection = NatsConnection(ConnectionOptions(servers=(environment.nats_url,), name="talk"))
    await connection.connect()
    try:
        talk = _Talk(connection, audio, load)
        await connection.subscribe(STT_TRANSCRIPTION.pattern, talk.hear)
        before = service.rss()
        await talk.start()
        await talk.talk(_SETTLE)
        watching = asyncio.create_task(_largest(service))
        started, cpu = time.perf_counter(), service.cpu_seconds()
        await talk.talk(4.0 if environment.quick else 8.0)
        used = (service.cpu_seconds() - cpu) / (time.perf_counter() - started)
        watching.cancel()
        largest = await watching
        await talk.end()
    finally:
        await connection.close()
        await environment.stop(service)
    return used, (largest - before) / load.streams / 1024, talk


async def _largest(worker: Worker) -> int:
    """Return the largest resident memory seen until cancelled."""
    largest = 0
    try:
        while True:
            largest = max(largest, worker.rss())
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        return largest
