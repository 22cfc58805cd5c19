"""Live conversation through stt-module and voice-assistant: time that no model takes, and how fast an answer stops."""

from __future__ import annotations

import asyncio
import math
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import msgspec

from deploy.bench.environment import Environment
from deploy.bench.measure import Spread, percentile
from deploy.bench.report import RESULTS
from deploy.bench.result import Bar, Result, Row
from deploy.bench.speaking_upstreams import Marks, number_in
from deploy.bench.waterfall import draw_waterfall
from handler_base.messages import STTInterrupt, STTStreamMessage, STTTranscription, TTSAudioChunk, decode, encode
from handler_base.messages.subjects import STT_STREAM, STT_TRANSCRIPTION, TTS_AUDIO
from handler_base.nats_client import ConnectionOptions, Msg, NatsConnection

__all__ = ["STAGES", "conversing"]

STAGES: Final = ("stt", "embed", "search", "rerank", "llm", "tts")
"""The models of a turn, one after the other."""

_IN_FLIGHT: Final = 50
_CHUNK_SECONDS: Final = 0.1
_CHUNKS: Final = 10
_LISTENS: Final = 2.5
"""Seconds for which an answer is heard before it is interrupted."""

_SILENT: Final = 0.25
"""Seconds after an interrupt in which nothing of the answer may come."""

_PATIENCE: Final = 20.0
_SPREAD_SECONDS: Final = 4.0


@dataclass(slots=True)
class _Turn:
    """What a client saw of one turn; times as of `time.perf_counter`, 0 for what did not happen."""

    number: int = 0
    ended: float = 0.0
    final: float = 0.0
    first_sound: float = 0.0
    interrupted: float = 0.0
    last_sound: float = 0.0
    over: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def heard(self, msg: Msg) -> None:
        told = decode(STTTranscription, msg.data)
        if told.is_final and not self.final:
            self.final = time.perf_counter()
            self.number = number_in(told.transcript)

    def played(self, msg: Msg) -> None:
        now, chunk = time.perf_counter(), decode(TTSAudioChunk, msg.data)
        if chunk.audio:
            self.first_sound = self.first_sound or now
            self.last_sound = now
        if chunk.is_last:
            self.over = now
        self.changed.set()

    async def until(self, name: str) -> None:
        async with asyncio.timeout(_PATIENCE):
            while not getattr(self, name):
                self.changed.clear()
                await self.changed.wait()


async def conversing(environment: Environment) -> Result:
    """50 sessions at a time: somebody speaks, hears the answer begin, and interrupts it."""
    result = Result("live", f"Live conversation, {_IN_FLIGHT} turns in flight, stt-module and voice-assistant")
    urls = await environment.speaking_upstreams()
    listener, _ = await environment.service(
        "stt_module", WHISPER_URL=urls["stt"], VAD="energy", STT_PARTIALS="false", VAD_SILENCE_MS="2000"
    )
    speaker, _ = await environment.service(
        "voice_assistant",
        VLLM_URL=f"{urls['llm']}/v1",
        EMBEDDINGS_URL=urls["embeddings"],
        RERANKER_URL=urls["reranker"],
        TTS_URL=urls["tts"],
        MILVUS_PORT=urls["milvus"].rpartition(":")[2],
        MAX_CONCURRENCY="128",
        EVENTS="true",
    )
    connection = NatsConnection(ConnectionOptions(servers=(environment.nats_url,), name="live bench"))
    await connection.connect()
    rounds: list[list[_Turn]] = []
    try:
        await _round(connection, "warm", _IN_FLIGHT)
        turns = (2 if environment.quick else 4) * _IN_FLIGHT
        used = [worker.cpu_seconds() for worker in (listener, speaker)]
        rounds += [await _round(connection, f"r{number}", turns) for number in range(1 if environment.quick else 3)]
    finally:
        await connection.close()
    marks = await _marks(urls["control"])
    for worker, before in zip((listener, speaker), used, strict=True):
        cpu = (worker.cpu_seconds() - before) / sum(map(len, rounds)) * 1e3
        result.rows.append(Row(worker.name, {"CPU ms a turn": f"{cpu:.1f}"}))
    _report(result, rounds, marks)
    return result


async def _round(connection: NatsConnection, name: str, turns: int) -> list[_Turn]:
    tickets = iter(range(turns))
    done: list[_Turn] = []

    async def one(index: int) -> None:
        await asyncio.sleep(_SPREAD_SECONDS * index / _IN_FLIGHT)
        for number in tickets:
            turn = _Turn()
            done.append(turn)
            await _converse(connection, f"{name}-{number}", turn)

    await asyncio.gather(*(one(index) for index in range(_IN_FLIGHT)))
    return done


