"""`fleet talk`: a conversation aloud, with a recording as the microphone."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path

import pytest

from handler_base.cli.voice import dialogue, sound
from handler_base.clients.audio import pcm_to_wav
from handler_base.messages import DocumentSource, STTStreamMessage, TTSAudioChunk, VoiceResponse, VoiceStreamChunk
from handler_base.messages.subjects import TTS_AUDIO, VOICE_RESPONSE, VOICE_RESPONSE_STREAM
from handler_base.nats_client import NatsConnection

from .conftest import Fleet
from .live_fake import FakeSession

RATE = 8_000
QUESTION = b"\x01\x00" * 1600
TENTH = 800
"""Samples of a tenth of a second."""


@pytest.fixture(autouse=True)
def quick(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording, a machine without a sound device, and no long wait for what does not come."""
    (folder / "question.wav").write_bytes(pcm_to_wav(QUESTION, RATE))
    monkeypatch.setattr(sound, "BACKENDS", ("WEBAUDIO",))
    monkeypatch.setattr(dialogue, "QUIET_SECONDS", 0.2)


def play(session: FakeSession, index: int, value: int, *, last: bool = False) -> None:
    audio = b"" if last else value.to_bytes(2, "little") * TENTH
    chunk = TTSAudioChunk(chunk_index=index, audio=audio, sample_rate=RATE, channels=1, is_last=last)
    session.tell(TTS_AUDIO, chunk)


def text(session: FakeSession, turn: str, sequence: int, words: str, kind: str = "text") -> None:
    chunk = VoiceStreamChunk(request_id=turn, type=kind, content=words, sequence=sequence, done=kind == "done")
    session.tell(VOICE_RESPONSE_STREAM, chunk)


def answer(session: FakeSession, turn: str, words: str, value: int, question: str) -> None:
    """What the assistant sends for a turn."""
    text(session, turn, 0, question, "transcription")
    text(session, turn, 1, words)
    play(session, 0, value)
    play(session, 1, value)
    play(session, 2, value, last=True)
    source = DocumentSource(title="Timetable", source_url="timetable.md")
    session.tell(
        VOICE_RESPONSE, VoiceResponse(request_id=turn, transcription=question, response=words, sources=[source])
    )
    text(session, turn, 2, "", "done")


def answering(session: FakeSession, message: STTStreamMessage) -> None:
    """Answers when the question is over: with the first silence."""
    if message.type == "chunk" and message.sequence == 2:
        session.partial("when is")
    elif message.type == "chunk" and not any(message.audio) and any(session.chunks[-2].audio):
        session.final("when is the ferry")
        answer(session, "t-1", "At six.", 5, "when is the ferry")
    elif message.type == "end":
        session.over()


def samples(path: Path) -> bytes:
    with wave.open(io.BytesIO(path.read_bytes())) as file:
        assert file.getframerate() == RATE
        return bytes(file.readframes(file.getnframes()))


async def test_a_recording_is_answered_and_then_it_leaves(fleet: Fleet, client: NatsConnection, folder: Path) -> None:
    session = await FakeSession(client, answering).start()
    run = await fleet("talk", "--from", "question.wav", "-o", "said.wav", "--user", "ann", "--session", "s-1")
    assert run.code == 0, run.err
    lines = run.out.splitlines()
    assert lines[:3] == ["~ [when is]", "You:    when is the ferry", "Fleet:  At six."]
    assert lines[3].endswith(" s to the first sound; from: Timetable)")
    assert lines[-1] == "Speech: said.wav (0.2 s)"
    assert samples(folder / "said.wav") == b"\x05\x00" * 2 * TENTH
    assert session.session_id == "s-1"
    assert session.messages[0].speaker_id == "ann"
    assert session.audio.startswith(QUESTION)
    # Silence goes on until the answer is heard.
    assert len(session.audio) - len(QUESTION) >= 2 * 2 * TENTH
    assert session.messages[-1].type == "end"


async def test_json_is_an_object_a_line(fleet: Fleet, client: NatsConnection) -> None:
    await FakeSession(client, answering).start()
    run = await fleet("talk", "--from", "question.wav", "--json")
    told = [json.loads(line) for line in run.out.splitlines()]
    assert [one["kind"] for one in told] == ["partial", "final", "text", "sound", "answer"]
    assert told[2]["text"] == "At six."
    assert (told[4]["response"], told[4]["sources"]) == ("At six.", ["timetable.md"])
    assert told[4]["first_sound_ms"] == told[3]["first_sound_ms"] > 0


