"""Recordings of every kind, good and bad."""

from __future__ import annotations

import asyncio
import io
import struct
import time
import tracemalloc
import zipfile
from datetime import timedelta
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import (
    FleetError,
    InvalidRequestError,
    OverloadedError,
    PayloadTooLargeError,
    RequestCancelledError,
    UnsupportedFormatError,
)
from stt_module.audio import AudioLimits, AudioReader, read_recording

from .sounds import encoded, pitch_of, tone, wav, wav_of_kind

TONE = tone(1.0)


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("question.wav", wav(TONE))
    return file.getvalue()


def test_plain_wav_is_read_as_it_is() -> None:
    assert read_recording(wav(TONE)) == TONE


def test_wav_at_another_rate_in_stereo_is_read() -> None:
    mono = tone(1.0, rate=44_100)
    stereo = b"".join(mono[at : at + 2] * 2 for at in range(0, len(mono), 2))
    samples = read_recording(wav(stereo, rate=44_100, channels=2))
    assert abs(len(samples) - len(TONE)) < 100
    assert abs(pitch_of(samples) - 440) < 2


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_file_written_while_it_grew_is_read(size: int) -> None:
    assert read_recording(wav_of_kind(1, TONE, bits=16, size=size)) == TONE


def test_wav_with_compressed_samples_goes_through_the_decoder() -> None:
    samples = read_recording(wav_of_kind(7, bytes(range(256)) * 40, bits=8))  # mu-law
    assert len(samples) == 2 * 256 * 40


@pytest.mark.parametrize("container", ["webm", "ogg", "mp3"])
def test_what_browsers_and_recorders_make_is_read(container: str) -> None:
    samples = read_recording(encoded(TONE, container))
    assert abs(len(samples) / 32_000 - 1) < 0.1
    assert abs(pitch_of(samples) - 440) < 2


BAD = {
    "nothing": (b"", InvalidRequestError),
    "a zip file": (zipped(), UnsupportedFormatError),
    "text": (b"hello there, this is no audio at all", UnsupportedFormatError),
    "a playlist": (b"#EXTM3U\n/etc/passwd\n", UnsupportedFormatError),
    "wav cut in its header": (wav(TONE)[:30], InvalidRequestError),
    "wav cut in its samples": (wav(TONE)[:2_000], InvalidRequestError),
    "wav without samples": (wav(b""), InvalidRequestError),
    "wav without a format": (b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcd", InvalidRequestError),
    "wav of no rate": (
        wav_of_kind(1, TONE, bits=16).replace(struct.pack("<I", 16_000), bytes(4), 1),
        InvalidRequestError,
    ),
    "wav of odd bits": (wav_of_kind(1, TONE, bits=12), UnsupportedFormatError),
    "wav of unknown kind": (wav_of_kind(0x7777, TONE, bits=16), InvalidRequestError),
    "webm cut in its header": (encoded(TONE, "webm")[:60], InvalidRequestError),
    "webm of nonsense": (b"\x1a\x45\xdf\xa3" + b"\x99" * 5_000, InvalidRequestError),
    "mp3 of nonsense": (b"ID3" + b"\x11" * 5_000, InvalidRequestError),
    "ogg of nonsense": (b"OggS" + b"\xfe" * 5_000, InvalidRequestError),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_audio_is_a_typed_error(name: str) -> None:
    audio, error = BAD[name]
    with pytest.raises(error):
        read_recording(audio)


@pytest.mark.parametrize("made", ["wav", "wav at 48 kHz", "mp3"])
def test_twenty_minutes_are_refused_quickly_and_in_little_memory(made: str) -> None:
    minute = tone(60.0)
    audio = {
        "wav": lambda: wav(minute * 20),
        "wav at 48 kHz": lambda: wav(bytes(2 * 48_000 * 60) * 11, rate=48_000),
        "mp3": lambda: encoded(minute, "mp3", rate=16_000) * 20,
    }[made]()
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(PayloadTooLargeError):
        read_recording(audio, AudioLimits(longest=timedelta(minutes=2)))
    assert time.process_time() - started < 5
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


def test_wide_samples_take_little_memory_on_their_way() -> None:
    audio = wav(bytes(16_000 * 60 * 4), bits=8, channels=4)
    tracemalloc.start()
    read_recording(audio)
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


def test_too_many_bytes_are_refused_unread() -> None:
    with pytest.raises(PayloadTooLargeError):
        read_recording(b"x" * 100, AudioLimits(most_bytes=99))


@pytest.mark.parametrize("audio", [encoded(TONE, "webm"), wav(TONE, rate=8_000)])
def test_work_that_nobody_waits_for_ends(audio: bytes) -> None:
    gone = Event()
    gone.set()
    with pytest.raises(RequestCancelledError):
        read_recording(audio, given_up=gone)


SEEDS = {"wav": wav(TONE), **{container: encoded(TONE, container) for container in ("webm", "mp3", "ogg")}}


@given(
    st.sampled_from(sorted(SEEDS)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=20),
    st.integers(0),
)
def test_damaged_audio_is_read_or_a_typed_error(container: str, changes: list[tuple[int, int]], end: int) -> None:
    seed = SEEDS[container]
    audio = bytearray(seed[: end % (len(seed) + 1)] if end else seed)
    for place, value in changes:
        if audio:
            audio[place % len(audio)] = value
    try:
        samples = read_recording(bytes(audio))
    except FleetError:
        return
    assert samples
    assert len(samples) % 2 == 0


async def test_reading_does_not_hold_up_the_loop() -> None:
    reader = AudioReader()
    audio = encoded(tone(20.0), "mp3")
    work = [asyncio.create_task(reader.read(audio)) for _ in range(3)]
    beats = 0
    while not all(task.done() for task in work):
        await asyncio.sleep(0.001)
        beats += 1
    assert beats > 5
    assert all(abs(len(task.result()) / 32_000 - 20) < 0.5 for task in work)
    reader.close()


async def test_bad_audio_disturbs_no_neighbour() -> None:
    reader = AudioReader(threads=1)
    good, bad = wav(TONE), [audio for audio, _ in BAD.values()]
    results = await asyncio.gather(
        *[reader.read(each) for audio in bad for each in (audio, good)], return_exceptions=True
    )
    assert all(isinstance(result, FleetError) for result in results[::2])
    assert all(result == TONE for result in results[1::2])
    reader.close()


async def test_more_than_can_wait_is_refused_at_once() -> None:
    reader = AudioReader(threads=1, most_waiting=1)
    results = await asyncio.gather(*[reader.read(wav(TONE)) for _ in range(5)], return_exceptions=True)
    assert [isinstance(result, OverloadedError) for result in results] == [False, False, True, True, True]
    assert await reader.read(wav(TONE)) == TONE
    reader.close()
