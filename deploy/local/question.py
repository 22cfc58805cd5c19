"""A spoken question about the sample documents, to try the fleet with: ``python -m deploy.local.question``.

The recording is in the repository, so that trying it takes no microphone; running this makes it anew.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

from deploy.local.inference.speech_engines import find_flite
from handler_base.clients.audio import pcm_to_wav

__all__ = ["QUESTION", "RECORDING"]

QUESTION: Final = "When do tours of the observatory take place?"
"""What is said; the document `handbook/observatory.html` answers it."""

RECORDING: Final = Path(__file__).with_name("question.wav")
"""16 bit, mono, 16 kHz."""

_VOICE: Final = "rms"
"""The voice that the local recogniser understands best."""


async def _record() -> int:
    speaker = find_flite()
    if speaker is None:
        print("error: flite is not installed; `make install` says how to get it.", file=sys.stderr)
        return 1
    speech = await speaker.say(QUESTION, voice=_VOICE, speed=1.0)
    RECORDING.write_bytes(pcm_to_wav(speech.samples, speech.rate))
    print(f"{RECORDING.name}: {len(speech.samples) / 2 / speech.rate:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_record()))
