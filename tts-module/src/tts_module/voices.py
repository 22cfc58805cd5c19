"""The custom voices: one directory each, found again and again."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from handler_base.clients.speech import check_voice
from handler_base.errors import InvalidRequestError
from handler_base.messages import TTSVoiceInfo

__all__ = ["MOST_BYTES", "Voice", "find_voices"]

log = logging.getLogger(__name__)

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of a recording; three minutes at 44.1 kHz. A larger one is no voice."""

_MOST_VOICES: Final = 1000
_DESCRIPTIONS: Final = ("voice.json", "model_info.json")
_MOST_DESCRIPTION: Final = 64 * 1024
_RECORDINGS: Final = ("reference.wav", "speaker.wav")


class _Description(msgspec.Struct):
    language: str = ""
    model_type: str = ""
    type: str = ""
    created_at: str = ""


_decode: Final = msgspec.json.Decoder(_Description).decode


@dataclass(frozen=True, slots=True)
class Voice:
    """A custom voice.

    Attributes:
        name: As it is asked for; the name of its directory.
        language: As its description says, or empty.
        model_type: As its description says, or ``recording`` or ``model``.
        created_at: ISO 8601, as its description says, or when its directory last changed.
        recording: A WAV file of the speaker; None: the speech server knows the voice by its name.
        digest: Of the recording.
        stamp: Changes with the recording.
    """

    name: str
    language: str
    model_type: str
    created_at: str
    recording: Path | None = None
    digest: str = ""
    stamp: tuple[int, int] = (0, 0)

    def info(self) -> TTSVoiceInfo:
        """Return it as the contract shows it."""
        return TTSVoiceInfo(
            name=self.name, language=self.language, model_type=self.model_type, created_at=self.created_at
        )


def find_voices(directory: Path, known: Mapping[str, Voice]) -> dict[str, Voice]:
    """Return the voices in a directory by name; what is no voice is passed over. Reads files: not for the event loop.

    Args:
        directory: Has a directory for each voice; it may be missing.
        known: What was found before; a recording that has not changed is not read again.
    """
    found: dict[str, Voice] = {}
    for place in _directories(directory):
        try:
            voice = _voice(place, known.get(place.name))
        except OSError as error:
            log.warning("a voice cannot be read", extra={"voice": place.name, "cause": type(error).__name__})
            voice = known.get(place.name)
        if voice is not None:
            found[voice.name] = voice
        if len(found) >= _MOST_VOICES:
            log.warning("there are too many voices; the rest is left out", extra={"most": _MOST_VOICES})
            break
    return found


def _directories(directory: Path) -> Iterable[Path]:
    try:
        return sorted(place for place in directory.iterdir() if place.is_dir() and _is_name(place.name))
    except FileNotFoundError:
        return ()


def _is_name(name: str) -> bool:
    try:
        return bool(check_voice(name))
    except InvalidRequestError:
        return False


def _voice(place: Path, known: Voice | None) -> Voice | None:
    files = {file.name: file for file in sorted(place.iterdir()) if file.is_file()}
    if not files:
        return None
    recording = _recording(files)
    described = _description(files)
    changed = datetime.fromtimestamp(int(place.stat().st_mtime), UTC)
    stamp, digest = (0, 0), ""
    if recording is not None:
        status = recording.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if known is not None and (known.recording, known.stamp) == (recording, stamp):
            digest = known.digest
        else:
            digest = hashlib.sha256(recording.read_bytes()).hexdigest()
    return Voice(
        name=place.name,
        language=described.language,
        model_type=described.model_type or described.type or ("model" if recording is None else "recording"),
        created_at=described.created_at or changed.isoformat().replace("+00:00", "Z"),
        recording=recording,
        digest=digest,
        stamp=stamp,
    )


def _recording(files: Mapping[str, Path]) -> Path | None:
    """Return the recording of the speaker: the one with the usual name, else the first."""
    found = [files[name] for name in _RECORDINGS if name in files]
    found += [file for name, file in files.items() if name.lower().endswith(".wav")]
    return next((file for file in found if 0 < file.stat().st_size <= MOST_BYTES), None)


def _description(files: Mapping[str, Path]) -> _Description:
    for name in _DESCRIPTIONS:
        file = files.get(name)
        if file is None or file.stat().st_size > _MOST_DESCRIPTION:
            continue
        try:
            return _decode(file.read_bytes())
        except (msgspec.MsgspecError, UnicodeDecodeError):
            log.warning("the description of a voice cannot be read", extra={"voice": file.parent.name})
    return _Description()
