"""Finds the question, the numbered sources and the past questions in the messages of a chat request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from handler_base.errors import InvalidRequestError

__all__ = ["Conversation", "Message", "Source", "read_messages", "understand"]

_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_TAGGED: Final = re.compile(
    r"^\s*<(?P<tag>[a-z][\w-]*)\b(?P<attributes>[^>]*\b(?:id|n|number|index|ref)\s*=\s*[\"']?\[?(?P<number>\d{1,3})\]?[\"']?[^>]*)>"
    r"(?P<rest>.*)$",
    re.IGNORECASE,
)
_BRACKETED: Final = re.compile(r"^\s*(?:<[^>]*>\s*)?\[(?P<number>\d{1,3})\](?P<rest>.*)$")
_END: Final = re.compile(r"^\s*(?:</[\w-]+[^>]*>|-{3,}|={3,}|#{3,}|<<<.*|>>>.*|```.*|\"{3})\s*$")
_CLOSED: Final = re.compile(r"</[\w-]+>\s*$")
_LABEL: Final = re.compile(r"^\s*(?:the\s+)?(?:user(?:'s)?\s+)?(?:question|query)\s*:\s*", re.IGNORECASE)
_TITLE: Final = re.compile(r"\btitle\s*=\s*[\"']([^\"']*)[\"']", re.IGNORECASE)
_TAG_LINE: Final = re.compile(r"^\s*<[^>]*>\s*$")
_TITLE_WORDS: Final = 16


@dataclass(frozen=True, slots=True)
class Message:
    """One message: who spoke, and the text."""

    role: str
    text: str


@dataclass(slots=True)
class Source:
    """A numbered passage of the prompt."""

    number: int
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the extractive model needs of a request."""

    question: str
    past_questions: list[str] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)


def read_messages(value: object) -> list[Message]:
    """Read the `messages` of a request.

    Raises:
        InvalidRequestError: They are not messages, or the last one is not a user's.
    """
    if not isinstance(value, list) or not value:
        raise InvalidRequestError("`messages` must be a list that is not empty.")
    messages = [_message(item) for item in value]
    if not any(message.role == "user" and message.text.strip() for message in messages):
        raise InvalidRequestError("`messages` must hold a user message with text.")
    return messages


def _message(item: object) -> Message:
    if not isinstance(item, dict) or item.get("role") not in _ROLES:
        raise InvalidRequestError("Each message must be an object with a known `role`.")
    return Message(str(item["role"]), _text(item.get("content")))


def _text(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    if len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        raise InvalidRequestError("`content` must be a string or a list of text parts.")
    return "\n".join(str(text) for text in texts)


def understand(messages: Sequence[Message]) -> Conversation:
    """Return the last user message as the question, with the sources of the prompt and the questions before."""
    last = max(index for index, message in enumerate(messages) if message.role == "user" and message.text.strip())
    sources: list[Source] = []
    past: list[str] = []
    question = ""
    for index, message in enumerate(messages):
        if message.role in {"assistant", "tool", "function"}:
            continue
        found, rest = split_sources(message.text)
        if message.role != "user" or index == last:
            sources.extend(found)
        if message.role == "user":
            question = rest
            if index != last:
                past.append(rest)
            else:
                break
    return Conversation(question=question or messages[last].text, past_questions=past, sources=sources)


def split_sources(text: str) -> tuple[list[Source], str]:
    """Return the numbered sources in a text, and the question that remains without them."""
    sources: list[Source] = []
    outside: list[str] = []
    current: list[str] | None = None
    for line in text.splitlines():
        start = _TAGGED.match(line) or _BRACKETED.match(line)
        if start:
            sources.append(_opened(start))
            current = [start["rest"].strip()]
        elif _END.match(line) or _LABEL.match(line):
            current = None
            if _LABEL.match(line):
                outside = [_LABEL.sub("", line)]
        elif current is not None:
            current.append(line)
        elif not _TAG_LINE.match(line):
            outside.append(line)
        if current is not None:
            sources[-1].text = "\n".join(current)
            if _CLOSED.search(line):
                sources[-1].text = _CLOSED.sub("", sources[-1].text)
                current = None
    return [_titled(source) for source in sources if source.text.strip()], "\n".join(outside).strip()


def _opened(start: re.Match[str]) -> Source:
    title = _TITLE.search(start.groupdict().get("attributes") or "")
    return Source(int(start["number"]), title[1] if title else "", "")


def _titled(source: Source) -> Source:
    first, _, rest = source.text.strip().partition("\n")
    bare = len(first.split()) <= _TITLE_WORDS and not first.rstrip().endswith((".", "!", "?", "|"))
    if not source.title and rest.strip() and bare:
        return Source(source.number, first.strip(), rest.strip())
    return Source(source.number, source.title, source.text.strip())
