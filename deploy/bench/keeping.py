"""What it costs to keep conversations: sessions, history, quotas and events, against the same service without them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

from deploy.bench.answering import CHAT_SUBJECT, add_rows
from deploy.bench.compare import Contestant, interleave
from deploy.bench.environment import Environment
from deploy.bench.load import Load, Plan
from deploy.bench.measure import ratios
from deploy.bench.result import Bar, Result
from handler_base.testing.redis_server import RedisServer

__all__ = ["kept"]

_CONVERSATIONS: Final = 400
"""So many that a conversation has five turns of history after a round, and ten from the next on."""

_KEEPING: Final = {
    "EVENTS": "true",
    # Looked at for every question, and never spent.
    "QUOTA_REQUESTS_PER_MINUTE": "1000000000",
    "QUOTA_TOKENS_PER_DAY": "1000000000000",
    "SUMMARISE": "false",
}


async def kept(environment: Environment) -> Result:
    """The questions of the `rag` scenario as turns of conversations."""
    result = Result("kept", "RAG request of a conversation: sessions, history, quotas and events, on and off")
    plan = Plan("rag", total=600 if environment.quick else 2000, in_flight=64, conversations=_CONVERSATIONS)
    async with AsyncExitStack() as stack:
        plain, _ = await environment.service("chat_handler")
        contestants = {"nothing kept": Contestant(plain, CHAT_SUBJECT)}
        keeping: dict[str, dict[str, str]] = {
            "kept": {},
            "kept, archived to SQLite": {
                "ARCHIVE_MODE": "inside",
                "ARCHIVE_URL": f"sqlite:///{environment.folder / 'archive.db'}",
                "TITLES": "false",
            },
        }
        for name, variables in keeping.items():
            folder = environment.folder / name.replace(", ", "-").replace(" ", "-")
            folder.mkdir()
            redis = await stack.enter_async_context(RedisServer(folder))
            nats_url = await environment.nats_server()
            load = await Load.connect(nats_url)
            stack.push_async_callback(load.close)
            settings = {"NATS_URL": nats_url, "REDIS_URL": redis.url, **_KEEPING, **variables}
            worker, _ = await environment.service("chat_handler", wait=True, **settings)
            contestants[name] = Contestant(worker, CHAT_SUBJECT, load=load)
        outcomes = dict(zip(contestants, await interleave(environment, list(contestants.values()), plan), strict=True))
    add_rows(result, outcomes)
    ratio = ratios(outcomes["kept"].costs, outcomes["nothing kept"].costs)
    result.bars.append(Bar("kept: CPU a request, with sessions, history and events / without", ratio, 1.1))
    result.notes.append(
        f"{_CONVERSATIONS} conversations of one user; up to ten turns go into each prompt. "
        "Archiving is batched work beside the answers; its line is there to see."
    )
    return result
