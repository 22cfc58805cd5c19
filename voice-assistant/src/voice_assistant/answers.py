"""The answers of the voice assistant as messages of the contract."""

from __future__ import annotations

from typing import Final

from handler_base.answering import source_of
from handler_base.errors import FleetError, InternalError
from handler_base.messages import VoiceRequest, VoiceResponse
from voice_assistant.exchange import Exchange

__all__ = ["answer_to", "failed_answer", "not_answered", "not_heard", "spoken_answer"]

_NOT_HEARD: Final = {
    "de": "Ich habe leider nichts verstanden. Bitte sagen Sie es noch einmal.",
    "en": "I did not hear anything. Please say it again.",
    "es": "No he oído nada. Por favor, dígalo otra vez.",
    "fr": "Je n'ai rien entendu. Pouvez-vous répéter ?",
}

_FAILED: Final = {
    "de": "Das kann ich gerade nicht beantworten. Bitte versuchen Sie es später noch einmal.",
    "en": "I cannot answer that right now. Please try again later.",
    "es": "Ahora no puedo responder. Por favor, inténtelo más tarde.",
    "fr": "Je ne peux pas répondre pour le moment. Veuillez réessayer plus tard.",
}


def not_heard(language: str) -> str:
    """Return what is said to someone whose recording has no speech in it."""
    return _NOT_HEARD.get(language[:2].lower(), _NOT_HEARD["en"])


def not_answered(language: str) -> str:
    """Return what is said in a conversation when an answer failed."""
    return _FAILED.get(language[:2].lower(), _FAILED["en"])


def answer_to(request: VoiceRequest) -> VoiceResponse:
    """Return an empty answer to a question.

    Raises:
        InternalError: The question has no id, so that nobody could tell what is answered.
    """
    if not request.request_id:
        raise InternalError
    return VoiceResponse(request_id=request.request_id, session_id=request.session_id)


def failed_answer(request: VoiceRequest, error: FleetError) -> VoiceResponse:
    """Return the answer to a question that could not be answered."""
    response = answer_to(request)
    response.error = error.message
    return response


def spoken_answer(exchange: Exchange) -> VoiceResponse:
    """Return an answer as it is written; its sound is added where there is some."""
    response = answer_to(exchange.request)
    response.response = exchange.completion.text
    response.transcription = exchange.transcript
    response.sources = [source_of(hit) for hit in exchange.hits]
    response.rag_docs_used = len(exchange.hits)
    response.session_id = exchange.session_id
    return response
