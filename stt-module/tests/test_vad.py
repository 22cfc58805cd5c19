"""Detectors of voice: what is speech and what is not, and that sessions do not hear each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import InternalError
from stt_module.energy import EnergyDetector, NoiseGate
from stt_module.silero import Memory, SileroDetector, SileroModel, find_model
from stt_module.vad import Detector, DetectorKind, open_detector
from stt_module.windows import WINDOW_BYTES, Windows

from .sounds import noise, vowels


@pytest.fixture(params=list(DetectorKind))
def detector(request: pytest.FixtureRequest) -> Iterator[Detector]:
    opened = open_detector(request.param)
    yield opened
    opened.close()


@pytest.fixture
def silero() -> Iterator[SileroDetector]:
    opened = SileroDetector()
    yield opened
    opened.close()


def windows_of(audio: bytes) -> list[bytes]:
    return list(Windows().feed(audio))


VOICE = windows_of(noise(1.0, level=30) + vowels(2.0) + noise(1.0, level=30))


async def test_voice_is_told_from_a_quiet_room(detector: Detector) -> None:
    scores = await detector.stream().score(VOICE)
    assert len(scores) == len(VOICE)
    assert all(0 <= score <= 1 for score in scores)
    assert np.mean(scores[:30]) < 0.1
    assert np.mean(scores[35:90]) > 0.6
    assert np.mean(scores[-15:]) < 0.35


async def test_digital_silence_is_silent(detector: Detector) -> None:
    assert await detector.stream().score([bytes(WINDOW_BYTES)] * 50) == [0.0] * 50


async def test_steady_noise_is_no_voice_once_it_is_known(detector: Detector) -> None:
    scores = await detector.stream().score(windows_of(noise(6.0, level=800)))
    assert max(scores[80:]) < 0.5


async def test_how_many_windows_come_at_once_changes_nothing(detector: Detector) -> None:
    whole = await detector.stream().score(VOICE)
    stream, single = detector.stream(), []
    for start in range(0, len(VOICE), 3):
        single += await stream.score(VOICE[start : start + 3])
    assert single == pytest.approx(whole, abs=1e-4)


async def test_sessions_do_not_hear_each_other(silero: SileroDetector) -> None:
    voice, quiet = silero.stream(), [silero.stream() for _ in range(20)]
    alone = await silero.stream().score(VOICE)
    rounds = [
        await asyncio.gather(voice.score([window]), *[stream.score([noise(0.032, level=900)]) for stream in quiet])
        for window in VOICE
    ]
    assert [scores[0][0] for scores in rounds] == pytest.approx(alone, abs=1e-4)


async def test_many_sessions_share_a_run_and_the_loop_stays_free(silero: SileroDetector) -> None:
    work = [asyncio.create_task(silero.stream().score(VOICE[30:60])) for _ in range(100)]
    longest, last = 0.0, time.perf_counter()
    while not all(task.done() for task in work):
        await asyncio.sleep(0)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    assert longest < 0.2


async def test_a_session_that_goes_leaves_the_others_be(silero: SileroDetector) -> None:
    gone, stays = (asyncio.create_task(silero.stream().score(VOICE)) for _ in range(2))
    await asyncio.sleep(0.001)
    gone.cancel()
    assert len(await stays) == len(VOICE)


async def test_a_failing_run_is_a_typed_error_and_the_next_one_works(silero: SileroDetector) -> None:
    with pytest.raises(InternalError):
        await silero.stream().score([noise(0.01, level=9_000)])  # not a window
    assert len(await silero.stream().score(VOICE)) == len(VOICE)


async def test_what_waits_fails_when_the_detector_closes(silero: SileroDetector) -> None:
    waiting = asyncio.create_task(silero.stream().score(VOICE))
    await asyncio.sleep(0)
    silero.close()
    with pytest.raises(InternalError):
        await waiting


def test_the_model_runs_sessions_together_as_it_does_alone() -> None:
    model = SileroModel(find_model())
    together, alone = [Memory() for _ in range(3)], Memory()
    for start in range(30, 40):
        scores = model.run(VOICE[start : start + 3], together)
        assert scores[0] == pytest.approx(model.run([VOICE[start]], [alone])[0], abs=1e-4)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for kind in (DetectorKind.SILERO, DetectorKind.WEBRTC):
        with pytest.raises(InternalError, match=f"{kind} detector takes"):
            open_detector(kind)


def test_the_gate_stays_open_for_a_word_that_ends_softly() -> None:
    gate = NoiseGate()
    passed = [gate.passes(window) for window in VOICE + windows_of(noise(1.0, level=30))]
    assert not any(passed[:30])
    assert all(passed[32:120])
    assert not any(passed[-25:])


@given(st.lists(st.binary(min_size=WINDOW_BYTES, max_size=WINDOW_BYTES), max_size=4))
def test_any_samples_have_a_score(windows: list[bytes]) -> None:
    scores = asyncio.run(EnergyDetector().stream().score(windows))
    assert all(0 <= score <= 1 for score in scores)
