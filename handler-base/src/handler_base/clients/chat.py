"""What goes into a chat model and what comes out, the same for every server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

__all__ = ["ChatMessage", "Completion", "Delta", "PromptPart", "Role", "Usage", "decode_messages", "encode_messages"]

Role = Literal["system", "user", "assistant"]


class ChatMessage(msgspec.Struct, frozen=True, gc=False):
    """One message of a prompt.

    Attributes:
        role: Who speaks.
        content: What is said.
    """

    role: Role
    content: str


PromptPart = ChatMessage | msgspec.Raw
"""A message, or some that are written already, as `encode_messages` does: JSON is copied, not written again."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[ChatMessage]).decode


def encode_messages(*messages: ChatMessage) -> bytes:
    """Return messages as they stand in the JSON of a prompt, with a comma between two.

    Raises:
        UnicodeEncodeError: A text holds half a surrogate pair.
    """
    return _encode(messages)[1:-1]


def decode_messages(*parts: PromptPart) -> list[ChatMessage]:
    """Return the messages of a prompt.

    Raises:
        msgspec.DecodeError: What was written already is not what `encode_messages` writes.
    """
    return _decode(_encode(parts))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them.

    Attributes:
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
        total_tokens: Both.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer: everything that arrived together.

    Attributes:
        text: What the model says, without its reasoning; may be empty.
        finish_reason: Why the model stopped, such as ``stop`` or ``length``; empty while it has not.
        usage: Where the server has counted, mostly at the end.
        model: The model that answers, by the server's own word; may be empty.
    """

    text: str = ""
    finish_reason: str = ""
    usage: Usage | None = None
    model: str = ""


@dataclass(slots=True)
class Completion:
    """A whole answer.

    Attributes:
        text: What the model says, without its reasoning.
        finish_reason: Why it stopped; empty where the server did not tell.
        usage: Tokens, where the server counts them.
        model: The model that answered; may be empty.
    """

    text: str = ""
    finish_reason: str = ""
    usage: Usage | None = None
    model: str = ""

    def add(self, delta: Delta) -> None:
        """Add the next piece of a stream."""
        self.text += delta.text
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.usage = delta.usage or self.usage
        self.model = delta.model or self.model
