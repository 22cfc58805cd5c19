"""A live answer rests on documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from handler_base.handler import Service
from handler_base.testing.inference import FakeLLM
from handler_base.testing.live_caller import live_caller
from handler_base.testing.nats_server import NatsServer

StartVoice = Callable[..., Awaitable[Service]]


async def test_a_live_answer_names_its_sources(start: StartVoice, nats: NatsServer, llm: FakeLLM) -> None:
    llm.script.tokens = ("At dusk, as always, they say [1].",)
    await start()
    async with live_caller(nats.url) as live:
        session = await live.open("s1")
        await session.say("When does the lighthouse keeper light the lamp?")
        await session.answered()
    (answer,) = session.answers
    assert answer.rag_docs_used == len(answer.sources) > 0
    assert answer.timings_ms.keys() >= {"embed", "search"}
    assert answer.sources[0].text in llm.requests[-1].json["messages"][-1]["content"]
