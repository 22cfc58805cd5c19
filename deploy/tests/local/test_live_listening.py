"""Speech that is streamed into a session is understood, word by word, with real models."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.local.inference.server import ServerOptions
from deploy.local.inference.speech_engines import Speaker
from deploy.local.inference.transcription_pool import Recognizer
from deploy.tests.local.conftest import InferenceServer
from handler_base.handler import Service
from handler_base.testing.stt_caller import stt_caller
from stt_module import SttModule, SttSettings

QUESTIONS = ("How many residents does Marrowick have?", "What is the speed limit in the inner harbour?")


@pytest.fixture
def server_options(speaker: Speaker, recognizer: Recognizer) -> ServerOptions:
    return ServerOptions(words_per_second=0, workers=1, speaker=speaker, recognizer=recognizer)


# The recogniser alone takes half a minute on a busy machine.
@pytest.mark.faults
async def test_two_spoken_questions_are_two_transcriptions(
    inference: InferenceServer, speaker: Speaker, nats_url: str
) -> None:
    room = np.random.default_rng(1).normal(0, 10, 16_000).astype("<i2").tobytes()
    spoken = [await speaker.say(question, voice=speaker.voices[0], speed=1.0) for question in QUESTIONS]
    assert {speech.rate for speech in spoken} == {16_000}
    settings = SttSettings(
        nats_url=nats_url,
        whisper_url=inference.url,
        health_host="127.0.0.1",
        health_port=0,
        # One recogniser on a busy machine: it shall not read everything several times.
        stt_partials=False,
        stt_timeout=150,
    )
    service = Service(SttModule(settings))
    await service.start()
    try:
        async with stt_caller(nats_url) as caller:
            heard = await caller.hear("spoken-questions")
            await caller.send(heard, "start", language="en", speaker_id="ann")
            audio = room + b"".join(speech.samples + room for speech in spoken)
            await caller.speak(heard, audio, step=3200, pace=0.01)
            await caller.send(heard, "end")
            await heard.until(lambda heard: heard.over, timeout=200)
    finally:
        await service.stop()
    first, second = (final.transcript.lower() for final in heard.finals)
    assert "how many residents" in first
    assert "speed limit" in second
    assert "harbour" in second
    assert [final.sequence for final in heard.finals] == [0, 1]
    assert heard.errors == []
