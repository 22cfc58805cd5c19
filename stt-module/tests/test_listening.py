"""A session's ears: audio in any form becomes utterances and interrupts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stt_module.backchannel import InterruptRules
from stt_module.energy import EnergyDetector
from stt_module.listening import Ears, Heard, ListeningRules, ListeningState
from stt_module.pcm import PcmFormat
from stt_module.utterances import EndReason
from stt_module.vad import Detector, DetectorKind, open_detector

from .sounds import noise, vowels

ROOM = noise(0.8, level=30)
TALK = ROOM + vowels(1.2) + ROOM + vowels(0.9) + ROOM


@pytest.fixture(params=list(DetectorKind))
def detector(request: pytest.FixtureRequest) -> Iterator[Detector]:
    opened = open_detector(request.param)
    yield opened
    opened.close()


async def listen(ears: Ears, audio: bytes, step: int = 640) -> list[Heard]:
    return [await ears.hear(audio[start : start + step]) for start in range(0, len(audio), step)]


async def test_two_sentences_are_two_utterances(detector: Detector) -> None:
    ears = Ears(detector.stream())
    found = [utterance for heard in await listen(ears, TALK, 32_000) for utterance in heard.utterances]
    assert [utterance.number for utterance in found] == [0, 1]
    for utterance, start, end in zip(found, (800, 2_800), (2_000, 3_700), strict=True):
        assert abs(utterance.start_ms - start) < 300  # the pre-roll has the rest
        assert abs(utterance.end_ms - end) < 300
        assert utterance.reason is EndReason.SILENCE
    assert not ears.speaking
    assert ears.heard_ms == pytest.approx(len(TALK) // 32, abs=32)


async def test_the_end_gives_what_is_under_way() -> None:
    ears = Ears(EnergyDetector().stream())
    await listen(ears, ROOM + vowels(0.7))
    assert ears.speaking
    assert ears.utterance_ms == len(ears.so_far()) // 32 > 600
    (utterance,) = (await ears.end()).utterances
    assert utterance.reason is EndReason.END
    assert (await ears.end()).utterances == ()
    assert ears.utterance_ms == 0


async def test_other_layouts_are_heard_alike() -> None:
    stereo = b"".join(TALK[at : at + 2] * 2 for at in range(0, len(TALK), 2))
    plain, other = Ears(EnergyDetector().stream()), Ears(EnergyDetector().stream(), layout=PcmFormat(channels=2))
    assert (await plain.hear(TALK)).utterances == (await other.hear(stereo)).utterances


async def test_long_speech_interrupts_an_answer_once(detector: Detector) -> None:
    ears = Ears(detector.stream())
    await listen(ears, ROOM)
    ears.change_state(ListeningState.RESPONDING)
    interrupts = [heard.interrupt for heard in await listen(ears, vowels(2.0))]
    assert interrupts.count(True) == 1
    assert 700 <= interrupts.index(True) * 20 <= 1_000
    assert ears.state is ListeningState.LISTENING


async def test_short_speech_lets_the_answer_go_on() -> None:
    ears = Ears(EnergyDetector().stream())
    await listen(ears, ROOM)
    ears.change_state(ListeningState.RESPONDING)
    heard = await listen(ears, vowels(0.3) + ROOM + vowels(0.3) + ROOM)
    assert not any(each.interrupt for each in heard)
    assert sum(len(each.utterances) for each in heard) == 2
    assert ears.state is ListeningState.RESPONDING


async def test_speech_interrupts_nothing_while_nobody_answers() -> None:
    heard = await listen(Ears(EnergyDetector().stream()), TALK)
    assert not any(each.interrupt for each in heard)


async def test_what_is_understood_decides_earlier() -> None:
    ears = Ears(EnergyDetector().stream(), ListeningRules(interrupts=InterruptRules(least=timedelta(seconds=2))))
    ears.change_state(ListeningState.RESPONDING)
    assert not ears.understand("stop")  # nobody speaks
    await listen(ears, ROOM + vowels(0.3))
    assert not ears.understand("mhm")
    assert ears.understand("stop")
    assert not ears.understand("stop")


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, len(TALK)), max_size=40))
async def test_how_the_audio_was_cut_changes_nothing(places: list[int]) -> None:
    edges = [0, *sorted(places), len(TALK)]
    whole, cut = Ears(EnergyDetector().stream()), Ears(EnergyDetector().stream())
    for ears in (whole, cut):
        ears.change_state(ListeningState.RESPONDING)
    expected = await whole.hear(TALK)
    heard = [await cut.hear(TALK[start:end]) for start, end in pairwise(edges)]
    assert tuple(each for piece in heard for each in piece.utterances) == expected.utterances
    assert sum(piece.interrupt for piece in heard) == expected.interrupt == 1
