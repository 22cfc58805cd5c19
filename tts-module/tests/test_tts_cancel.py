"""A cancelled speech stops at once, here and at the speech server, and nothing of it comes later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from handler_base.handler import Service
from handler_base.messages import TTSRequest, encode
from handler_base.messages.subjects import TTS_CANCEL, TTS_REQUEST
from handler_base.testing.inference import FakeTTS, hang
from handler_base.testing.tts_caller import TtsCaller
from handler_base.testing.waiting import wait_until

StartTts = Callable[..., Awaitable[Service]]

SECOND = b"\x01\x00" * 24_000


async def test_a_running_speech_stops(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.chunks = [SECOND] * 2
    server.script.always = hang(after=1)
    heard = await tts.hear()
    await tts.ask(heard, TTSRequest(text="A sentence that never ends."))
    await heard.until(lambda heard: heard.chunks)
    await tts.cancel(heard)
    await heard.ended()
    assert heard.said == ["queued", "processing", "cancelled"]
    assert heard.codes[-1] == "499"
    assert heard.order[-2:] == ["chunk", "cancelled"]
    assert (heard.chunks[-1].is_last, heard.chunks[-1].audio) == (True, b"")
    await wait_until(lambda: server.open_streams == 0)
    assert server.disconnects == 1


async def test_nothing_comes_after_the_status(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.chunks = [b"\x01\x00" * 2400] * 500
    server.script.tokens_per_second = 500
    heard = await tts.hear()
    await tts.ask(heard, TTSRequest(text="A long sentence. " * 20))
    await heard.until(lambda heard: len(heard.chunks) >= 10)
    began = time.perf_counter()
    await tts.cancel(heard)
    await heard.ended()
    assert time.perf_counter() - began < 1
    await wait_until(lambda: server.open_streams == 0)
    await tts.client.flush()
    assert heard.order.index("cancelled") == len(heard.order) - 1


async def test_one_request_of_a_session_is_stopped(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.failures = [hang()]
    heard = await tts.hear()
    await tts.ask(heard, TTSRequest(text="The first one.", request_id="one"))
    await tts.ask(heard, TTSRequest(text="The second one.", request_id="two"))
    await wait_until(lambda: len(server.requests) == 1)
    await tts.cancel(heard, "one")
    await heard.ended(2)
    assert heard.said == ["queued", "processing", "queued", "cancelled", "processing", "completed"]
    assert [request.json["input"] for request in server.requests] == ["The first one.", "The second one."]


async def test_a_waiting_request_is_stopped(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.failures = [hang()]
    heard = await tts.hear()
    await tts.ask(heard, TTSRequest(text="The first one.", request_id="one"))
    await tts.ask(heard, TTSRequest(text="The second one.", request_id="two"))
    await heard.until(lambda heard: heard.said.count("queued") == 2)
    await tts.cancel(heard, "two")
    await heard.ended()
    await tts.cancel(heard)
    await heard.ended(2)
    assert heard.said == ["queued", "processing", "queued", "cancelled", "cancelled"]
    assert len(server.requests) == 1


async def test_all_of_a_session_is_stopped_and_no_other_session(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.always = hang()
    one, other = await tts.hear(), await tts.hear()
    for heard in (one, one, one, other):
        await tts.ask(heard, TTSRequest(text="Wait for me."))
    await one.until(lambda heard: heard.said.count("queued") == 3)
    await tts.cancel(one)
    await one.ended(3)
    assert one.said.count("cancelled") == 3
    await other.until(lambda heard: "processing" in heard.said)
    assert other.said == ["queued", "processing"]
    await tts.cancel(other)
    await other.ended()


async def test_a_cancel_right_behind_its_request_is_not_lost(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.always = hang()
    heard = await tts.hear()
    body = encode(TTSRequest(text="Hello there."))
    # In one write, so that both are read in one go.
    tts.client.send(TTS_REQUEST.format(session_id=heard.session_id), body)
    tts.client.send(TTS_CANCEL.format(session_id=heard.session_id))
    await heard.ended()
    assert heard.said[-1] == "cancelled"


async def test_a_cancel_that_names_a_request_may_overtake_it(tts: TtsCaller, server: FakeTTS) -> None:
    heard = await tts.hear()
    await tts.cancel(heard, "early")
    await tts.ask(heard, TTSRequest(text="Hello there.", request_id="early"))
    await tts.ask(heard, TTSRequest(text="Hello there.", request_id="other"))
    await heard.ended(2)
    assert heard.said == ["cancelled", "queued", "processing", "completed"]
    assert len(server.requests) == 1


async def test_every_replica_hears_a_cancel(start: StartTts, caller: TtsCaller, server: FakeTTS) -> None:
    for _ in range(3):
        await start()
    server.script.always = hang()
    sessions = [await caller.hear() for _ in range(9)]
    for heard in sessions:
        await caller.ask(heard, TTSRequest(text="Wait for me."))
    await wait_until(lambda: server.open_streams == 9)
    for heard in sessions:
        await caller.cancel(heard)
    await asyncio.gather(*(heard.ended() for heard in sessions))
    assert {heard.said[-1] for heard in sessions} == {"cancelled"}
    await wait_until(lambda: server.open_streams == 0)


async def test_a_cancel_with_nonsense_in_it_stops_the_session(tts: TtsCaller, server: FakeTTS) -> None:
    server.script.always = hang()
    heard = await tts.hear()
    await tts.ask(heard, TTSRequest(text="Wait for me."))
    await heard.until(lambda heard: "processing" in heard.said)
    await tts.client.publish(TTS_CANCEL.format(session_id=heard.session_id), b"\xc1\xff\x00")
    await heard.ended()
    assert heard.said[-1] == "cancelled"
