"""`fleet listen`: sound at its own pace, and what is understood of it."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any, cast

import av
import pytest

from handler_base.cli.voice.live_line import LiveLine, Words
from handler_base.clients.audio import pcm_to_wav
from handler_base.messages import STTStreamMessage, STTTranscription
from handler_base.messages.subjects import STT_TRANSCRIPTION
from handler_base.nats_client import NatsConnection
from handler_base.testing.nats_server import NatsServer

from .conftest import Fleet
from .live_fake import FakeSession

RATE = 8_000
SOUND = b"".join(value.to_bytes(2, "little") for value in range(1, 2401))
"""0.3 s, each sample another."""


@pytest.fixture(autouse=True)
def question(folder: Path) -> Path:
    path = folder / "question.wav"
    path.write_bytes(pcm_to_wav(SOUND, RATE))
    return path


def understanding(session: FakeSession, message: STTStreamMessage) -> None:
    """Two readings while sound comes, a final and the end when it is over."""
    if message.type == "chunk" and message.sequence == 2:
        session.partial("when is")
        session.partial("when is the fairy")
    elif message.type == "end":
        session.partial("when is the ferry due")
        session.final("when is the ferry due")
        session.over()


async def test_sound_is_sent_at_its_pace_and_what_is_understood_is_printed(
    fleet: Fleet, client: NatsConnection
) -> None:
    session = await FakeSession(client, understanding).start()
    begun = time.monotonic()
    run = await fleet("listen", "question.wav", "--language", "de", "--speaker", "ann")
    assert run.code == 0, run.err
    assert time.monotonic() - begun >= 0.3
    assert run.out.splitlines() == [
        "~ [when is]",
        "~ when is [the fairy]",
        "~ when is the [ferry due]",
        "when is the ferry due",
        "",
        "0.9 s of sound, 1 utterance.",
    ]
    start = session.messages[0]
    assert session.session_id.startswith("listen-")
    assert (start.type, start.sample_rate, start.channels, start.audio_encoding) == ("start", RATE, 1, 1)
    assert (start.language, start.speaker_id) == ("de", "ann")
    assert session.audio == SOUND
    assert [chunk.sequence for chunk in session.chunks] == list(range(1, len(session.chunks) + 1))
    assert {len(chunk.audio) for chunk in session.chunks[:-1]} == {640}


async def test_json_is_an_object_a_line(fleet: Fleet, client: NatsConnection) -> None:
    await FakeSession(client, understanding).start()
    told = [json.loads(line) for line in (await fleet("listen", "question.wav", "--json")).out.splitlines()]
    assert [one["kind"] for one in told] == ["partial", "partial", "partial", "final", "ended"]
    assert [one["confirmed"] for one in told[:3]] == ["", "when is", "when is the"]
    assert (told[3]["number"], told[3]["transcript"]) == (0, "when is the ferry due")
    finals = await fleet("listen", "question.wav", "--json", "--no-partials")
    assert [json.loads(line)["kind"] for line in finals.out.splitlines()] == ["final", "ended"]


@pytest.mark.parametrize("container", ["webm", "mp3"])
async def test_other_recordings_are_decoded(fleet: Fleet, client: NatsConnection, folder: Path, container: str) -> None:
    codec, rate = ("libopus", 48_000) if container == "webm" else ("mp3", 44_100)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as target:
        stream = cast("Any", target.add_stream(codec, rate=rate, layout="mono"))
        resampler = av.AudioResampler(stream.format, "mono", rate, stream.frame_size or None)
        with av.open(str(folder / "question.wav")) as source:
            for frame in (*source.decode(audio=0), None):
                for piece in resampler.resample(frame):
                    target.mux(stream.encode(piece))
        target.mux(stream.encode(None))
    (folder / f"question.{container}").write_bytes(file.getvalue())
    session = await FakeSession(client, understanding).start()
    run = await fleet("listen", f"question.{container}", "--no-partials")
    assert run.code == 0, run.err
    assert session.messages[0].sample_rate == 16_000
    assert len(session.audio) / 32_000 == pytest.approx(0.3, abs=0.1)


async def test_what_goes_wrong_is_told(fleet: Fleet, client: NatsConnection) -> None:
    def failing(session: FakeSession, message: STTStreamMessage) -> None:
        if message.type == "end":
            error = STTTranscription(is_final=True, error_type="upstream_unavailable")
            told = {"Nats-Service-Error": "The model server is away.", "Nats-Service-Error-Code": "503"}
            session.tell(STT_TRANSCRIPTION, error, **told)
            session.over()

    await FakeSession(client, failing).start()
    run = await fleet("listen", "question.wav")
    assert run.code == 1
    assert run.err == "fleet: The model server is away. (upstream_unavailable)\n"


async def test_nobody_listens_or_tells_the_end(fleet: Fleet, client: NatsConnection) -> None:
    nobody = await fleet("listen", "question.wav")
    assert nobody.code == 4
    assert nobody.err.startswith("fleet: No stt-module is listening on nats://127.0.0.1:")
    await FakeSession(client, lambda _session, _message: None).start()
    late = await fleet("listen", "question.wav", "--timeout", "0.1")
    assert late.code == 4
    assert "The end of the session was not told in time." in late.err


async def test_what_is_no_recording_is_not_sent(fleet: Fleet, folder: Path) -> None:
    (folder / "zip.wav").write_bytes(b"PK\x03\x04" + bytes(1000))
    (folder / "empty.wav").write_bytes(b"")
    (folder / "silent.wav").write_bytes(pcm_to_wav(b"", RATE))
    for name in ("zip.wav", "empty.wav", "silent.wav", "not-there.wav"):
        run = await fleet("listen", name)
        assert run.code == 2, name
        assert name in run.err


async def test_the_microphone_is_heard_until_it_is_interrupted(
    own_nats: NatsServer, client: NatsConnection, folder: Path
) -> None:
    session = await FakeSession(client, understanding).start()
    code = (
        "from handler_base.cli.voice import sound; sound.BACKENDS = ('NULL',);"
        "from handler_base.cli import main; import sys; sys.argv = ['fleet', 'listen']; main()"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        cwd=folder,
        env={"NATS_URL": own_nats.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(15):
        await session.begun.wait()
        assert process.stdout is not None
        while await process.stdout.readline() != b"~ when is [the fairy]\n":
            pass
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"when is the ferry due\n" in out
    assert session.messages[0].sample_rate == 16_000
    assert session.ended.is_set()


def test_words_are_confirmed_by_two_readings_and_a_word_behind_them() -> None:
    words = Words()
    assert words.hear(0, "when do") == ("", "when do")
    assert words.hear(0, "when do tours") == ("when do", "tours")
    assert words.hear(0, "when do two are") == ("when do", "two are")
    assert words.hear(1, "how") == ("", "how")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_line_is_written_anew_and_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "20")
    line = LiveLine()
    line.show("when do", "to\x1b[2Jurs")
    line.show("when do tours of the", "observatory")
    line.clear()
    line.clear()
    first, second, cleared = screen.getvalue().split("\r\x1b[K")[1:]
    assert first == "\x1b[1mwhen do\x1b[0m \x1b[2mto[2Jurs\x1b[0m"
    assert second == "\x1b[1m of the\x1b[0m \x1b[2mobservatory\x1b[0m"
    assert cleared == ""
