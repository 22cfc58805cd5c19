"""Where the records of runs are kept: those under way apart from those that ended, so that the first are soon found."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import msgspec

from handler_base.errors import InternalError
from handler_base.messages.streams import PIPELINE_RUNS
from handler_base.nats_client import KeyValue, NatsConnection, WrongSequenceError
from pipeline_bridge.runs.record import RunRecord

__all__ = ["RunStore", "StoredRun"]

_OPEN: Final = "open."
_DONE: Final = "done."
_decoder: Final = msgspec.json.Decoder(RunRecord)


class StoredRun(msgspec.Struct):
    """A record, and the revision it has in the bucket; 0 when it ended."""

    record: RunRecord
    revision: int


class RunStore:
    """Reads and changes the records.

    Every method raises `UpstreamUnavailableError` or `DeadlineExceededError` when the bucket cannot be reached.

    Args:
        connection: To the server.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self._bucket = KeyValue(connection, PIPELINE_RUNS)

    async def add(self, record: RunRecord) -> StoredRun:
        """Keep a new run, unless there is one for its request: then return that.

        Whoever asks can tell by the owner and the status whether it is the one it gave.
        """
        while True:
            known = await self.find(record.request_id)
            if known is not None:
                return known
            try:
                revision = await self._bucket.create(_OPEN + record.request_id, _encoded(record))
            except WrongSequenceError:
                continue
            ended = await self._done(record.request_id)
            if ended is None:
                return StoredRun(record, revision)
            # It was started and ended elsewhere between the two looks.
            await self._bucket.drop(_OPEN + record.request_id, revision)
            return ended

    async def find(self, request_id: str) -> StoredRun | None:
        """Return the run of a request, under way or ended; None: there is none."""
        entry = await self._bucket.get(_OPEN + request_id)
        return StoredRun(_decoded(entry.value), entry.revision) if entry is not None else await self._done(request_id)

    async def save(self, run: StoredRun) -> None:
        """Keep what changed.

        Raises:
            WrongSequenceError: Somebody else changed it: the run is theirs.
        """
        run.revision = await self._bucket.update(_OPEN + run.record.request_id, _encoded(run.record), run.revision)

    async def finish(self, run: StoredRun) -> None:
        """Move a run to those that ended. A replica that dies between the two steps leaves the second to another."""
        await self._bucket.put(_DONE + run.record.request_id, _encoded(run.record))
        await self._bucket.drop(_OPEN + run.record.request_id, run.revision)
        run.revision = 0

    async def under_way(self) -> AsyncGenerator[StoredRun, None]:
        """Yield the runs that have not ended."""
        async with aclosing(self._bucket.entries(f"{_OPEN}>")) as entries:
            async for entry in entries:
                yield StoredRun(_decoded(entry.value), entry.revision)

    async def _done(self, request_id: str) -> StoredRun | None:
        entry = await self._bucket.get(_DONE + request_id)
        return None if entry is None else StoredRun(_decoded(entry.value), 0)


def _encoded(record: RunRecord) -> bytes:
    return msgspec.json.encode(record)


def _decoded(value: bytes) -> RunRecord:
    try:
        return _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise InternalError("The record of a run cannot be read.") from error
