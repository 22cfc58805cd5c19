"""`fleet chat`: one question, printed as it is answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import typer

from handler_base.cli.asking import Answer, Question
from handler_base.cli.connecting import connected, no_service, refuse
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.interrupting import on_interrupt
from handler_base.cli.sources import print_sources
from handler_base.cli.terminal import clean_line, fail, print_json, print_text, warn
from handler_base.errors import DeadlineExceededError, ErrorType, UpstreamUnavailableError
from handler_base.messages import ChatRequest
from handler_base.nats_client import NatsConnection

__all__ = ["ChatOptions", "ask_once", "converse"]


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What the command line says about questions.

    Attributes:
        stream: Whether text is shown as it is written.
        session: Conversation the question belongs to; empty: none.
        user: Who asks.
        collection: Where to look; empty: the service's own.
        top_k: Passages to look for.
        premium: Whether the question goes before standard ones.
        rag: Whether documents are searched at all.
        speak: File for the spoken answer.
        as_json: Whether to print one JSON object in place of text.
        verbose: Whether to print model, tokens and timings.
        timeout: Time for the answer.
    """

    stream: bool
    session: str
    user: str
    collection: str
    top_k: int
    premium: bool
    rag: bool
    speak: Path | None
    as_json: bool
    verbose: bool
    timeout: timedelta

    def request(self, question: str) -> ChatRequest:
        """Return the message for a question."""
        return ChatRequest(
            message=question,
            user_id=self.user,
            session_id=self.session,
            collection=self.collection,
            top_k=self.top_k,
            rerank_top_k=min(3, self.top_k),
            premium=self.premium,
            enable_rag=self.rag,
            enable_streaming=self.stream,
            enable_tts=self.speak is not None,
        )


async def ask_once(nats_url: str, question: str, options: ChatOptions) -> None:
    """Ask a question and print the answer.

    Raises:
        typer.Exit: There is no answer, or it is an error.
    """
    async with connected(nats_url) as connection:
        answer = await converse(connection, question, options)
    if answer.error is not None:
        if answer.error.type is ErrorType.CANCELLED:
            raise typer.Exit(int(ExitCode.INTERRUPTED))
        if options.as_json:
            raise typer.Exit(int(ExitCode.FLEET_ERROR))
        refuse(answer.error)
    if options.speak is not None and not answer.response.audio:
        fail("The answer came without speech; is a tts server running (TTS_URL)?", ExitCode.FLEET_ERROR)


async def converse(connection: NatsConnection, question: str, options: ChatOptions) -> Answer:
    """Ask a question, print its answer and return it; Ctrl-C cancels it, twice leaves at once.

    Raises:
        typer.Exit: Nobody answered.
    """
    try:
        async with Question(connection, options.request(question), timeout=options.timeout) as asked:
            answer = await _print_as_it_comes(asked, options)
    except UpstreamUnavailableError:
        no_service(connection, "chat-handler")
    except DeadlineExceededError as error:
        fail(f"{error.message} Look at `fleet status`, or give it longer with --timeout.", ExitCode.NO_ANSWER)
    if options.speak is not None and answer.response.audio:
        await asyncio.to_thread(_save, options.speak, answer.response.audio)
    if options.as_json:
        print_json(_as_json(answer, options))
    else:
        _print_end(answer, options)
    return answer


async def _print_as_it_comes(asked: Question, options: ChatOptions) -> Answer:
    with on_interrupt(asked.cancel):
        async for event in asked.events():
            if isinstance(event, Answer):
                return event
            if not options.as_json:
                print_text(event.text, end="")
    raise DeadlineExceededError


def _save(path: Path, audio: bytes) -> None:
    try:
        path.write_bytes(audio)
    except OSError as error:
        fail(f"The speech cannot be saved: {error}.", ExitCode.USAGE)


def _as_json(answer: Answer, options: ChatOptions) -> dict[str, object]:
    shown: dict[str, object] = msgspec.to_builtins(answer.response)
    if options.speak is not None and answer.response.audio:
        shown["audio"] = ""
        shown["audio_file"] = str(options.speak)
    shown["error_type"] = answer.error.type.value if answer.error is not None else ""
    return shown


def _print_end(answer: Answer, options: ChatOptions) -> None:
    """Print what the pieces left out, then the sources."""
    text = answer.text
    if answer.shown and text.startswith(answer.shown):
        print_text(text[len(answer.shown) :])
    elif text:
        print_text(f"\n{text}" if answer.shown else text)
    elif answer.shown:
        print_text("")
    if answer.error is not None and answer.error.type is ErrorType.CANCELLED:
        warn("The answer was cancelled.")
    print_sources(answer.response.sources)
    if options.speak is not None and answer.response.audio:
        print_text(f"\nSpeech: {options.speak} ({answer.response.audio_format or 'audio'})")
    if options.verbose:
        _print_details(answer)


def _print_details(answer: Answer) -> None:
    response = answer.response
    print_text(f"\nrequest {clean_line(response.request_id)}, session {clean_line(response.session_id) or 'none'}")
    if response.model:
        usage = response.usage
        tokens = f", {usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage is not None else ""
        print_text(
            f"model {clean_line(response.model)}{tokens}, documents {'used' if response.used_rag else 'not used'}"
        )
    for stage, spent in response.timings_ms.items():
        print_text(f"  {clean_line(stage):<16}{spent:>10.1f} ms")
    print_text(f"  {'total':<16}{response.latency_ms:>10.1f} ms")
