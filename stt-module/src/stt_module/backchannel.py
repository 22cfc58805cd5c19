"""Whether somebody who speaks into an answer wants it to stop.

A listener's "mhm" means: go on. So voice alone stops nothing until it has lasted; words that are understood by then
decide earlier, both ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

__all__ = ["InterruptRules", "InterruptWatch", "is_backchannel", "is_command"]

_MOST_WORDS: Final = 4
_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")

_LISTENING: Final[dict[str, str]] = {
    "en": "mhm mm-hm mm-hmm mm hm hmm hmmm uh-huh uhuh uh huh um ah aha oh ooh wow yes yeah yep yup ya right ok okay "
    "sure i see got it go on cool nice great good true exactly indeed really alright of course interesting thanks",
    "de": "mhm mm hm hmm aha ah ach so oh ja jaja jo okay ok genau gut stimmt klar verstehe richtig na echt danke",
    "fr": "mhm mm hm hmm ah oh oui ouais d'accord ok okay bien exactement voilà bon vraiment je vois merci",
    "es": "mhm mm hm hmm ah ajá oh sí si vale ok okay claro bueno bien exacto ya entiendo de verdad gracias",
    "it": "mhm mm hm hmm ah oh sì si certo ok okay bene esatto capisco già davvero giusto grazie",
    "nl": "mhm mm hm hmm ah oh ja jaja oké ok okay goed precies juist klopt snap echt dank",
}
"""What people say to show that they listen, by language."""

_COMMANDS: Final[dict[str, str]] = {
    "en": "stop wait no nope pause cancel quiet silence enough halt shush",
    "de": "stopp stop halt warte warten nein ruhe pause genug abbrechen",
    "fr": "stop arrête arrêtez attends attendez non pause silence assez",
    "es": "para alto basta espera espere no pausa silencio",
    "it": "stop ferma fermati aspetta basta no pausa silenzio",
    "nl": "stop wacht nee pauze stil genoeg",
}
"""What stops an answer at once, by language."""

_LISTENING_SETS: Final = {language: frozenset(words.split()) for language, words in _LISTENING.items()}
_COMMAND_SETS: Final = {language: frozenset(words.split()) for language, words in _COMMANDS.items()}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold().replace("\u2019", "'"))


def _language(language: str) -> str:
    """The language of a tag such as ``en-GB``; English for those without a list."""
    short = language.casefold().replace("_", "-").split("-")[0]
    return short if short in _LISTENING_SETS else "en"


def is_backchannel(text: str, language: str = "en") -> bool:
    """Whether a few words only say that somebody listens."""
    words = _words(text)
    return 0 < len(words) <= _MOST_WORDS and set(words) <= _LISTENING_SETS[_language(language)]


def is_command(text: str, language: str = "en") -> bool:
    """Whether words begin with one that asks for silence."""
    return bool(set(_words(text)[:2]) & _COMMAND_SETS[_language(language)])


@dataclass(frozen=True, slots=True)
class InterruptRules:
    """How long speech is let go by."""

    least: timedelta = timedelta(milliseconds=700)
    """Speech longer than this interrupts, unless it is known to be a backchannel. Spoken slowly, "yes" takes 540 ms and
    "okay" 670."""
    longest_backchannel: timedelta = timedelta(milliseconds=1500)
    """Speech longer than this interrupts in any case."""


class InterruptWatch:
    """Decides for one utterance, once.

    Args:
        rules: How long speech is let go by.
        language: What is spoken, as far as it is known.
    """

    __slots__ = ("_language", "_least", "_longest", "decided")

    def __init__(self, rules: InterruptRules | None = None, language: str = "en") -> None:
        rules = rules or InterruptRules()
        self._least = rules.least // timedelta(milliseconds=1)
        self._longest = rules.longest_backchannel // timedelta(milliseconds=1)
        self._language = language
        self.decided = False

    def hear(self, voiced_ms: int, words: str = "") -> bool:
        """Tell whether to interrupt now; it is said once.

        Args:
            voiced_ms: How long the utterance has lasted from its first voice to its last.
            words: What is understood of it so far, if anything.
        """
        if self.decided or not self._wanted(voiced_ms, words):
            return False
        self.decided = True
        return True

    def _wanted(self, voiced_ms: int, words: str) -> bool:
        if is_command(words, self._language):
            return True
        if voiced_ms <= self._least:
            return False
        return voiced_ms > self._longest or not is_backchannel(words, self._language)
