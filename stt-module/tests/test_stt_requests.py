"""What a client says of its session: taken, or answered with a typed error; and how sessions end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from handler_base.handler import Service
from handler_base.messages.subjects import STT_STREAM
from handler_base.testing.inference import Failure, FakeSTT, hang, reset, status
from handler_base.testing.stt_caller import SttCaller

from .sounds import noise, vowels

StartStt = Callable[..., Awaitable[Service]]
ROOM = noise(0.8, level=30)
SHORT = vowels(0.5)
TALK = ROOM + vowels(1.0) + ROOM


@pytest.mark.parametrize("body", [b"\xc1", b"\x81\xa4type", b"\x81\xa4type\x80", b"\xff" * 40, b"\x80", b""])
async def test_nonsense_is_an_error_in_and_outside_a_session(stt: SttCaller, body: bytes) -> None:
    outside, inside = await stt.hear(), await stt.hear()
    await stt.send(inside, "start")
    for heard in (outside, inside):
        await stt.client.publish(STT_STREAM.format(session_id=heard.session_id), body)
        await heard.until(lambda heard: heard.errors)
        assert (heard.errors, heard.codes) == (["invalid_request"], ["400"])
    await stt.speak(inside, TALK)
    await stt.send(inside, "end")
    assert len((await inside.ended()).finals) == 1


@pytest.mark.parametrize(
    "values",
    [{"state": "dancing"}, {"language": "klingon or so"}, {"speaker_id": "x" * 200}, {"sample_rate": -5}],
)
async def test_what_makes_no_sense_is_an_error(stt: SttCaller, values: dict[str, Any]) -> None:
    heard = await stt.hear()
    await stt.send(heard, "start", **values)
    await heard.until(lambda heard: heard.errors)
    assert heard.errors == ["invalid_request"]


async def test_a_state_of_a_session_that_is_not_there_is_not_found(stt: SttCaller) -> None:
    heard = await stt.hear()
    await stt.send(heard, "state_change", state="responding")
    await heard.until(lambda heard: heard.errors)
    assert (heard.errors, heard.codes) == (["not_found"], ["404"])


async def test_a_session_whose_start_was_lost_begins_with_its_first_chunk(stt: SttCaller) -> None:
    heard = await stt.hear()
    await stt.speak(heard, TALK)
    await stt.send(heard, "end")
    await heard.ended()
    assert [final.sequence for final in heard.finals] == [0]


async def test_a_second_start_ends_what_was_and_counts_anew(stt: SttCaller) -> None:
    heard = await stt.hear()
    for speaker in ("ann", "ben"):
        await stt.send(heard, "start", speaker_id=speaker)
        await stt.speak(heard, ROOM + vowels(0.7))
    await stt.send(heard, "end")
    await heard.ended()
    assert [(final.sequence, final.speaker_id) for final in heard.finals] == [(0, "ann"), (0, "ben")]


async def test_the_speaker_may_change_in_between(stt: SttCaller) -> None:
    heard = await stt.hear()
    await stt.send(heard, "start", speaker_id="ann")
    number = await stt.speak(heard, TALK)
    await heard.until(lambda heard: heard.finals)
    await stt.send(heard, "state_change", speaker_id="ben")
    await stt.speak(heard, TALK, first=number)
    await stt.send(heard, "end")
    await heard.ended()
    assert [final.speaker_id for final in heard.finals] == ["ann", "ben"]


async def test_the_language_may_be_the_server_s_to_find(stt: SttCaller, server: FakeSTT) -> None:
    await stt.say(TALK, language="auto")
    await stt.say(TALK, language="pt-BR")
    told = [request.form.get("language") for request in server.requests]
    assert (told[0], told[-1]) == (None, b"pt")


async def test_a_session_that_falls_silent_ends_by_itself(start: StartStt, caller: SttCaller) -> None:
    await start(vad="energy", stt_session_idle=1)
    heard = await caller.hear()
    await caller.send(heard, "start")
    await caller.speak(heard, ROOM + vowels(0.7))
    await heard.ended()
    assert len(heard.finals) == 1
    assert heard.told[-1].sequence == 1


async def test_an_utterance_ends_at_its_longest(start: StartStt, caller: SttCaller) -> None:
    await start(vad="energy", utterance_max_seconds=1, stt_partials=False)
    heard = await caller.say(ROOM + vowels(3.5) + ROOM)
    assert len(heard.finals) in {4, 5}
    assert max(final.audio_ms for final in heard.finals) <= 1000


async def test_an_utterance_ends_at_its_largest(start: StartStt, caller: SttCaller) -> None:
    await start(vad="energy", utterance_max_bytes=32_000, stt_partials=False)
    heard = await caller.say(ROOM + vowels(2.5) + ROOM)
    assert max(final.audio_ms for final in heard.finals) <= 1000


@pytest.mark.parametrize(
    ("failure", "error"),
    [(status(500), "upstream_error"), (status(400), "upstream_error"), (reset(), "upstream_unavailable")],
)
async def test_an_utterance_that_cannot_be_transcribed_has_its_final(
    start: StartStt, caller: SttCaller, server: FakeSTT, failure: Failure, error: str
) -> None:
    await start(vad="energy", stt_partials=False)
    server.script.always = failure
    heard = await caller.hear()
    await caller.send(heard, "start")
    number = await caller.speak(heard, TALK)
    await heard.until(lambda heard: heard.finals)
    server.script.always = None
    await caller.speak(heard, TALK, first=number)
    await caller.send(heard, "end")
    await heard.ended()
    assert [(final.sequence, final.error_type, final.transcript) for final in heard.finals] == [
        (0, error, ""),
        (1, "", "What is NATS?"),
    ]
    assert heard.codes == [{"upstream_error": "502", "upstream_unavailable": "503"}[error]]


async def test_a_server_that_is_away_shows_as_degraded_and_recovers_by_itself(
    start: StartStt, caller: SttCaller, server: FakeSTT
) -> None:
    service = await start(vad="energy", stt_partials=False)
    await server.stop()
    heard = await caller.say(TALK)
    assert heard.finals[0].error_type == "upstream_unavailable"
    assert service.ready
    assert dict(service.handler.dependencies()) == {"stt": False}
    await server.start()
    heard = await caller.say(TALK)
    assert heard.finals[0].transcript == "What is NATS?"
    assert dict(service.handler.dependencies()) == {"stt": True}


async def test_a_server_that_hangs_is_given_up(start: StartStt, caller: SttCaller, server: FakeSTT) -> None:
    await start(vad="energy", stt_partials=False, stt_timeout=0.3)
    server.script.always = hang()
    heard = await caller.say(TALK)
    assert (heard.finals[0].error_type, heard.codes) == ("deadline_exceeded", ["504"])


async def test_utterances_that_end_all_at_once_wait_their_turn(start: StartStt, caller: SttCaller) -> None:
    await start(vad="energy", stt_partials=False, max_concurrency=1, queue_size=0)
    sessions = [await caller.hear() for _ in range(20)]
    for heard in sessions:
        await caller.send(heard, "start")
        await caller.speak(heard, ROOM + SHORT)
    for heard in sessions:
        await caller.send(heard, "end")
    for heard in sessions:
        await heard.ended()
        assert [(final.transcript, final.error_type) for final in heard.finals] == [("What is NATS?", "")]


async def test_an_utterance_whose_turn_does_not_come_has_its_final(
    start: StartStt, caller: SttCaller, server: FakeSTT
) -> None:
    await start(vad="energy", stt_partials=False, stt_timeout=0.3, max_concurrency=1)
    server.script.always = hang()
    sessions = [await caller.hear() for _ in range(3)]
    for heard in sessions:
        await caller.send(heard, "start")
        await caller.speak(heard, TALK)
        await caller.send(heard, "end")
    for heard in sessions:
        await heard.ended()
        assert [(final.sequence, final.transcript, final.error_type) for final in heard.finals] == [
            (0, "", "deadline_exceeded")
        ]


async def test_a_word_that_is_none_has_no_voice(start: StartStt, caller: SttCaller, server: FakeSTT) -> None:
    await start(vad="energy", stt_partials=False)
    server.script.pieces = ("",)
    server.script.events = ""
    heard = await caller.say(TALK)
    assert [(final.transcript, final.has_voice_activity, final.error_type) for final in heard.finals] == [
        ("", False, "")
    ]
