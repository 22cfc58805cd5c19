"""Recorded questions: what they are by their own first bytes, before anything is asked to decode them."""

from __future__ import annotations

import re
from typing import Final

from handler_base.clients.audio import find_wav_data
from handler_base.errors import InvalidRequestError, UnsupportedFormatError
from handler_base.messages.domain import AudioFormat, check_transcript

__all__ = ["NothingHeardError", "check_recording", "check_speech", "transcript_of"]

_NOISE: Final = re.compile(r"\[[^\]]{0,80}\]|\([^)]{0,80}\)|\*[^*]{0,80}\*|<\|[^|]{0,40}\|>")
"""What transcription servers write for what is no speech: ``[BLANK_AUDIO]``, ``(music)``, ``*sighs*``."""

_WEBM: Final = b"\x1a\x45\xdf\xa3"


class NothingHeardError(InvalidRequestError):
    """There is no speech in a recording: its sender is told so in a sentence of its own."""

    default_message = "No speech was found in the audio."


def check_speech(audio: bytes) -> bytes:
    """Return a recording, if there is anything in it.

    Raises:
        NothingHeardError: There is not.
    """
    wav = find_wav_data(audio)
    if not audio or (wav is not None and wav.told == 0):
        raise NothingHeardError
    return audio


def check_recording(audio: bytes, named: str) -> AudioFormat:
    """Return the format of a recording: by its first bytes, since those are what a decoder goes by.

    Args:
        audio: The recording.
        named: The format its sender named, in any case.

    Raises:
        UnsupportedFormatError: It is none that questions may have, whatever it is called.
        InvalidRequestError: It has lost its end.
    """
    AudioFormat.named(named)
    if audio[:4] == b"RIFF" and audio[8:12] == b"WAVE":
        wav = find_wav_data(audio)
        if wav is None:
            raise UnsupportedFormatError("The audio has a broken header.")
        if wav.cut_off:
            # Half a question would get an answer to something else.
            raise InvalidRequestError("The recording is cut off: it holds less than its header says.")
        return AudioFormat.WAV
    if audio[:4] == _WEBM:
        return AudioFormat.WEBM
    # MPEG's frames begin with eleven bits set; the layer bits of layer three are 01.
    if audio[:3] == b"ID3" or (len(audio) > 1 and audio[0] == 0xFF and audio[1] & 0xE6 == 0xE2):
        return AudioFormat.MP3
    raise UnsupportedFormatError("Audio must be wav, webm or mp3.")


def transcript_of(heard: str) -> str:
    """Return what the transcription heard, if there are words in it beside marks and remarks about noise.

    Raises:
        NothingHeardError: There are none.
    """
    try:
        return check_transcript(heard if any(map(str.isalnum, _NOISE.sub(" ", heard))) else "")
    except InvalidRequestError as error:
        raise NothingHeardError from error
