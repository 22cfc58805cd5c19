"""Utterances: where they begin, why they end, and that only the audio decides it."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stt_module.utterances import Endpointer, EndpointRules, EndReason, Utterance
from stt_module.windows import WINDOW_BYTES, WINDOW_MS, Windows

RULES = EndpointRules(
    start=timedelta(milliseconds=64),
    silence=timedelta(milliseconds=160),
    pre_roll=timedelta(milliseconds=96),
    post_roll=timedelta(milliseconds=64),
    longest=timedelta(milliseconds=640),
)


def window(level: int, mark: int = 0) -> bytes:
    """A window that carries how likely it is speech, in percent, and a mark to know it by."""
    return bytes([level, mark % 251]) * (WINDOW_BYTES // 2)


def audio_of(levels: list[int]) -> bytes:
    return b"".join(window(level, index) for index, level in enumerate(levels))


def heard(pieces: list[bytes], rules: EndpointRules = RULES) -> list[Utterance]:
    windows, endpointer = Windows(), Endpointer(rules)
    found = [endpointer.feed(each, each[0] / 100) for piece in pieces for each in windows.feed(piece)]
    found.append(endpointer.finish(windows.flush()))
    return [utterance for utterance in found if utterance is not None]


def cut(audio: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(audio) + 1) for place in places), len(audio)]
    return [audio[start:end] for start, end in pairwise(edges)]


LEVELS = st.lists(st.one_of(st.sampled_from([0, 20, 40, 60, 100])), max_size=80)


def test_silence_ends_an_utterance_that_starts_with_its_pre_roll() -> None:
    audio = audio_of([0] * 10 + [100] * 5 + [0] * 10)
    (utterance,) = heard([audio])
    assert (utterance.reason, utterance.number) == (EndReason.SILENCE, 0)
    assert (utterance.start_ms, utterance.end_ms) == (10 * WINDOW_MS, 15 * WINDOW_MS)
    assert utterance.cut_ms == utterance.end_ms + 160
    assert utterance.audio == audio[7 * WINDOW_BYTES : 17 * WINDOW_BYTES]


def test_a_click_is_no_utterance() -> None:
    assert heard([audio_of([0] * 5 + [100] + [0] * 20)]) == []


def test_a_short_pause_does_not_end_it() -> None:
    (utterance,) = heard([audio_of([100] * 4 + [0] * 4 + [100] * 4 + [0] * 8)])
    assert utterance.end_ms == 12 * WINDOW_MS


def test_what_is_neither_speech_nor_silence_goes_on_as_it_was() -> None:
    (utterance,) = heard([audio_of([40] * 5 + [100] * 3 + [40] * 5 + [0, 40, 40, 40, 40, 100])])
    assert (utterance.start_ms, utterance.end_ms) == (5 * WINDOW_MS, 13 * WINDOW_MS)


def test_a_long_utterance_is_cut_by_time_and_goes_on_without_a_gap() -> None:
    audio = audio_of([100] * 50)
    found = heard([audio])
    assert [utterance.reason for utterance in found] == [EndReason.TIME, EndReason.TIME, EndReason.END]
    assert b"".join(utterance.audio for utterance in found) == audio


def test_a_long_utterance_is_cut_by_size() -> None:
    found = heard([audio_of([100] * 9)], EndpointRules(most_bytes=4 * WINDOW_BYTES))
    assert [utterance.reason for utterance in found] == [EndReason.SIZE, EndReason.SIZE, EndReason.END]
    assert [len(utterance.audio) // WINDOW_BYTES for utterance in found] == [4, 4, 1]


def test_silence_behind_a_cut_makes_no_utterance() -> None:
    found = heard([audio_of([100] * 20 + [0] * 30)])
    assert [utterance.reason for utterance in found] == [EndReason.TIME]


def test_the_end_of_the_audio_ends_it_with_its_last_samples() -> None:
    audio = audio_of([100] * 3) + b"\x01\x02\x03"
    (utterance,) = heard([audio])
    assert (utterance.reason, utterance.audio) == (EndReason.END, audio[:-1])


def test_progress_can_be_watched() -> None:
    endpointer = Endpointer(RULES)
    for index in range(4):
        assert endpointer.speaking is (index >= 2)
        endpointer.feed(window(100, index), 1.0)
    endpointer.feed(window(0), 0.0)
    assert endpointer.voiced_ms == 4 * WINDOW_MS
    assert endpointer.heard_ms == 5 * WINDOW_MS
    assert len(endpointer.so_far()) == endpointer.held_bytes == 5 * WINDOW_BYTES


@pytest.mark.parametrize(
    "wrong", [{"speech": 0.3}, {"quiet": 0.0}, {"most_bytes": 10}, {"longest": timedelta(milliseconds=1)}]
)
def test_rules_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"quiet|window"):
        EndpointRules(**wrong)  # type: ignore[arg-type]  # that is the point


@given(LEVELS, st.binary(max_size=50), st.lists(st.integers(0, 10**6), max_size=30))
def test_how_the_audio_was_cut_changes_nothing(levels: list[int], tail: bytes, places: list[int]) -> None:
    audio = audio_of(levels) + tail
    assert heard(cut(audio, places)) == heard([audio])


@given(LEVELS, st.sampled_from([0, 32, 96, 320]), st.sampled_from([0, 64, 320]))
def test_utterances_are_numbered_and_ordered_and_share_no_audio(levels: list[int], before: int, after: int) -> None:
    rules = EndpointRules(
        silence=timedelta(milliseconds=96),
        pre_roll=timedelta(milliseconds=before),
        post_roll=timedelta(milliseconds=after),
        longest=timedelta(milliseconds=640),
    )
    audio = audio_of(levels)
    found = heard([audio], rules)
    assert [utterance.number for utterance in found] == list(range(len(found)))
    place = 0
    for utterance in found:
        assert utterance.start_ms < utterance.end_ms <= utterance.cut_ms
        place = audio.index(utterance.audio, place) + len(utterance.audio)
        assert len(utterance.audio) <= 640 * 32
    assert all(first.end_ms <= second.start_ms for first, second in pairwise(found))


@given(LEVELS)
def test_no_voiced_run_is_lost(levels: list[int]) -> None:
    """Every run of voice that is long enough lies within the utterances."""
    found = heard([audio_of(levels)])
    covered = {at for each in found for at in range(each.start_ms // WINDOW_MS, each.end_ms // WINDOW_MS)}
    for index, (first, second) in enumerate(pairwise(levels)):
        if first >= 50 and second >= 50:
            assert {index, index + 1} <= covered


@given(LEVELS)
def test_what_is_held_is_bounded(levels: list[int]) -> None:
    endpointer = Endpointer(RULES)
    for level in levels:
        endpointer.feed(window(level), level / 100)
        assert endpointer.held_bytes <= 640 * 32
