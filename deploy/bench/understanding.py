"""How stable partial transcripts are, and what the local recogniser understands of the utterances that are cut.

Run from the checkout root: ``python -m deploy.bench.understanding``.
"""

from __future__ import annotations

import asyncio
import io
import wave
from dataclasses import dataclass, field

import numpy as np

from deploy.bench.hearing import SENTENCES, noise_of, trimmed
from deploy.local.inference.speech_engines import find_speaker
from deploy.local.inference.transcription_pool import Recognizer, find_recognizer
from stt_module.listening import Ears, Heard
from stt_module.partials import Partials, PartialSchedule
from stt_module.vad import Detector, DetectorKind, open_detector
from stt_module.windows import RATE, milliseconds

LEVELS = (40, 20, 10)


@dataclass
class Tally:
    """What was counted at one level of noise."""

    words: int = 0
    wrong: int = 0
    confirmed: int = 0
    kept: int = 0
    changed: int = 0
    partials: int = 0
    first_ms: list[int] = field(default_factory=list)


def recording(samples: bytes) -> bytes:
    """Samples as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples)
    return file.getvalue()


def words_of(text: str) -> list[str]:
    """The words of a text without case and marks."""
    return "".join(letter for letter in text.lower() if letter.isalnum() or letter.isspace()).split()


def distance(truth: list[str], heard: list[str]) -> int:
    """How many words were left out, added or taken for others."""
    row = list(range(len(heard) + 1))
    for index, word in enumerate(truth, 1):
        last, row[0] = row[0], index
        for place, other in enumerate(heard, 1):
            last, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, last + (word != other))
    return row[-1]


async def follow(recognizer: Recognizer, detector: Detector, audio: bytes, truth: str, tally: Tally) -> None:
    """Listen to one sentence as a session does, with partials twice a second."""
    ears, partials, schedule, final = Ears(detector.stream()), Partials(), PartialSchedule(), ""

    async def finals(heard: Heard) -> str:
        texts = [(await recognizer.transcribe(recording(each.audio))).text for each in heard.utterances]
        return " ".join([final, *texts]).strip()

    for start in range(0, len(audio), 3_200):
        final = await finals(await ears.hear(audio[start : start + 3_200]))
        if not ears.speaking or not schedule.due(ears.utterance_ms):
            continue
        before = partials.last
        partial = partials.hear((await recognizer.transcribe(recording(ears.so_far()))).text)
        schedule.answered()
        if partial is None:
            continue
        tally.partials += 1
        tally.changed += not partial.text.startswith(before.text)
        if partial.confirmed and not before.confirmed:
            tally.first_ms.append(milliseconds(start) - 1_000)
    final = await finals(await ears.end())
    heard, confirmed = words_of(final), words_of(partials.last.confirmed)
    tally.words += len(words_of(truth))
    tally.wrong += distance(words_of(truth), heard)
    tally.confirmed += len(confirmed)
    tally.kept += sum(one == other for one, other in zip(confirmed, heard, strict=False))


async def measure() -> None:
    """Print a line for every level of noise."""
    speaker, recognizer = find_speaker(), find_recognizer(None)
    if speaker is None or recognizer is None:
        raise SystemExit("It takes a speaker (flite or espeakng-loader) and pocketsphinx.")
    detector, rng = open_detector(DetectorKind.SILERO), np.random.default_rng(1)
    for level in LEVELS:
        tally = Tally()
        for text in SENTENCES:
            speech = await speaker.say(text, voice="slt" if "slt" in speaker.voices else speaker.voices[0], speed=1.0)
            loud = trimmed(np.frombuffer(speech.samples, "<i2").astype(np.float64))
            clean = np.concatenate([np.zeros(RATE), loud * (3000 / np.sqrt((loud**2).mean())), np.zeros(RATE)])
            noisy = clean + noise_of("pink", len(clean), [], rng) * 3000 / 10 ** (level / 20)
            audio = np.clip(noisy, -32768, 32767).astype("<i2").tobytes()
            await follow(recognizer, detector, audio, text, tally)
        print(
            f"{level} dB: word error {100 * tally.wrong / tally.words:.0f} % of {tally.words}; "
            f"{tally.partials} partials, {tally.changed} took back a tentative word; "
            f"{tally.kept} of {tally.confirmed} confirmed words are the final's; "
            f"first confirmed after {np.median(tally.first_ms or [0]):.0f} ms of speech"
        )
    detector.close()
    await recognizer.close()


if __name__ == "__main__":
    asyncio.run(measure())
