"""The loudspeaker and the microphone, by the device of miniaudio that is on every machine and hears nothing."""

from __future__ import annotations

import asyncio
import time

import pytest

from handler_base.cli.voice import sound
from handler_base.cli.voice.sound import MICROPHONE_RATE, microphone, open_player
from handler_base.errors import NotFoundError

TENTH = b"\x01\x00" * 1600


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "BACKENDS", ("NULL",))


async def test_what_is_given_is_played_at_its_pace() -> None:
    async with open_player(16_000) as player:
        begun = time.monotonic()
        player.play(TENTH)
        player.play(TENTH)
        busy = [player.busy]
        await asyncio.wait_for(player.finish(), 10)
        assert [*busy, player.busy] == [True, False]
        assert time.monotonic() - begun >= 0.15
        await asyncio.wait_for(player.finish(), 10)


async def test_what_is_not_played_yet_can_be_thrown_away() -> None:
    async with open_player(16_000) as player:
        player.play(600 * TENTH)
        player.stop()
        await asyncio.wait_for(player.finish(), 10)
        player.play(TENTH)
        await asyncio.wait_for(player.finish(), 10)


async def test_the_microphone_gives_pieces_of_samples() -> None:
    async with microphone() as heard:
        audio = b""
        async with asyncio.timeout(10):
            async for piece in heard:
                audio += piece
                if len(audio) >= MICROPHONE_RATE // 5 * 2:
                    break
    assert len(audio) % 2 == 0


async def test_without_a_device_or_the_package_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "BACKENDS", ("WEBAUDIO",))
    with pytest.raises(NotFoundError, match="no sound device"):
        async with open_player(16_000):
            pass
    with pytest.raises(NotFoundError, match="no microphone"):
        async with microphone():
            pass
    monkeypatch.setitem(__import__("sys").modules, "miniaudio", None)
    with pytest.raises(NotFoundError, match="pip install"):
        async with open_player(16_000):
            pass
