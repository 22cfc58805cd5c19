"""Text for speech: what of an answer is said, how, and in which pieces. Pure functions and state machines, no I/O."""

from handler_base.speech.clauses import ClauseSplitter, split_sentences
from handler_base.speech.speakable import SpeakableText, speakable

__all__ = ["ClauseSplitter", "SpeakableText", "speakable", "split_sentences"]
