"""`fleet prefs`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from handler_base.sessions.records import Preferences
from handler_base.sessions.store import SessionStore
from handler_base.testing.nats_server import free_port
from handler_base.testing.redis_server import RedisServer

from .conftest import Fleet


@pytest.fixture
async def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SessionStore]:
    """The sessions, where the command looks for them."""
    async with RedisServer(folder) as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        store = SessionStore(server.url, ttl=timedelta(days=7), most_turns=10, timeout=timedelta(seconds=2))
        await store.open()
        yield store
        await store.close()


async def test_preferences_are_set_and_shown(offline: Fleet, store: SessionStore) -> None:
    run = await offline("prefs", "ann")
    assert (run.code, run.err) == (0, "")
    assert run.out.splitlines() == ["voice      -", "model      -", "language   -", "documents  searched"]

    run = await offline("prefs", "ann", "--voice", "alba", "--no-rag")
    assert run.out.splitlines() == ["voice      alba", "model      -", "language   -", "documents  not searched"]
    await offline("prefs", "ann", "--model", "big", "--language", "de")
    assert await store.preferences("ann") == Preferences(voice="alba", model="big", language="de", rag=False)
    assert await store.preferences("ann-2") == Preferences()

    await offline("prefs", "ann", "--voice", "", "--rag")
    assert await store.preferences("ann") == Preferences(model="big", language="de")
    await offline("prefs", "ann", "--clear", "--language", "fr")
    assert await store.preferences("ann") == Preferences(language="fr")
    await offline("prefs", "ann", "--clear")
    assert await store.preferences("ann") == Preferences()


async def test_valkey_is_away(offline: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("REDIS_URL", f"redis://me:secret@127.0.0.1:{port}/0")
    run = await offline("prefs", "ann", "--voice", "alba")
    assert run.code == 1
    assert run.err.endswith(f"Check REDIS_URL=redis://127.0.0.1:{port}/0.\n")
    assert len(run.err.splitlines()) == 1


@pytest.mark.parametrize("url", ["none", "http://example.org"])
async def test_there_is_no_valkey(offline: Fleet, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    run = await offline("prefs", "ann")
    assert run.code == 2
    assert "REDIS_URL" in run.err


async def test_a_user_has_an_id(offline: Fleet) -> None:
    assert (await offline("prefs", "a b")).code == 2
    assert (await offline("prefs")).code == 2
