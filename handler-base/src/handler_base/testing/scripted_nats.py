"""A fake NATS server that says on a socket what no real one says on demand."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

__all__ = ["ScriptedNatsServer"]


@dataclass
class ScriptedNatsServer:
    """Speaks enough of the protocol to be connected to, and says what the test wants.

    Attributes:
        port: To listen on; 0 picks a free one.
        info: Fields that replace those of its INFO line.
        answer_pings: Whether PING gets its PONG.
        refusal: An error said in place of each PONG; empty for none.
        received: Every line that came.
        links: What is connected.
        accepted: How many connections were ever taken.
    """

    port: int = 0
    info: dict[str, object] = field(default_factory=dict)
    answer_pings: bool = True
    refusal: str = ""
    received: list[bytes] = field(default_factory=list)
    links: list[asyncio.StreamWriter] = field(default_factory=list)
    accepted: int = 0
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every link and listen no more."""
        if self._server is not None:
            self._server.close()
        for link in self.links:
            link.close()
        if self._server is not None:
            await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"nats://127.0.0.1:{self.port}"

    def say(self, text: str) -> None:
        """Send a line to every client."""
        for link in self.links:
            link.write(f"{text}\r\n".encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.links.append(writer)
        info = {"server_id": "x", "version": "2.15.0", "max_payload": 1024, "headers": True, **self.info}
        writer.write(f"INFO {json.dumps(info)}\r\n".encode())
        try:
            while line := await reader.readline():
                self.received.append(line)
                if not line.startswith(b"PING"):
                    continue
                if self.refusal:
                    writer.write(f"-ERR '{self.refusal}'\r\n".encode())
                elif self.answer_pings:
                    writer.write(b"PONG\r\n")
        except ConnectionError:
            pass
        finally:
            self.links.remove(writer)
            writer.close()
