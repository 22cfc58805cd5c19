"""The words of the documents: what the recogniser has to expect beside general English.

Its own model of English has never seen the names of an island that does not exist. So the sentences of the documents,
spelled out as they are spoken, make a second, small model, and words that the dictionary lacks get the pronunciation
flite would give them. Without flite these words cannot be heard.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handler_base.errors import FleetError
from handler_base.rag.loaders import find_files, load_file
from handler_base.speech import speakable, split_sentences

__all__ = ["Words", "pronounce_by_flite", "read_words"]

_WORD: Final = re.compile(r"[a-z]+(?:'[a-z]+)*")
_LONGEST_SENTENCE: Final = 400
_MOST_NEW_WORDS: Final = 400
_SOUNDS: Final[Mapping[str, str]] = {"ax": "AH", "axr": "ER", "pau": "", "ssil": ""}
"""Sounds of flite that the recogniser writes in another way or not at all."""


@dataclass(frozen=True, slots=True)
class Words:
    """What documents add to what the recogniser knows.

    Attributes:
        model: Which words follow each other, in the ARPA format.
        sounds: Pronunciations of words that the dictionary lacks.
    """

    model: str
    sounds: Mapping[str, str]


def read_words(folder: Path, dictionary: Container[str], pronounce: Callable[[str], str]) -> Words | None:
    """Return the words of the documents in a folder; None where there are none.

    Args:
        folder: The documents; those that cannot be read are passed over.
        dictionary: Words whose pronunciation is known.
        pronounce: Returns the sounds of a word, empty where it cannot.
    """
    sentences = [words for text in _texts(folder) for words in _sentences(text)]
    counts = Counter(word for words in sentences for word in words if word not in dictionary)
    sounds = {word: found for word, _ in counts.most_common(_MOST_NEW_WORDS) if (found := pronounce(word))}
    lines = []
    for words in sentences:
        known = [word for word in words if word in dictionary or word in sounds]
        if known:
            lines.append(f"<s> {' '.join(known)} </s>")
    return Words(_arpa(lines), sounds) if lines else None


def pronounce_by_flite(word: str) -> str:
    """Return the sounds of a word as flite would speak it; empty where there is no flite."""
    program = Path(sys.executable).with_name("flite")
    command = [str(program) if program.exists() else "flite", "-voice", "kal16", "-ps", "-t", word, "-o", "none"]
    try:
        said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    found = said.stdout.decode(errors="replace").split()
    return " ".join(sound for name in found if (sound := _SOUNDS.get(name, name.upper())))


def _texts(folder: Path) -> Iterable[str]:
    try:
        paths = find_files(folder)
    except FleetError:
        return
    for path in paths:
        try:
            yield load_file(path, path.name).text
        except FleetError:
            continue


def _sentences(text: str) -> list[list[str]]:
    spoken = split_sentences(speakable(text), _LONGEST_SENTENCE)
    return [words for sentence in spoken if (words := _WORD.findall(sentence.lower().replace("\u2019", "'")))]


def _arpa(lines: list[str]) -> str:
    from pocketsphinx.lm import ArpaBoLM  # noqa: PLC0415 - asked for only where the recogniser is installed

    model = ArpaBoLM(text="\n".join(lines))
    model.compute()
    written = io.StringIO()
    model.write(written)
    return written.getvalue()
