"""Whatever the order, the repetition and the batching, the same rows come of the same messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handler_base.sessions.archive import Archive
from handler_base.sessions.conversation import ChatMessage

MakeMessage = Callable[..., ChatMessage]

_START = datetime(2026, 3, 1, tzinfo=UTC)

_FIELDS = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["ada", "bob", ""]),
        "session_id": st.sampled_from(["s1", "s2"]),
        "content": st.text(max_size=20),
        "kind": st.sampled_from(["chat", "voice"]),
        "premium": st.booleans(),
        "created_at": st.timedeltas(timedelta(0), timedelta(days=3)).map(lambda passed: _START + passed),
    }
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), all_fields=st.lists(_FIELDS, min_size=1, max_size=12))
def test_any_order_repetition_and_batching_gives_the_same_rows(
    archive_url: str, message: MakeMessage, data: st.DataObject, all_fields: list[dict[str, Any]]
) -> None:
    made = [message(position, **fields | {"id": f"m{position}"}) for position, fields in enumerate(all_fields)]
    repeated = data.draw(st.permutations(made + data.draw(st.lists(st.sampled_from(made), max_size=8))))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(repeated)), max_size=4)))
    batches = [repeated[start:end] for start, end in zip([0, *cuts], [*cuts, len(repeated)], strict=True)]
    asyncio.run(_compare(archive_url, made, batches))


async def _compare(url: str, made: list[ChatMessage], batches: list[list[ChatMessage]]) -> None:
    archive = Archive(url)
    await archive.open()
    try:
        new = [identity for batch in batches for identity in await archive.store(batch)]
        assert sorted(new) == sorted(each.id for each in made)
        stored = await _everything(archive)
        await archive.expire(_START + timedelta(days=10))
        assert await archive.store(made) == [each.id for each in made]
        assert stored == await _everything(archive)
        await archive.expire(_START + timedelta(days=10))
        assert await archive.conversations() == []
    finally:
        await archive.close()


async def _everything(archive: Archive) -> tuple[object, ...]:
    conversations = await archive.conversations()
    messages = [await archive.messages(each.user_id, each.session_id) for each in conversations]
    return conversations, messages, await archive.usage(since=_START)
