"""What a request may ask for, and how the contract numbers it."""

from __future__ import annotations

from typing import Final

from handler_base.errors import InvalidRequestError, PayloadTooLargeError, UnsupportedFormatError
from handler_base.messages import TTSRequest

__all__ = ["ENCODINGS", "PCM", "WAV", "check"]

PCM: Final = "pcm"
WAV: Final = "wav"

ENCODINGS: Final = {"pcm": 1, "wav": 2, "opus": 3, "mp3": 4}
"""`audio_encoding` of each format."""

_NAMES: Final = {
    "pcm": "pcm",
    "pcm_s16le": "pcm",
    "s16le": "pcm",
    "wav": "wav",
    "opus": "opus",
    "ogg": "opus",
    "ogg_opus": "opus",
    "mp3": "mp3",
}


def check(request: TTSRequest, *, most_chars: int) -> str:
    """Check what a request asks for; return the format that it gets.

    Raises:
        InvalidRequestError: There is no text.
        PayloadTooLargeError: The text is too long.
        UnsupportedFormatError: No such format can be made, or not as a stream.
    """
    if not request.text.strip():
        raise InvalidRequestError("The text is empty.")
    if len(request.text) > most_chars:
        raise PayloadTooLargeError(f"The text has more than {most_chars} characters.")
    name = request.format.strip().lower()
    found = _NAMES.get(name or (PCM if request.stream else WAV))
    if found is None:
        raise UnsupportedFormatError("The format must be pcm, wav, opus or mp3.")
    if request.stream and found != PCM:
        raise UnsupportedFormatError("A stream is raw samples (pcm); other formats come in one piece.")
    return found
