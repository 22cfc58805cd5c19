"""pocketsphinx, by its C interface: a call of it lets other threads run, which the Python one does not.

It also lets two models of the language be mixed. General English alone gets every fifth word of a question about the
sample corpus wrong, mixed with the words of the corpus every eleventh.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pocketsphinx
import pocketsphinx._pocketsphinx as extension

from deploy.local.inference.transcription_audio import RATE
from deploy.local.inference.transcription_words import Words
from handler_base.errors import InternalError

__all__ = ["Decoder", "Heard", "dictionary", "regions"]

_MODEL: Final = Path(pocketsphinx.get_model_path("en-us"))
_DICTIONARY: Final = _MODEL / "cmudict-en-us.dict"
_SHARE: Final = 0.2
"""Of the words of the documents in the mix; from 0.1 to 0.5 it makes little difference."""

_MOST_STATES: Final = 3000
"""Of the search at a time. Speech is heard no worse than without a limit, and noise takes no longer than speech."""

_FRAME: Final = 0.03
_LONG_PAUSE: Final = 0.8
_SHORT_PAUSE: Final = 0.1
_LONG: Final = 8.0
_LONGEST: Final = 15.0
_MARGIN: Final = 0.3
_LEAST: Final = 0.12
"""Seconds: what counts as a pause, from when on a short one does, the longest piece, what is kept around a piece, and
the least speech in one."""
_AROUND: Final = 8
"""Hundredths of a second in which it is quiet where a long piece without a pause is cut."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said between two pauses.

    Attributes:
        text: Lower case, without marks.
        begin: Seconds from the begin of the recording.
        end: As `begin`.
    """

    text: str
    begin: float
    end: float


def dictionary() -> frozenset[str]:
    """Return the words of which the recogniser knows the pronunciation."""
    with _DICTIONARY.open(encoding="utf-8") as lines:
        return frozenset(line.split(maxsplit=1)[0] for line in lines if line.strip())


def regions(samples: bytes) -> Iterator[tuple[int, int]]:
    """Yield where speech is, as places in the samples: cut at pauses, with a margin; nothing where nobody speaks."""
    detector = pocketsphinx.Vad(pocketsphinx.Vad.STRICT, RATE, _FRAME)
    size = detector.frame_bytes
    begin = last = voiced = done = 0
    for at in range(0, len(samples) + 1, size):
        piece = samples[at : at + size]
        if len(piece) == size and detector.is_speech(piece):
            begin, voiced, last = (at, 1, at) if not voiced else (begin, voiced + 1, at)
        elif not voiced:
            continue
        pause = _SHORT_PAUSE if last - begin > _bytes(_LONG) else _LONG_PAUSE
        if len(piece) < size or at - last > _bytes(pause):
            if voiced * _FRAME >= _LEAST:
                start, done = max(done, begin - _bytes(_MARGIN)), min(len(samples), last + size + _bytes(_MARGIN))
                yield start, done
            voiced = 0
        elif at - begin > _bytes(_LONGEST):
            start, done = max(done, begin - _bytes(_MARGIN)), _quietest(samples, begin + _bytes(_LONG), at)
            yield start, done
            begin, voiced = done, (at - done) // size


def _quietest(samples: bytes, begin: int, end: int) -> int:
    """Return the place between two others with the least sound around it."""
    step = _bytes(0.01)
    numbers = np.frombuffer(samples[begin:end], dtype="<i2").astype(np.float32)
    steps = np.square(numbers[: len(numbers) // (step // 2) * (step // 2)]).reshape(-1, step // 2).sum(axis=1)
    around = np.convolve(steps, np.ones(_AROUND), mode="same")[_AROUND:-_AROUND]
    return begin + (int(around.argmin()) + _AROUND) * step


def _bytes(seconds: float) -> int:
    return int(seconds * RATE) * 2


class Decoder:
    """Hears speech; one at a time. It takes 0.3 s and 110 MB to make.

    Args:
        words: Of the documents; None: general English alone.

    Raises:
        InternalError: pocketsphinx does not work as it should.
    """

    def __init__(self, words: Words | None) -> None:
        self._config = _call("ps_config_init", None)
        for name, value in (("hmm", _MODEL / "en-us"), ("dict", _DICTIONARY), ("loglevel", "FATAL")):
            _call("ps_config_set_str", self._config, name.encode(), str(value).encode())
        _call("ps_config_set_int", self._config, b"maxhmmpf", _MOST_STATES)
        _CALLS["err_set_loglevel_str"](b"FATAL")
        self._decoder = _call("ps_init", self._config)
        for word, sounds in ({} if words is None else words.sounds).items():
            # A sound that the recogniser does not know makes the word unknown and nothing worse.
            _CALLS["ps_add_word"](self._decoder, word.encode(), sounds.encode(), 0)
        general = self._read(_MODEL / "en-us.lm.bin")
        model = general if words is None else self._mixed(general, words)
        _CALLS["ps_add_lm"](self._decoder, b"mixed", model)
        if _CALLS["ps_activate_search"](self._decoder, b"mixed") != 0:
            raise InternalError

    def hear(self, samples: bytes) -> str:
        """Return what was said in a piece of a recording, at most some seconds long."""
        # It forgets the noise of what it heard before, so that a recording always reads the same.
        _CALLS["ps_start_stream"](self._decoder)
        _CALLS["ps_start_utt"](self._decoder)
        _CALLS["ps_process_raw"](self._decoder, samples, len(samples) // 2, 0, 1)
        _CALLS["ps_end_utt"](self._decoder)
        text: bytes | None = _CALLS["ps_get_hyp"](self._decoder, None)
        return "" if text is None else text.decode()

    def close(self) -> None:
        """Give back the memory."""
        _CALLS["ps_free"](self._decoder)
        _CALLS["ps_config_free"](self._config)

    def _read(self, path: Path) -> int:
        logmath = _call("ps_get_logmath", self._decoder)
        return _call("ngram_model_read", self._config, str(path).encode(), 0, logmath)

    def _mixed(self, general: int, words: Words) -> int:
        with tempfile.NamedTemporaryFile("w", suffix=".arpa", encoding="utf-8") as file:
            file.write(words.model)
            file.flush()
            documents = self._read(Path(file.name))
        models = (ctypes.c_void_p * 2)(general, documents)
        names = (ctypes.c_char_p * 2)(b"general", b"documents")
        shares = (ctypes.c_float * 2)(1 - _SHARE, _SHARE)
        mixed = _call("ngram_model_set_init", self._config, models, names, shares, 2)
        _call("ngram_model_set_interp", mixed, names, shares)
        return mixed


_P: Final = ctypes.c_void_p
_S: Final = ctypes.c_char_p
_I: Final = ctypes.c_int
_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    # What it returns, then what it takes.
    "err_set_loglevel_str": (_S, _S),
    "ngram_model_read": (_P, _P, _S, _I, _P),
    "ngram_model_set_init": (_P, _P, _P, _P, _P, _I),
    "ngram_model_set_interp": (_P, _P, _P, _P),
    "ps_activate_search": (_I, _P, _S),
    "ps_add_lm": (_I, _P, _S, _P),
    "ps_add_word": (_I, _P, _S, _S, _I),
    "ps_config_free": (_I, _P),
    "ps_config_init": (_P, _P),
    "ps_config_set_int": (_P, _P, _S, ctypes.c_long),
    "ps_config_set_str": (_P, _P, _S, _S),
    "ps_end_utt": (_I, _P),
    "ps_free": (_I, _P),
    "ps_get_hyp": (_S, _P, _P),
    "ps_get_logmath": (_P, _P),
    "ps_init": (_P, _P),
    "ps_process_raw": (_I, _P, _S, ctypes.c_size_t, _I, _I),
    "ps_start_stream": (_I, _P),
    "ps_start_utt": (_I, _P),
}


def _load() -> dict[str, Any]:
    library = ctypes.CDLL(extension.__file__)
    calls: dict[str, Any] = {}
    for name, (returned, *taken) in _SIGNATURES.items():
        calls[name] = getattr(library, name)
        calls[name].restype, calls[name].argtypes = returned, taken
    return calls


_CALLS: Final = _load()


def _call(name: str, *arguments: object) -> int:
    """Call what returns a pointer."""
    pointer: int | None = _CALLS[name](*arguments)
    if not pointer:
        raise InternalError
    return pointer