async def _converse(connection: NatsConnection, session_id: str, turn: _Turn) -> None:
    """Speak at the pace of speech, hear the answer begin, interrupt it, and listen whether anything still comes."""
    microphone = STT_STREAM.format(session_id=session_id)
    heard = STT_TRANSCRIPTION.format(session_id=session_id)
    subscriptions = [
        connection.listen(heard, turn.heard),
        connection.listen(TTS_AUDIO.format(session_id=session_id), turn.played),
    ]
    connection.send(microphone, encode(STTStreamMessage(type="start", audio_encoding=1, sample_rate=16_000)))
    for number in range(_CHUNKS):
        connection.send(microphone, encode(STTStreamMessage(type="chunk", audio=_VOICE, sequence=number)))
        await asyncio.sleep(_CHUNK_SECONDS)
    turn.ended = time.perf_counter()
    connection.send(microphone, encode(STTStreamMessage(type="end")))
    try:
        await turn.until("first_sound")
        await asyncio.sleep(_LISTENS)
        interrupt = STTInterrupt(session_id=session_id)
        turn.interrupted = time.perf_counter()
        connection.send(heard, encode(interrupt), headers={"Message-Type": interrupt.schema_name})
        await turn.until("over")
        await asyncio.sleep(_SILENT)
    except TimeoutError:
        pass
    for subscription in subscriptions:
        await subscription.unsubscribe()


async def _marks(control: str) -> dict[int, Marks]:
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.post(f"{control}/bench/marks", data=b"") as response,
    ):
        return msgspec.json.decode(await response.read(), type=dict[int, Marks])


def _report(result: Result, rounds: list[list[_Turn]], marks: dict[int, Marks]) -> None:
    whole = [[turn for turn in turns if turn.over and turn.number in marks] for turns in rounds]
    lost = sum(map(len, rounds)) - sum(map(len, whole))
    if lost:
        result.failures["a turn without an answer, or one that did not stop"] = lost
    late = sum(turn.last_sound > turn.over for turns in whole for turn in turns)
    if late:
        result.failures["sound after the end mark"] = late
    own = [[_own_ms(turn, marks[turn.number]) for turn in turns] for turns in whole]
    for share, limit in ((0.5, 10.0), (0.95, 25.0), (0.99, 50.0)):
        bar = Spread.of([percentile(values, share) for values in own])
        result.bars.append(Bar(f"live: end of utterance to sound, p{share * 100:g}", bar, limit, unit="ms"))
    figures = {
        "first clause to its speech request, p95": (5.0, [[_clause_ms(marks[t.number]) for t in r] for r in whole]),
        "interrupt to last stale sound, p95": (30.0, [[_stale_ms(turn) for turn in r] for r in whole]),
        "interrupt to model's connection closed, p95": (
            50.0,
            [[_closed_ms(turn, marks[turn.number]) for turn in r] for r in whole],
        ),
    }
    for text, (limit, values) in figures.items():
        result.bars.append(Bar(f"live: {text}", Spread.of([percentile(one, 0.95) for one in values]), limit, unit="ms"))
    spans = _spans([turn for turns in whole for turn in turns], marks)
    for stage, (begins, ends) in spans.items():
        result.rows.append(Row(stage, {"begins, ms after the utterance": f"{begins:.1f}", "ends": f"{ends:.1f}"}))
    if draw_waterfall(spans, STAGES, RESULTS / "live.png"):
        result.notes.append("The stages of a turn, medians: results/live.png.")
    result.notes.append(
        "From `end` at the client to the first sound at the client, less what the upstreams measured that they held "
        "each question; all NATS hops, the stream, and the client's own delay are in it."
    )


def _own_ms(turn: _Turn, marks: Marks) -> float:
    held = sum(marks[_done(stage)] - marks[stage] for stage in STAGES)
    return (turn.first_sound - turn.ended - held) * 1e3


def _done(stage: str) -> str:
    """The mark that ends a stage: the chat server's is the end of the first clause."""
    return "clause" if stage == "llm" else f"{stage}_done"


def _clause_ms(marks: Marks) -> float:
    return (marks["tts"] - marks["clause"]) * 1e3


def _stale_ms(turn: _Turn) -> float:
    return max(0.0, turn.last_sound - turn.interrupted) * 1e3


def _closed_ms(turn: _Turn, marks: Marks) -> float:
    return max(0.0, marks.get("llm_closed", math.inf) - turn.interrupted) * 1e3


def _spans(turns: Iterable[_Turn], marks: dict[int, Marks]) -> dict[str, tuple[float, float]]:
    """The medians of when each stage begins and ends, in milliseconds after the utterance."""
    listed = list(turns)

    def median(values: Iterable[float]) -> float:
        return percentile(list(values), 0.5) * 1e3

    spans = {
        stage: (
            median(marks[turn.number][stage] - turn.ended for turn in listed),
            median(marks[turn.number][_done(stage)] - turn.ended for turn in listed),
        )
        for stage in STAGES
    }
    spans["final transcript at the client"] = (spans["stt"][1], median(turn.final - turn.ended for turn in listed))
    spans["first sound at the client"] = (spans["tts"][1], median(turn.first_sound - turn.ended for turn in listed))
    return spans


def _tone() -> bytes:
    count = int(16_000 * _CHUNK_SECONDS)
    return struct.pack(f"<{count}h", *(int(9000 * math.sin(math.tau * 220 * at / 16_000)) for at in range(count)))


_VOICE: Final = _tone()
