"""The table of parts: what the local stack starts, where each listens, and what takes its place."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from deploy.local.environment import StackSettings
from deploy.local.ports import HOST, PortClaim
from deploy.local.readiness import http_ready, milvus_ready, nats_ready, redis_ready
from deploy.local.supervisor import ChildSpec

__all__ = ["INFERENCE_URLS", "SERVICES", "Foreign", "Part", "embedded", "find_program", "infrastructure", "services"]

INFERENCE_URLS: Final = ("VLLM_URL", "EMBEDDINGS_URL", "RERANKER_URL", "WHISPER_URL", "TTS_URL")
"""What the local inference server can stand in for."""

SERVICES: Final[Mapping[str, str]] = {
    "chat_handler": "questions in text",
    "voice_assistant": "spoken questions, live conversation",
    "stt_module": "live audio to text",
    "tts_module": "text to speech, voices",
    "pipeline_bridge": "pipelines",
}
"""Modules of the fleet's services, and what each is for; one that cannot be run yet is passed over."""

_MAX_PAYLOAD: Final = "8MB"
_LEAST_RELEVANT: Final = "0.03"
"""Passages the local reranker scores lower are left out. For every question of `deploy/local/eval` with an answer, some
passage of the right document scores at least 0.045."""


@dataclass(frozen=True, slots=True)
class Part:
    """A process of the stack.

    Attributes:
        spec: How it runs.
        role: What it is for, in a few words.
        address: Where it is, as people write it.
        claim: The port it needs.
        offers: Settings that point the services and the command at it.
        without: What is lost without it, as the end of a sentence; empty: nothing works.
        missing: Why it cannot be started here; empty: it can.
    """

    spec: ChildSpec
    role: str
    address: str
    claim: PortClaim
    offers: Mapping[str, str] = field(default_factory=dict)
    without: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A server of the user's own that takes a part's place.

    Attributes:
        name: What it stands for.
        variable: The setting that names it.
        address: Its value, empty when it comes from a file.
        needed: Whether nothing works without it.
    """

    name: str
    variable: str
    address: str
    needed: bool = False


def find_program(name: str) -> str:
    """Return the path of a program of the virtual environment, or of the system; empty when there is none."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or ""


def infrastructure(settings: StackSettings) -> tuple[list[Part], list[Foreign]]:
    """Return what the services stand on: the parts to start, in order, and what the user brings."""
    parts: list[Part] = []
    foreign: list[Foreign] = []
    for variable, name, build in (
        ("NATS_URL", "nats-server", _nats),
        ("MILVUS_HOST", "milvus-lite", _milvus),
        ("REDIS_URL", "redis-server", _redis),
    ):
        if settings.names_own(variable):
            address = settings.given.get(variable, "")
            if variable == "MILVUS_HOST":
                address = f"{address}:{settings.ports['MILVUS_PORT']}"
            foreign.append(Foreign(name, variable, address, needed=variable == "NATS_URL"))
        else:
            parts.append(build(settings))
    own = [variable for variable in INFERENCE_URLS if settings.names_own(variable)]
    foreign += [
        Foreign(variable.removesuffix("_URL").lower(), variable, settings.given.get(variable, "")) for variable in own
    ]
    if len(own) < len(INFERENCE_URLS):
        parts.append(_inference(settings, [variable for variable in INFERENCE_URLS if variable not in own]))
    return parts, foreign


def embedded(settings: StackSettings) -> dict[str, str]:
    """Return where services keep and read what needs no server of its own: the archive and artifacts, documents."""
    # The stack listens on this machine alone and reads what its user could ingest by hand; hidden files stay out.
    folders = (settings.root, Path.home(), Path(tempfile.gettempdir()))
    places = {
        "ARCHIVE_URL": f"sqlite:///{settings.state / 'archive.db'}",
        "ARTIFACTS_DIR": str(settings.state / "artifacts"),
        "SOURCE_URLS": ",".join(f"file://{quote(str(folder))}/" for folder in folders),
    }
    return {name: value for name, value in places.items() if not settings.names_own(name)}


def services(settings: StackSettings, environment: Mapping[str, str]) -> list[Part]:
    """Return the services that exist.

    Args:
        settings: Of the stack.
        environment: Points them at everything else.
    """
    base = settings.ports["HEALTH_PORT_BASE"]
    return [
        _service(module, base + offset, settings, environment)
        for offset, module in enumerate(SERVICES)
        if _can_run(module)
    ]


