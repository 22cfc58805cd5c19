"""Brings the local stack up, keeps it up, and takes it down."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from deploy.local.environment import StackSettings, write_environment
from deploy.local.inference.speech_engines import find_speaker
from deploy.local.ingest import ingest_corpus
from deploy.local.parts import INFERENCE_URLS, Foreign, Part, embedded, find_program, infrastructure, services
from deploy.local.ports import conflicts
from deploy.local.question import RECORDING
from deploy.local.readiness import accepts_connections
from deploy.local.screen import say, show_table, without_password
from deploy.local.supervisor import Supervisor
from handler_base.errors import FleetError, InvalidRequestError, NotFoundError, UpstreamUnavailableError

__all__ = ["QUESTION", "run"]

QUESTION: Final = "How many cars can the ferry Linnet II carry?"
"""Shown to try; the sample documents answer it."""

_SHARED: Final = (
    "NATS_URL",
    "MILVUS_HOST",
    "MILVUS_PORT",
    "MILVUS_API",
    "COLLECTION_NAME",
    "REDIS_URL",
    "ARCHIVE_URL",
    *INFERENCE_URLS,
)
_KILLED: Final = 130


async def run(settings: StackSettings) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; a further SIGINT ends it by force.

    Raises:
        FleetError: It cannot be brought up; what ran is stopped again.
    """
    with _alone(settings):
        supervisor = Supervisor(settings.root, settings.state / "logs", say)
        stopping = asyncio.Event()
        _stop_on_signals(stopping, supervisor)
        starting = asyncio.create_task(_bring_up(settings, supervisor))
        told = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.is_set():
                await starting
                await told
        finally:
            for task in (starting, told):
                task.cancel()
            await asyncio.wait({starting, told})
            await supervisor.stop()


@contextlib.contextmanager
def _alone(settings: StackSettings) -> Iterator[None]:
    """Keep a second stack away from the same data."""
    settings.state.mkdir(parents=True, exist_ok=True)
    with (settings.state / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise InvalidRequestError(
                f"a local stack already runs on {settings.shown(settings.state)} (process {lock.read().strip()}). "
                "Stop it with Ctrl-C there, or set LOCAL_DIR and the ports for a second one."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _stop_on_signals(stopping: asyncio.Event, supervisor: Supervisor) -> None:
    def stop(number: signal.Signals) -> None:
        if not stopping.is_set():
            stopping.set()
            say("stopping; Ctrl-C once more ends everything at once")
        elif number == signal.SIGINT:
            # A SIGTERM often comes twice: to the process group, and passed on by make.
            say("killed")
            supervisor.kill()
            os._exit(_KILLED)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)


async def _bring_up(settings: StackSettings, supervisor: Supervisor) -> None:
    parts, foreign = infrastructure(settings)
    parts = _present(parts)
    environment = {name: value for part in parts for name, value in part.offers.items()} | embedded(settings)
    fleet = services(settings, environment)
    _check_ports([*parts, *fleet])
    silent = await _silent(foreign)
    write_environment(settings.state / "env", _shared_environment(settings, environment))
    running = await _start_together(parts, supervisor)
    running += await _start_together(fleet, supervisor)
    documents = {"MILVUS_HOST", "milvus-lite"}
    if documents & ({server.variable for server in foreign} - silent | {part.spec.name for part in running}):
        await ingest_corpus(settings, environment, say)
    _introduce(settings, running, foreign)


def _present(parts: Sequence[Part]) -> list[Part]:
    """Leave out what is not installed and can be done without."""
    present: list[Part] = []
    for part in parts:
        if not part.missing:
            present.append(part)
        elif part.without:
            say(f"warning: {part.missing}: {part.without}. {part.claim.instead.capitalize()}.")
        else:
            raise NotFoundError(f"{part.missing}. Run `make install`, or {part.claim.instead}.")
    return present


def _check_ports(parts: Sequence[Part]) -> None:
    lines = conflicts([part.claim for part in parts])
    if lines:
        raise InvalidRequestError("\nerror: ".join(lines))


async def _silent(foreign: Sequence[Foreign]) -> set[str]:
    """Return the settings whose server, of the user's own, does not answer; each is told at once.

    Raises:
        UpstreamUnavailableError: Nothing works without one of them.
    """
    silent: set[str] = set()
    for server in foreign:
        addresses = [address.strip() for address in server.address.split(",") if address.strip()]
        answers = [await accepts_connections(address) for address in addresses]
        if any(answers) or not addresses:
            continue
        line = f"nothing answers at {server.variable}={without_password(server.address)}"
        if server.needed:
            raise UpstreamUnavailableError(f"{line}. Start it, or unset {server.variable} to have one started here.")
        say(f"warning: {line}; going on without it")
        silent.add(server.variable)
    return silent


def _shared_environment(settings: StackSettings, environment: dict[str, str]) -> dict[str, str]:
    own = {name: settings.given[name] for name in _SHARED if name in settings.given}
    return {**own, **environment}


async def _start_together(parts: Sequence[Part], supervisor: Supervisor) -> list[Part]:
    """Start parts at the same time; return those that run.

    Raises:
        FleetError: One that is needed did not start.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_start(part, supervisor)) for part in parts]
    except* FleetError as errors:
        raise _first(errors) from None
    return [part for part, task in zip(parts, tasks, strict=True) if task.result()]


async def _start(part: Part, supervisor: Supervisor) -> bool:
    try:
        await supervisor.start(part.spec)
    except UpstreamUnavailableError as error:
        if not part.without:
            raise
        say(f"warning: {error.message} {part.without.capitalize()}.")
        return False
    return True


def _first(group: BaseExceptionGroup[FleetError]) -> FleetError:
    error = group.exceptions[0]
    return error if isinstance(error, FleetError) else _first(error)


def _introduce(settings: StackSettings, running: Sequence[Part], foreign: Sequence[Foreign]) -> None:
    say("")
    rows = [(part.spec.name, part.address, part.role) for part in running]
    rows += [(server.name, without_password(server.address), f"yours: {server.variable}") for server in foreign]
    show_table(rows)
    say(f"Data and logs are in {settings.shown(settings.state)}.")
    if any(part.spec.name == "inference" for part in running):
        say("The inference server is a stand-in: it answers in sentences of the documents, on the CPU.")
        say("For a language model: VLLM_URL=http://localhost:11434/v1 LLM_MODEL=llama3.2 make run (Ollama, vLLM, ...)")
    if not (settings.names_own("WHISPER_URL") and settings.names_own("TTS_URL")):
        say(_about_speech())
    fleet = settings.shown(Path(find_program("fleet") or "fleet"))
    if settings.state != settings.root / ".local":
        fleet = f"NATS_URL={settings.given.get('NATS_URL') or running[0].address} {fleet}"
    say("\nTry, in another terminal:\n")
    for command in (f'chat "{QUESTION}"', f"voice {settings.shown(RECORDING)} -o answer.wav", "talk"):
        say(f"  {fleet} {command}")
    say("\nCtrl-C stops everything.")


def _about_speech() -> str:
    speaker = find_speaker()
    if speaker is None:
        return "Nothing speaks here: neither flite nor espeak-ng is installed. `make install` says more."
    if speaker.name == "flite":
        return "It speaks (flite) and listens (pocketsphinx) in English; WHISPER_URL and TTS_URL name better ones."
    return (
        f"{speaker.name} speaks, which pocketsphinx hardly understands: install flite for that (apt-get install flite)."
    )
