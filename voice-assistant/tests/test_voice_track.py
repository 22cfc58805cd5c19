"""What counts as heard, whatever the moment an answer is stopped; and how it is cut, however it comes."""

from __future__ import annotations

import itertools
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler_base.clients import SpeechChunk
from handler_base.errors import UpstreamError
from voice_assistant.script import Script
from voice_assistant.track import Track, mono

RATE = 1000

MOMENTS = st.floats(0, 60, allow_nan=False)
PIECES = st.lists(
    st.lists(st.tuples(st.integers(1, 3000), st.floats(0, 3, allow_nan=False)), min_size=1, max_size=4),
    max_size=8,
)
"""For each piece of an answer the chunks of its sound: how many samples, and the pause before they are sent."""


def sound(samples: int) -> SpeechChunk:
    return SpeechChunk(bytes(2 * samples), RATE)


@settings(max_examples=2500)
@given(PIECES, st.lists(MOMENTS, min_size=4, max_size=4))
def test_at_any_moment_only_whole_pieces_that_were_played_count(
    pieces: list[list[tuple[int, float]]], moments: list[float]
) -> None:
    """The listener is played here a second time: chunk by chunk, each when it is there and the one before is over.

    Four moments in each of 2,500 answers: 10,000 interruptions.
    """
    words = [f"piece{number}" for number in range(len(pieces))]
    for moment in moments:
        track = Track()
        now = played = 0.0
        expected: list[str] = []
        stopped = False
        for name, chunks in zip(words, pieces, strict=True):
            for samples, pause in chunks:
                now += pause
                if now > moment:
                    stopped = True
                    break
                track.add(sound(samples), now)
                played = max(played, now) + samples / RATE
            if stopped:
                break
            track.end(name)
            if played <= moment:
                expected.append(name)
        heard = track.heard(moment).split()
        assert heard == expected
        assert heard == words[: len(heard)]


def test_the_rate_cannot_change_within_an_answer() -> None:
    track = Track()
    track.add(SpeechChunk(bytes(20), 8000), 0)
    with pytest.raises(UpstreamError):
        track.add(SpeechChunk(bytes(20), 16_000), 0)


def test_its_length_is_that_of_the_sound() -> None:
    track = Track()
    assert track.seconds == 0
    track.add(sound(500), 0)
    track.add(sound(1000), 7)
    assert track.seconds == 1.5
    assert track.audio == bytes(3000)


@given(st.lists(st.integers(-32768, 32767), max_size=50), st.integers(1, 4))
def test_the_first_channel_is_taken(samples: list[int], channels: int) -> None:
    frames = array("h", [value if channel == 0 else 7 for value in samples for channel in range(channels)])
    assert mono(SpeechChunk(frames.tobytes(), RATE, channels)) == array("h", samples).tobytes()


TEXTS = (
    "The lamp is lit at dusk, as always. Dr. Smith pays $5.20 for 3 kg of oil; see [the log](http://a.b/c).",
    "1. First, **fill** the lamp.\n2. Then light it.\n\n```\ncode()\n```\nThat is all!",
    "No. 5 was built in 1843... and it still works, e.g. at night \U0001f4a1. \u2014 Well?",
)


@given(st.sampled_from(TEXTS), st.lists(st.integers(0, 120), max_size=12), st.sampled_from(["en", "de"]))
def test_an_answer_is_cut_the_same_however_it_comes(text: str, cuts: list[int], language: str) -> None:
    whole = Script(language)
    expected = [*whole.feed(text), *whole.close()]
    places = [0, *sorted(cut % len(text) for cut in cuts), len(text)]
    script = Script(language)
    pieces = [piece for start, end in itertools.pairwise(places) for piece in script.feed(text[start:end])]
    assert [*pieces, *script.close()] == expected
    assert all(any(map(str.isalnum, piece)) for piece in expected)
