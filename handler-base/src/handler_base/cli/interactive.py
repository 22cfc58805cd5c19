"""`fleet chat` without a question: a conversation."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

from handler_base.cli.chat import ChatOptions, converse
from handler_base.cli.connecting import connected
from handler_base.cli.terminal import print_text, warn
from handler_base.errors import ErrorType

__all__ = ["chat"]

_HELP = """\
Type a question and press Enter. Ctrl-C stops an answer, Ctrl-D leaves.
  /new    forget what was said and start another conversation
  /help   this text
  /quit   leave"""


async def chat(nats_url: str, options: ChatOptions) -> None:
    """Answer the lines that are typed, or piped in, until there are no more.

    All of them belong to one session, so that the fleet knows what was said before.

    Raises:
        typer.Exit: NATS cannot be reached, or nobody answered.
    """
    options = replace(options, session=options.session or _new_session())
    async with connected(nats_url) as connection:
        if sys.stdin.isatty():
            print_text(f"Session {options.session} at {connection.connected_url}. /help tells more, /quit leaves.")
        async for line in _lines():
            command = line.strip()
            if command in {"/quit", "/exit"}:
                return
            if command == "/new":
                options = replace(options, session=_new_session())
                print_text(f"New conversation: session {options.session}.")
            elif command == "/help":
                print_text(_HELP)
            elif command.startswith("/"):
                warn(f"{command} is no command; /help lists them.")
            elif command:
                answer = await converse(connection, command, options)
                if answer.error is not None and answer.error.type is not ErrorType.CANCELLED:
                    warn(f"{answer.error.message} ({answer.error.type.value})")
                print_text("")


def _new_session() -> str:
    return f"cli-{secrets.token_hex(6)}"


async def _lines() -> AsyncIterator[str]:
    if not sys.stdin.isatty():
        while line := await asyncio.to_thread(sys.stdin.readline):
            yield line
        return
    from prompt_toolkit import PromptSession  # noqa: PLC0415 - only a terminal needs it
    from prompt_toolkit.history import InMemoryHistory  # noqa: PLC0415

    prompt: PromptSession[str] = PromptSession("you> ", history=InMemoryHistory())
    while True:
        try:
            yield await prompt.prompt_async()
        except EOFError:
            return
        except KeyboardInterrupt:
            # A line that was begun is thrown away, as in a shell.
            continue
