"""What all scenarios run in: a nats-server, the fake upstreams, and the contestants' processes."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec

from deploy.bench.as_image import HIDDEN_VARIABLE, hidden_packages
from deploy.bench.load import Load
from deploy.bench.process import ROOT, StartError, Worker, free_port
from deploy.bench.upstreams import Script, Tally

__all__ = ["FASTSTREAM_HINT", "GO_HINT", "Environment"]

FASTSTREAM_HINT: Final = "The FastStream peer is in a dependency group of its own: uv sync --group bench"

GO_HINT: Final = (
    "The Go peer needs a Go compiler and two packages; on Debian: apt-get install golang-go "
    "golang-github-nats-io-go-nats-dev golang-github-vmihailenco-msgpack.v5-dev"
)
_GO_SOURCE: Final = "./deploy/bench/go"
_GO_BINARY: Final = ROOT / "deploy" / "bench" / "go" / "bin" / "peer"
_GO_PATH: Final = "/usr/share/gocode"


class Environment:
    """Starts what a scenario asks for; everything ends with the `async with` block.

    Attributes:
        quick: Fewer and shorter rounds.
        load: The caller.
    """

    load: Load

    def __init__(self, *, quick: bool = False) -> None:
        self.quick = quick
        self._folder = Path(tempfile.mkdtemp(prefix="fleet-bench-"))
        self._nats_port = free_port()
        self._ports: dict[str, int] = {}
        self._workers: list[Worker] = []
        self._readers: list[asyncio.Task[None]] = []
        self._base = 0
        self._go: bool | None = None

    @property
    def rounds(self) -> int:
        """Measured rounds of each contestant."""
        return 2 if self.quick else 5

    @property
    def folder(self) -> Path:
        """For files of the run."""
        return self._folder

    @property
    def nats_url(self) -> str:
        """The nats-server of this run."""
        return f"nats://127.0.0.1:{self._nats_port}"

    async def __aenter__(self) -> Self:
        """Start the server, the upstreams and the caller."""
        try:
            await self._start_nats(self._nats_port)
            upstreams = await self.start_python("upstreams", "deploy.bench.upstreams")
            self._ports = msgspec.json.decode(await upstreams.line(), type=dict[str, int])
            self._base = len(self._workers)
            self.load = await Load.connect(self.nats_url)
        except BaseException:
            # Whatever it was, Ctrl-C too: no process stays behind of a run that did not begin.
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what was started; the logs stay where a start failed."""
        await self.load.close()
        await self._stop()
        if not isinstance(error, StartError):
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _stop(self) -> None:
        for worker in reversed(self._workers):
            await worker.stop()
        for reader in self._readers:
            reader.cancel()

    async def nats_server(self) -> str:
        """Start a nats-server for contestants that listen on the same subjects; returns its address."""
        port = free_port()
        await self._start_nats(port)
        return f"nats://127.0.0.1:{port}"

    async def _start_nats(self, port: int) -> None:
        binary = Path(sys.executable).parent / "nats-server"
        command = str(binary) if binary.exists() else "nats-server"
        folder = self._folder / str(port)
        folder.mkdir()
        config = folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{port}"\nmax_payload: 8MB\n'
            f'jetstream {{ store_dir: "{folder / "jetstream"}", max_mem: 512MB, max_file: 1GB }}\n',
            encoding="utf-8",
        )
        server = await Worker.start("nats-server", [command, "-c", str(config)], logs=folder, env=os.environ)
        self._workers.append(server)
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
        raise StartError("nats-server did not listen within 4 s")

    def url(self, role: str) -> str:
        """The base URL of one of the fake upstreams."""
        return f"http://127.0.0.1:{self._ports[role]}"

    async def speaking_upstreams(self) -> dict[str, str]:
        """Start upstreams that hear and speak as well; returns their base URLs by role."""
        worker = await self.start_python("speaking upstreams", "deploy.bench.speaking_upstreams")
        ports = msgspec.json.decode(await worker.line(), type=dict[str, int])
        self._readers.append(worker.drain_output())
        return {role: f"http://127.0.0.1:{port}" for role, port in ports.items()}

    async def script(self, script: Script) -> None:
        """Give the upstreams a new script and forget what they counted."""
        await self._control("script", msgspec.json.encode(script))

    async def tally(self) -> Tally:
        """What the upstreams counted since the last script."""
        return msgspec.json.decode(await self._control("tally", b""), type=Tally)

    async def _control(self, path: str, body: bytes) -> bytes:
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.post(f"{self.url('control')}/bench/{path}", data=body) as response,
        ):
            return await response.read()

    async def start_python(self, name: str, module: str, *arguments: str, **variables: str) -> Worker:
        """Start ``python -m module`` with `variables` added to the environment.

        Bytecode is kept for the run, as an image keeps it, whatever the shell here says about it.
        """
        env = {**os.environ, "PYTHONPYCACHEPREFIX": str(self._folder / "bytecode"), **variables}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        worker = await Worker.start_python(name, module, *arguments, logs=self._folder, env=env)
        self._workers.append(worker)
        return worker

    async def stop(self, worker: Worker) -> None:
        """Stop one process before the end of the run."""
        await worker.stop()
        self._workers.remove(worker)

    async def clear(self) -> None:
        """Stop every contestant; the server and the upstreams stay, with an empty script."""
        for worker in self._workers[self._base :]:
            await worker.stop()
        del self._workers[self._base :]
        await self.script(Script())

    async def service(self, module: str, *, image: str = "", wait: bool = True, **variables: str) -> tuple[Worker, int]:
        """Start one of our services as an image would, with everything on.

        Args:
            module: The service.
            image: Name of the image; the service's own unless it is named.
            wait: Return once it is ready.
            **variables: Settings besides those that all have.

        Returns:
            The service and its health port.
        """
        port = free_port()
        image = image or ("handler-base" if module.startswith("deploy.") else module)
        hidden = {HIDDEN_VARIABLE: ",".join(hidden_packages(image))}
        worker = await self.start_python(
            module, "deploy.bench.as_image", module, **{**self.service_variables(port), **hidden, **variables}
        )
        self._readers.append(worker.drain_output())
        if wait:
            await worker.ready(port)
        return worker, port

    def service_variables(self, port: int) -> dict[str, str]:
        """The settings of a service of ours: real clients, the fakes' addresses, traces and metrics on."""
        return {
            "NATS_URL": self.nats_url,
            "HEALTH_HOST": "127.0.0.1",
            "HEALTH_PORT": str(port),
            "VLLM_URL": f"{self.url('llm')}/v1",
            "EMBEDDINGS_URL": self.url("embeddings"),
            "RERANKER_URL": self.url("reranker"),
            "MILVUS_HOST": "127.0.0.1",
            "MILVUS_PORT": str(self._ports["milvus"]),
            "MILVUS_API": "rest",
            "LLM_MODEL": "bench-model",
            # What is compared with a peer is answering; what is kept of it is measured by a scenario of its own.
            "REDIS_URL": "none",
            "EVENTS": "false",
            "ARCHIVE_MODE": "off",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url("otlp"),
        }

    async def go_peer(self, mode: str, *flags: str) -> tuple[Worker, str] | None:
        """Start the Go peer; returns it and its subject, or nothing where there is no Go."""
        if self._go is None:
            self._go = await _build_go()
        if not self._go:
            return None
        subject = f"bench.go.{mode}{''.join(flags)}.request"
        command = [str(_GO_BINARY), "-mode", mode, "-nats", self.nats_url, "-subject", subject, *flags]
        for role in ("llm", "embeddings", "reranker", "milvus"):
            command += [f"-{role}", self.url(role)]
        worker = await Worker.start(f"go {mode}", command, logs=self._folder, env=os.environ)
        self._workers.append(worker)
        await worker.line()
        return worker, subject

    async def faststream_peer(self) -> tuple[Worker, str] | None:
        """Start the FastStream peer; returns it and its subject, or nothing where it is not installed."""
        if importlib.util.find_spec("faststream") is None:
            return None
        subject = "bench.faststream.echo"
        worker = await self.start_python(
            "faststream", "deploy.bench.faststream_peer", self.nats_url, subject, self.url("otlp")
        )
        await worker.line()
        self._readers.append(worker.drain_output())
        return worker, subject


async def _build_go() -> bool:
    """Build the Go peer; False, with a word on what to install, where that cannot be done."""
    if shutil.which("go") is None:
        print(GO_HINT)
        return False
    process = await asyncio.create_subprocess_exec(
        *("go", "build", "-o", str(_GO_BINARY), _GO_SOURCE),
        cwd=ROOT,
        env={**os.environ, "GO111MODULE": "off", "GOPATH": _GO_PATH},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    if process.returncode:
        print(f"The Go peer does not build.\n{errors.decode()}\n{GO_HINT}")
        return False
    return True
