"""How well stt-module hears synthesised speech in noise, and at what cost: streams per core, bytes a session.

Run from the checkout root: ``python -m deploy.bench.hearing [accuracy|density|weight|all]``.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import psutil

from deploy.local.inference.speech_engines import find_speaker
from stt_module.listening import Ears
from stt_module.utterances import EndpointRules, Utterance
from stt_module.vad import Detector, DetectorKind, open_detector
from stt_module.windows import RATE

Samples = npt.NDArray[np.float64]
SENTENCES = (
    "What is the capital of France?",
    "Please turn off the light in the kitchen.",
    "Tell me how the new heating works.",
    "Is there a train to the city after nine?",
    "My order has not arrived yet.",
    "Which of the two plans costs less?",
    "Remind me to call my sister tomorrow morning.",
    "How long does the battery last?",
    "Open the window and play some music.",
    "Who wrote the report about the harbour?",
)
NOISES = ("white", "pink", "babble")
LEVELS = (40, 20, 10, 5)
TOLERANCE_MS = 200


@dataclass(frozen=True, slots=True)
class Scene:
    """Audio with the places where somebody speaks, in milliseconds."""

    audio: bytes
    spoken: list[tuple[int, int]]


async def spoken_sentences() -> list[Samples]:
    """Every sentence in every voice, cut to where the sound begins and ends."""
    speaker = find_speaker()
    if speaker is None:
        raise SystemExit("There is no speaker on this machine: flite or espeakng-loader.")
    print(f"speaker {speaker.name}, voices {', '.join(speaker.voices)}")
    speeches = [await speaker.say(text, voice=voice, speed=1.0) for text, voice in product(SENTENCES, speaker.voices)]
    found = []
    for speech in speeches:
        if speech.rate != RATE:
            raise SystemExit(f"This speaker gives {speech.rate} Hz; the measurement takes 16,000.")
        found.append(trimmed(np.frombuffer(speech.samples, "<i2").astype(np.float64)))
    return found


def trimmed(samples: Samples) -> Samples:
    """A sentence from its first sound to its last: frames of 10 ms within 40 dB of the loudest."""
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    power = (frames**2).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 1e-4)
    return samples[loud[0] * 160 : (loud[-1] + 1) * 160]


def noise_of(kind: str, length: int, speeches: list[Samples], rng: np.random.Generator) -> Samples:
    """Noise of power 1."""
    if kind == "babble":
        made = np.zeros(length)
        for _ in range(12):
            voices = np.concatenate([speeches[at] for at in rng.permutation(len(speeches))])
            made += np.roll(np.resize(voices, length), int(rng.integers(length)))
    else:
        made = rng.normal(size=length)
        if kind == "pink":
            spectrum = np.fft.rfft(made)
            made = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), length)
    scaled: Samples = made / np.sqrt((made**2).mean())
    return scaled


def scene(speeches: list[Samples], kind: str, level: int, seed: int) -> Scene:
    """Ten sentences with pauses of 1 to 2.5 s in noise, `level` decibels below them."""
    rng, order = np.random.default_rng(seed), random.Random(seed)  # noqa: S311  # the same scenes every time
    pieces, spoken, at = [np.zeros(RATE)], [], RATE
    for speech in order.sample(speeches, 10):
        pause = np.zeros(int(RATE * order.uniform(1.0, 2.5)))
        loud = speech * (3000 / np.sqrt((speech**2).mean()))
        spoken.append((at * 1000 // RATE, (at + len(speech)) * 1000 // RATE))
        pieces += [loud, pause]
        at += len(loud) + len(pause)
    clean = np.concatenate(pieces)
    noisy = clean + noise_of(kind, len(clean), speeches, rng) * 3000 / 10 ** (level / 20)
    return Scene(np.clip(noisy, -32768, 32767).astype("<i2").tobytes(), spoken)


async def hear(detector: Detector, audio: bytes) -> list[Utterance]:
    """The utterances of audio, in large pieces: they are quick, and cuts make no difference."""
    ears = Ears(detector.stream())
    found: list[Utterance] = []
    for start in range(0, len(audio), 32_000):
        found += (await ears.hear(audio[start : start + 32_000])).utterances
    return [*found, *(await ears.end()).utterances]


def well_cut(spoken: list[tuple[int, int]], found: list[Utterance]) -> Iterator[bool]:
    """For every sentence: one utterance holds it, and was over when it should be."""
    silence = EndpointRules().silence.total_seconds() * 1000
    for start, end in spoken:
        here = [each for each in found if each.start_ms < end and start < each.end_ms]
        yield len(here) == 1 and abs(here[0].cut_ms - end - silence) <= TOLERANCE_MS


async def accuracy() -> None:
    """Print the share of sentences that were cut well, for every detector, noise and level."""
    speeches = await spoken_sentences()
    print(f"sentences cut within {TOLERANCE_MS} ms of the truth plus the set silence, of 30 each")
    print(f"{'detector':9}{'noise':8}" + "".join(f"{f'{level} dB':>9}" for level in LEVELS))
    for kind in DetectorKind:
        detector = open_detector(kind)
        for noise in NOISES:
            row = []
            for level in LEVELS:
                scenes = [scene(speeches, noise, level, seed) for seed in range(3)]
                hits = [hit for each in scenes for hit in well_cut(each.spoken, await hear(detector, each.audio))]
                row.append(f"{100 * sum(hits) / len(hits):8.0f}%")
            print(f"{kind:9}{noise:8}" + "".join(row))
        detector.close()


async def density() -> None:
    """Print the CPU of sessions that all speak, at the pace of their audio."""
    audio = scene(await spoken_sentences(), "pink", 20, 1).audio
    for kind, streams in product(DetectorKind, (100, 300)):
        detector = open_detector(kind)
        busy, late = await paced(detector, audio, streams)
        print(
            f"{kind:9}{streams:5} streams: {100 * busy:5.1f} % of a core, {streams / busy:6.0f} a core, "
            f"worst lag {late:.0f} ms"
        )
        detector.close()


async def paced(detector: Detector, audio: bytes, streams: int, seconds: float = 6.0) -> tuple[float, float]:
    """Feed many sessions 20 ms at a time; return cores used and the worst lag in milliseconds."""
    late = 0.0

    async def one(index: int) -> None:
        nonlocal late
        ears, place = Ears(detector.stream()), index * 7_777 * 2 % (len(audio) // 2)
        begun = loop.time() + index / streams * 0.02
        for step in range(int(seconds * 50)):
            due = begun + step * 0.02
            await asyncio.sleep(max(0.0, due - loop.time()))
            await ears.hear(audio[place : place + 640])
            late = max(late, loop.time() - due)
            place = (place + 640) % (len(audio) - 640)

    loop = asyncio.get_running_loop()
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[one(index) for index in range(streams)])
    return (time.process_time() - cpu) / (time.perf_counter() - started), late * 1000


async def weight() -> None:
    """Print the memory of sessions with 10 s of speech under way, and what is left when all have gone."""
    process, detector, count = psutil.Process(), open_detector(DetectorKind.SILERO), 200
    audio = (await spoken_sentences())[0].astype("<i2").tobytes()
    speech = (audio * 10)[: 10 * RATE * 2]
    for times in (1, 2, 3):
        before = process.memory_info().rss
        sessions = [Ears(detector.stream()) for _ in range(count)]
        await asyncio.gather(*[each.hear(speech) for each in sessions])
        speaking = process.memory_info().rss
        sessions.clear()
        gc.collect()
        left, tasks = process.memory_info().rss, len(asyncio.all_tasks())
        print(
            f"round {times}: {(speaking - before) / count / 1024:.0f} KB a session with 10 s of speech; "
            f"afterwards {(left - before) / 2**20:+.1f} MB, {tasks} task"
        )
    detector.close()


def main() -> None:
    """Run what was asked for."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else "all"
    if wanted in {"accuracy", "all"}:
        asyncio.run(accuracy())
    if wanted in {"density", "all"}:
        asyncio.run(density())
    if wanted in {"weight", "all"}:
        asyncio.run(weight())


if __name__ == "__main__":
    main()
