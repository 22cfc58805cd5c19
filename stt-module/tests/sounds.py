"""Recordings for tests."""

from __future__ import annotations

import io
import struct
import wave
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt

CODECS = {"webm": "libopus", "ogg": "libopus", "mp3": "mp3"}


def tone(seconds: float = 1.0, *, rate: int = 16_000, pitch: float = 440.0, level: int = 10_000) -> bytes:
    """A steady tone."""
    at = np.arange(int(rate * seconds)) / rate
    return (np.sin(2 * np.pi * pitch * at) * level).astype("<i2").tobytes()


def wav(samples: bytes, *, rate: int = 16_000, channels: int = 1, bits: int = 16) -> bytes:
    """A WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(bits // 8)
        out.setframerate(rate)
        out.writeframes(samples)
    return file.getvalue()


def wav_of_kind(kind: int, samples: bytes, *, bits: int, size: int | None = None) -> bytes:
    """A WAV file of another encoding, or with another size in its header."""
    header = struct.pack("<HHIIHH", kind, 1, 16_000, 16_000 * bits // 8, bits // 8, bits)
    body = b"fmt " + struct.pack("<I", 16) + header + b"data"
    return (
        b"RIFF"
        + struct.pack("<I", 0)
        + b"WAVE"
        + body
        + struct.pack("<I", len(samples) if size is None else size)
        + samples
    )


def encoded(samples: bytes, container: str, *, rate: int = 48_000) -> bytes:
    """The samples in a container, at the rate a browser records with."""
    file = io.BytesIO()
    # Clusters of a second, as browsers make them.
    options = {"cluster_time_limit": "1000"} if container == "webm" else {}
    with av.open(file, "w", format=container, options=options) as out:
        stream = cast("Any", out.add_stream(CODECS[container], rate=rate))
        frame = av.AudioFrame.from_ndarray(np.frombuffer(samples, "<i2").reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler(
            stream.format, stream.layout, rate, frame_size=stream.codec_context.frame_size or 960
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


def pitch_of(samples: bytes) -> float:
    """The loudest frequency."""
    values = np.frombuffer(samples, "<i2").astype(np.float64)
    return float(np.abs(np.fft.rfft(values)).argmax() * 16_000 / len(values))


def noise(seconds: float, *, level: int, seed: int = 1) -> bytes:
    """White noise of a level, as its deviation."""
    samples = np.random.default_rng(seed).normal(0, level, int(16_000 * seconds))
    return samples.astype("<i2").tobytes()


def vowels(seconds: float, *, level: int = 9_000) -> bytes:
    """A voice of sorts: pulses of a wandering pitch through the resonances of a few vowels, with a dip between them."""
    at = np.arange(int(16_000 * seconds)) / 16_000
    phase = np.cumsum(120 + 15 * np.sin(2 * np.pi * 0.9 * at)) / 16_000
    kinds = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
    sound = np.zeros(len(at))
    for index, formants in enumerate(kinds):
        here = (at * 4).astype(int) % len(kinds) == index
        for harmonic in range(1, 30):
            gain = sum(1 / (1 + ((harmonic * 120 - formant) / 90) ** 2) for formant in formants)
            sound += here * gain * np.sin(2 * np.pi * harmonic * phase)
    sound *= 0.55 + 0.45 * np.sin(2 * np.pi * 4 * at)
    samples: npt.NDArray[np.float64] = sound / np.abs(sound).max() * level
    return samples.astype("<i2").tobytes()