def _nats(settings: StackSettings) -> Part:
    port = settings.ports["NATS_PORT"]
    config = settings.state / "nats.conf"
    program = find_program("nats-server")
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(
        "# Written by the local stack at every start.\n"
        f'listen: "{HOST}:{port}"\n'
        'server_name: "local"\n'
        f"max_payload: {_MAX_PAYLOAD}\n"
        f"jetstream {{ store_dir: {json.dumps(str(settings.state / 'nats'))} }}\n",
        "utf-8",
    )
    return Part(
        ChildSpec("nats-server", (program, "--config", str(config)), lambda: nats_ready(port)),
        role="messages, JetStream",
        address=f"nats://{HOST}:{port}",
        claim=PortClaim(port, "nats-server", "NATS_PORT", "set NATS_URL to use a NATS that already runs"),
        offers={"NATS_URL": f"nats://{HOST}:{port}"},
        missing="" if program else "nats-server is not installed, or has no package for this platform",
    )


def _milvus(settings: StackSettings) -> Part:
    port = settings.ports["MILVUS_PORT"]
    program = find_program("milvus-lite")
    # Beside the data and not among it: the database owns its folder.
    data = settings.state / "milvus" / "data"
    data.parent.mkdir(parents=True, exist_ok=True)
    command = (program, "server", "--data-dir", str(data), "--host", HOST, "--port", str(port))
    # Milvus Lite shuts down in order on Ctrl-C only.
    spec = ChildSpec("milvus-lite", command, lambda: milvus_ready(port), stop_signal=signal.SIGINT)
    return Part(
        spec,
        role="documents (Milvus Lite)",
        address=f"{HOST}:{port}",
        claim=PortClaim(port, "milvus-lite", "MILVUS_PORT", "set MILVUS_HOST to use a Milvus that already runs"),
        # Milvus Lite speaks gRPC only.
        offers={"MILVUS_HOST": HOST, "MILVUS_PORT": str(port), "MILVUS_API": "grpc"},
        without="answers are not grounded in documents",
        missing="" if program else "milvus-lite is not installed, or has no package for this platform",
    )


def _redis(settings: StackSettings) -> Part:
    port = settings.ports["REDIS_PORT"]
    program = find_program("redis-server") or find_program("valkey-server")
    data = settings.state / "redis"
    data.mkdir(parents=True, exist_ok=True)
    keep = ("--dir", str(data), "--appendonly", "yes", "--appendfsync", "everysec")
    command = (program, "--bind", HOST, "--port", str(port), "--daemonize", "no", *keep)
    return Part(
        ChildSpec("redis-server", command, lambda: redis_ready(port)),
        role="conversations",
        address=f"redis://{HOST}:{port}/0",
        claim=PortClaim(port, "redis-server", "REDIS_PORT", "set REDIS_URL to use a Redis that already runs"),
        offers={"REDIS_URL": f"redis://{HOST}:{port}/0"},
        without="conversations are not remembered",
        missing="" if program else "redis-server is not installed, or has no package for this platform",
    )


def _inference(settings: StackSettings, stands_in_for: list[str]) -> Part:
    port = settings.ports["INFERENCE_PORT"]
    url = f"http://{HOST}:{port}"
    offers = {variable: f"{url}/v1" if variable == "VLLM_URL" else url for variable in stands_in_for}
    if "RERANKER_URL" in stands_in_for and "RERANK_MIN_SCORE" not in settings.given:
        offers["RERANK_MIN_SCORE"] = _LEAST_RELEVANT
    command: tuple[str, ...] = (sys.executable, "-m", "deploy.local.inference", "--host", HOST, "--port", str(port))
    if "LOCAL_CORPUS" in settings.given:
        command = (*command, "--words-of", settings.given["LOCAL_CORPUS"])
    return Part(
        ChildSpec("inference", command, lambda: http_ready(port, "/health")),
        role="stand-in models, extractive; speech both ways",
        address=url,
        claim=PortClaim(port, "the inference server", "INFERENCE_PORT", f"set {', '.join(INFERENCE_URLS)}"),
        offers=offers,
    )


def _service(module: str, port: int, settings: StackSettings, environment: Mapping[str, str]) -> Part:
    name = module.replace("_", "-")
    own = {"HEALTH_HOST": HOST, "HEALTH_PORT": str(port)}
    if "LOG_FORMAT" not in settings.given:
        own["LOG_FORMAT"] = "text"
    spec = ChildSpec(
        name,
        (sys.executable, "-m", module),
        lambda: http_ready(port, "/ready"),
        environment={**environment, **own},
        stop_seconds=30.0,
    )
    return Part(
        spec,
        role=SERVICES[module],
        address=f"http://{HOST}:{port}/ready",
        claim=PortClaim(port, name, "HEALTH_PORT_BASE"),
    )


def _can_run(module: str) -> bool:
    found = importlib.util.find_spec(module)
    folders = found.submodule_search_locations if found is not None else None
    return any((Path(folder) / "__main__.py").exists() for folder in folders or ())
