"""Speaks by espeak-ng: ``python -I speech_espeak.py VOICE WORDS_PER_MINUTE TEXT`` writes a WAV file to stdout.

A program of its own because the library has one state a process. Only that library's package is at hand here.
"""

from __future__ import annotations

import ctypes
import sys
import wave

import espeakng_loader

_SYNCHRONOUS = 2
_RATE = 1
_UTF8 = 1


def main() -> None:
    """Speak the text of the command line."""
    voice, words_per_minute, text = sys.argv[1:]
    rate, sound = _speak(voice, int(words_per_minute), text)
    with wave.open(sys.stdout.buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        # Told beforehand: a pipe does not allow the header to be mended afterwards.
        file.setnframes(len(sound) // 2)
        file.writeframesraw(sound)


def _speak(voice: str, words_per_minute: int, text: str) -> tuple[int, bytes]:
    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    pieces: list[bytes] = []

    def keep(samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(keep)
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    if rate <= 0 or library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise SystemExit("espeak-ng cannot be started")
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetParameter(_RATE, words_per_minute, 0)
    encoded = text.encode(errors="replace")
    library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    return rate, b"".join(pieces)


if __name__ == "__main__":
    main()