async def test_an_interrupt_stops_the_sound_and_what_is_stale_is_dropped(
    fleet: Fleet, client: NatsConnection, folder: Path
) -> None:
    def interrupted(session: FakeSession, message: STTStreamMessage) -> None:
        if message.type == "chunk" and message.sequence == 3:
            session.final("when is the ferry")
            text(session, "t-1", 0, "At six, and then")
            for index in range(100):
                play(session, index, 5)
        elif message.type == "chunk" and message.sequence == 5:
            session.interrupt()
            play(session, 100, 6)
            play(session, 101, 6, last=True)
            text(session, "t-1", 1, "", "done")
            session.final("never mind", 1)
            answer(session, "t-2", "All right.", 7, "never mind")
        elif message.type == "end":
            session.over(2)

    await FakeSession(client, interrupted).start()
    run = await fleet("talk", "--from", "question.wav", "-o", "said.wav")
    assert run.code == 0, run.err
    assert "Fleet:  At six, and then\n        (interrupted)\nYou:    never mind\nFleet:  All right.\n" in run.out
    said = samples(folder / "said.wav")
    assert said.endswith(b"\x07\x00" * 2 * TENTH)
    heard = said[: -2 * 2 * TENTH]
    assert set(heard) <= {5, 0}
    assert 0 < len(heard) < 2 * 50 * TENTH


async def test_a_word_beside_an_answer_is_no_question(fleet: Fleet, client: NatsConnection) -> None:
    def aside(session: FakeSession, message: STTStreamMessage) -> None:
        if message.type == "chunk" and message.sequence == 3:
            session.final("when is the ferry")
            text(session, "t-1", 0, "At six.")
            play(session, 0, 5)
        elif message.type == "chunk" and message.sequence == 5:
            session.final("yes", 1, state="responding")
            play(session, 1, 5)
            play(session, 2, 5, last=True)
            session.tell(VOICE_RESPONSE, VoiceResponse(request_id="t-1", response="At six."))
            text(session, "t-1", 1, "", "done")
        elif message.type == "end":
            session.over(2)

    await FakeSession(client, aside).start()
    run = await fleet("talk", "--from", "question.wav", "--json")
    assert run.code == 0, run.err
    told = [json.loads(line) for line in run.out.splitlines()]
    assert [one["kind"] for one in told] == ["final", "text", "sound", "final", "answer"]
    assert told[4]["first_sound_ms"] == told[2]["first_sound_ms"]


async def test_a_question_that_nobody_answers(fleet: Fleet, client: NatsConnection) -> None:
    def deaf(session: FakeSession, message: STTStreamMessage) -> None:
        if message.type == "chunk" and message.sequence == 3:
            session.final("when is the ferry")
        elif message.type == "end":
            session.over()

    await FakeSession(client, deaf).start()
    run = await fleet("talk", "--from", "question.wav", "--timeout", "0.3")
    assert run.code == 4
    assert "is a voice-assistant running?" in run.err


async def test_an_answer_that_is_an_error(fleet: Fleet, client: NatsConnection) -> None:
    def failing(session: FakeSession, message: STTStreamMessage) -> None:
        if message.type == "chunk" and message.sequence == 3:
            session.final("when is the ferry")
            told = {"Nats-Service-Error": "The model server is away.", "Nats-Service-Error-Code": "503"}
            session.tell(VOICE_RESPONSE, VoiceResponse(error="The model server is away."), **told)
        elif message.type == "end":
            session.over()

    await FakeSession(client, failing).start()
    run = await fleet("talk", "--from", "question.wav")
    assert run.code == 1
    assert run.err == "fleet: The model server is away. (upstream_unavailable)\n"


async def test_nobody_listens_or_nothing_can_be_heard(fleet: Fleet) -> None:
    nobody = await fleet("talk", "--from", "question.wav")
    assert nobody.code == 4
    assert nobody.err.startswith("fleet: No stt-module is listening")
    silent = await fleet("talk")
    assert silent.code == 2
    assert silent.err.startswith("fleet: There is no sound device here that plays. Save what is said with -o")
    deaf = await fleet("talk", "-o", "said.wav")
    assert deaf.code == 1
    assert deaf.err == "fleet: There is no microphone here.\n"
