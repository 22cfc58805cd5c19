"""What is said of an utterance before it is over, and whether an answer is interrupted by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise

import pytest

from handler_base.handler import Service
from handler_base.testing.inference import FakeSTT
from handler_base.testing.stt_caller import HeardSession, SttCaller

from .sounds import noise, vowels

StartStt = Callable[..., Awaitable[Service]]
ROOM = noise(0.8, level=30)
TALK = vowels(3.0)
QUICK = {"vad": "energy", "stt_partial_interval": 0.3}


def has_partials(count: int, heard: HeardSession) -> bool:
    return len(heard.partials) >= count


async def test_partials_come_while_somebody_speaks_and_their_confirmed_words_stay(
    start: StartStt, caller: SttCaller, server: FakeSTT
) -> None:
    await start(**QUICK)
    heard = await caller.hear()
    await caller.send(heard, "start", speaker_id="ann")
    number = await caller.speak(heard, ROOM)
    readings = ["One", "One two", "One two tree", "One two three four", "One two three for five", "One two three"]
    for place, reading in enumerate(readings, start=1):
        server.script.pieces = (reading,)
        number = await caller.speak(heard, TALK[: 32_000 // 2], first=number)
        if place < len(readings):
            await heard.until(partial(has_partials, place))
    partials = [one.transcript for one in heard.partials[:5]]
    assert partials[0] == "One"
    # Confirmed: read twice at its place, with another word behind it.
    assert all(later.startswith("One two") for later in partials[3:])
    assert heard.finals == []
    for one in heard.partials:
        assert (one.sequence, one.speaker_id, one.is_final) == (0, "ann", False)
        assert one.has_voice_activity
    for before, after in pairwise(heard.partials):
        assert before.audio_ms < after.audio_ms
    await caller.speak(heard, ROOM, first=number)
    await heard.until(lambda heard: heard.finals)
    assert heard.finals[0].transcript == "One two three"
    assert heard.finals[0].sequence == 0


async def test_a_streaming_server_s_words_are_partials_before_the_final(
    start: StartStt, caller: SttCaller, server: FakeSTT
) -> None:
    await start(vad="energy", stt_partial_interval=30)
    server.script.pieces = ("What", " is", " the", " time?")
    server.script.tokens_per_second = 20
    heard = await caller.say(ROOM + vowels(1.0) + ROOM)
    assert heard.partials[-1].transcript.startswith("What is the")
    assert len(heard.partials) >= 2
    assert [final.transcript for final in heard.finals] == ["What is the time?"]
    assert heard.told.index(heard.finals[0]) > heard.told.index(heard.partials[-1])
    assert [request.form.get("stream") for request in server.requests] == [b"true"]


async def test_without_partials_only_finals_are_published(start: StartStt, caller: SttCaller, server: FakeSTT) -> None:
    await start(vad="energy", stt_partials=False)
    heard = await caller.say(ROOM + TALK + ROOM)
    assert heard.partials == []
    assert len(heard.finals) == len(server.requests) == 1


async def test_partials_that_fail_harm_nobody(start: StartStt, caller: SttCaller, server: FakeSTT) -> None:
    await start(**QUICK)
    heard = await caller.hear()
    await caller.send(heard, "start")
    await server.stop()
    number = await caller.speak(heard, ROOM + TALK, pace=0.002)
    await server.start()
    await caller.speak(heard, ROOM, first=number)
    await caller.send(heard, "end")
    await heard.ended()
    assert len(heard.finals) == 1
    assert heard.errors == []


async def test_speech_into_an_answer_interrupts_it_and_the_session_listens_again(
    start: StartStt, caller: SttCaller
) -> None:
    await start(**QUICK, interrupt_min_ms=400)
    heard = await caller.hear()
    await caller.send(heard, "start", speaker_id="ann")
    await caller.send(heard, "state_change", state="responding")
    number = await caller.speak(heard, ROOM + TALK)
    await heard.until(lambda heard: heard.interrupts)
    (interrupt,) = heard.interrupts
    assert (interrupt.session_id, interrupt.type, interrupt.speaker_id) == (heard.session_id, "interrupt", "ann")
    await caller.speak(heard, ROOM, first=number)
    await heard.until(lambda heard: heard.finals)
    assert heard.finals[0].state == "listening"
    assert len(heard.interrupts) == 1


@pytest.mark.parametrize("length", [0.25, 0.4])
async def test_a_short_sound_does_not_interrupt(start: StartStt, caller: SttCaller, length: float) -> None:
    await start(**QUICK)
    heard = await caller.hear()
    await caller.send(heard, "start", state="responding")
    await caller.speak(heard, ROOM + vowels(length) + ROOM)
    await heard.until(lambda heard: heard.finals)
    assert heard.interrupts == []
    assert heard.finals[0].state == "responding"


async def test_a_backchannel_that_is_understood_does_not_interrupt_though_it_lasts(
    start: StartStt, caller: SttCaller, server: FakeSTT
) -> None:
    await start(**QUICK, interrupt_min_ms=700)
    server.script.pieces = ("mm-hmm",)
    heard = await caller.hear()
    await caller.send(heard, "start", state="responding")
    number = await caller.speak(heard, ROOM + vowels(0.6))
    await heard.until(lambda heard: heard.partials)
    await caller.speak(heard, vowels(0.5) + ROOM, first=number)
    await heard.until(lambda heard: heard.finals)
    assert heard.interrupts == []


async def test_a_command_that_is_understood_interrupts_early(
    start: StartStt, caller: SttCaller, server: FakeSTT
) -> None:
    await start(**QUICK, interrupt_min_ms=5000)
    server.script.pieces = ("stop",)
    heard = await caller.hear()
    await caller.send(heard, "start", state="responding")
    await caller.speak(heard, ROOM + vowels(0.6))
    await heard.until(lambda heard: heard.interrupts)


async def test_nothing_interrupts_while_no_answer_is_spoken(start: StartStt, caller: SttCaller) -> None:
    await start(**QUICK, interrupt_min_ms=300)
    heard = await caller.say(ROOM + TALK + ROOM)
    assert heard.interrupts == []
