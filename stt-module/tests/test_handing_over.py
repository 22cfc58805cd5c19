"""A container that another decoder goes on with: what it knows of the part before, and that nothing of it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_module.heads import entry_of, head_of, newest_of
from stt_module.intake import ContainerIntake

from .sounds import encoded, tone

MADE = {container: encoded(tone(3.0), container) for container in ("webm", "ogg", "mp3")}
CHUNK = 700


async def fed(intake: ContainerIntake, audio: bytes) -> int:
    """Return how many bytes of samples come of some audio."""
    size = 0
    for start in range(0, len(audio), CHUNK):
        size += len(await intake.feed(audio[start : start + CHUNK]))
    return size


@pytest.mark.parametrize("container", MADE)
@pytest.mark.parametrize("share", [0.1, 0.4, 0.5, 0.83])
async def test_nothing_is_heard_twice_and_nothing_is_lost(container: str, share: float) -> None:
    audio = MADE[container]
    place = int(len(audio) * share)
    whole, before = ContainerIntake(), ContainerIntake()
    expected = await fed(whole, audio) + len(await whole.end())
    heard = await fed(before, audio[:place])
    after = ContainerIntake(before.head)
    await after.feed(before.newest)
    heard += await fed(after, audio[place:]) + len(await after.end())
    assert abs(heard - expected) < 0.1 * 32_000
    for intake in (whole, before, after):
        intake.close()


@pytest.mark.parametrize("container", MADE)
async def test_without_the_newest_part_it_is_read_from_the_next_place_on(container: str) -> None:
    audio = MADE[container]
    before, after = ContainerIntake(), ContainerIntake(head_of(audio) or b"")
    await fed(before, audio[: len(audio) // 2])
    assert before.head == head_of(audio)
    heard = await fed(after, audio[len(audio) // 2 :]) + len(await after.end())
    assert 0.3 * 32_000 < heard < 1.7 * 32_000
    before.close()
    after.close()


@given(st.sampled_from(sorted(MADE)), st.lists(st.integers(1, 5_000), min_size=1, max_size=8))
def test_what_is_kept_is_an_end_of_what_came_that_begins_where_a_decoder_can(container: str, sizes: list[int]) -> None:
    audio = MADE[container]
    head = head_of(audio)
    assert head
    kept, at = b"", len(head) if audio.startswith(head) else 0
    for size in sizes:
        kept = newest_of(head, kept + audio[at : at + size])
        at = min(at + size, len(audio))
        assert audio[:at].endswith(kept)
        assert entry_of(head, kept) in ({0} if len(kept) >= 4 else {0, -1})


def test_a_part_that_is_too_long_is_not_kept() -> None:
    head = head_of(MADE["webm"])
    assert head
    assert newest_of(head, MADE["webm"].removeprefix(head) + bytes(200_000)) == bytes(3)
