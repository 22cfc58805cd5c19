"""Finds the question, the numbered sources and the past questions in the messages of a chat request."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from handler_base.errors import InvalidRequestError

__all__ = ["Conversation", "Message", "Source", "read_messages", "understand"]

_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_MARK: Final = re.compile(
    r"<(?P<slash>/?)(?:source|document|doc|passage|chunk|context)\b(?P<attributes>[^<>]{0,600})>", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"\b(?:id|n|number|index|ref)\s*=\s*[\"']?\[?(\d{1,3})\b", re.IGNORECASE)
_SEARCHED: Final = re.compile(r"<(?:sources|documents|passages|context)\b", re.IGNORECASE)
_BRACKETED: Final = re.compile(r"^\s*\[(?P<number>\d{1,3})\](?P<rest>.*)$")
_END: Final = re.compile(r"^\s*(?:</[\w-]+[^>]*>|-{3,}|={3,}|<<<.*|>>>.*|```.*|\"{3})\s*$")
_LABEL: Final = re.compile(r"^\s*(?:the\s+)?(?:user(?:'s)?\s+)?(?:question|query)\s*:\s*", re.IGNORECASE | re.MULTILINE)
_TITLE: Final = re.compile(r"\btitle\s*=\s*[\"']([^\"']*)[\"']", re.IGNORECASE)
_TAG: Final = re.compile(r"</?[a-z][^<>]{0,600}>", re.IGNORECASE)
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
    """What the extractive model needs of a request.

    Attributes:
        question: The last question, without the sources around it.
        past_questions: The questions before, oldest first.
        sources: The numbered passages of the prompt.
        searched: Whether documents were looked through, even if none was found.
    """

    question: str
    past_questions: list[str] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    searched: bool = False


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
    shown = [
        message.text
        for index, message in enumerate(messages)
        if index == last or message.role in {"system", "developer"}
    ]
    found = [split_sources(text) for text in shown]
    past = [split_sources(message.text)[1] for message in messages[:last] if message.role == "user"]
    sources = [source for some, _ in found for source in some]
    return Conversation(
        question=split_sources(messages[last].text)[1] or messages[last].text,
        past_questions=[question for question in past if question],
        sources=sources,
        searched=bool(sources) or bool(_SEARCHED.search(messages[last].text)),
    )


def split_sources(text: str) -> tuple[list[Source], str]:
    """Return the numbered sources in a text, and the question that remains without them.

    Sources are elements with a number (`<source id="1" title="...">`), their text escaped as in HTML, or else blocks
    that begin with a number in brackets.
    """
    sources, rest = _elements(text)
    if not sources:
        sources, rest = _blocks(text)
    label = _LABEL.search(rest)
    question = rest[label.end() :] if label else _TAG.sub("", rest)
    return [source for source in sources if source.text], question.strip()


def _elements(text: str) -> tuple[list[Source], str]:
    """Read elements in one pass over their tags, so that no text takes more than linear time."""
    sources: list[Source] = []
    opened: re.Match[str] | None = None
    first, last = len(text), len(text)
    for mark in _MARK.finditer(text):
        if opened is None and not mark["slash"] and _NUMBER.search(mark["attributes"]):
            opened = mark
        elif opened is not None and mark["slash"]:
            sources.append(_element(opened, text[opened.end() : mark.start()].strip()))
            first, last = min(first, opened.start()), mark.end()
            opened = None
    return sources, text[:first] + text[last:]


def _element(opened: re.Match[str], text: str) -> Source:
    number = _NUMBER.search(opened["attributes"])
    title = _TITLE.search(opened["attributes"])
    return Source(int(number[1]) if number else 0, html.unescape(title[1]) if title else "", html.unescape(text))


def _blocks(text: str) -> tuple[list[Source], str]:
    sources: list[Source] = []
    rest: list[str] = []
    inside = False
    for line in text.splitlines():
        start = _BRACKETED.match(line)
        if start:
            sources.append(Source(int(start["number"]), "", start["rest"].strip()))
            inside = True
        elif _END.match(line) or _LABEL.match(line):
            inside = False
            rest.append(line)
        elif inside:
            sources[-1].text += f"\n{line}"
        else:
            rest.append(line)
    return [_titled(source) for source in sources], "\n".join(line for line in rest if not _END.match(line))


def _titled(source: Source) -> Source:
    """Take a short first line that is no sentence as the title."""
    first, _, rest = source.text.strip().partition("\n")
    bare = len(first.split()) <= _TITLE_WORDS and not first.rstrip().endswith((".", "!", "?", "|"))
    if rest.strip() and bare:
        return Source(source.number, first.strip(), rest.strip())
    return Source(source.number, "", source.text.strip())
