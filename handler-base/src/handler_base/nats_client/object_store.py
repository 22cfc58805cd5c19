"""JetStream's object store: what is too large, or too lasting, for a message."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from handler_base.errors import InvalidRequestError, NotFoundError, PayloadTooLargeError, UpstreamError
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.headers import ROLLUP
from handler_base.nats_client.jetstream_api import STREAM_NOT_FOUND, JetStreamApi
from handler_base.nats_client.publishing import ApiError
from handler_base.nats_client.stream_reader import StreamReader

__all__ = ["ObjectStore"]

_BUCKET: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NUID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_NAME: Final = 512
_CHUNK: Final = 128 * 1024
_NANOSECONDS: Final = 1_000_000_000


class _Info(msgspec.Struct):
    """What a bucket knows of an object, as far as it takes to read it."""

    nuid: str = ""
    size: int = 0
    digest: str = ""
    deleted: bool = False


class _Options(msgspec.Struct):
    max_chunk_size: int = _CHUNK


class _Entry(_Info, kw_only=True):
    """What is written of an object, by the names of the object store's own format."""

    name: str
    bucket: str
    chunks: int = 0
    mtime: str = ""
    options: _Options = msgspec.field(default_factory=_Options)


class ObjectStore:
    """Reads and writes objects.

    Args:
        connection: To the server.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection

    async def get(self, bucket: str, name: str, *, most_bytes: int) -> bytes:
        """Return an object.

        Args:
            bucket: The bucket it is in.
            name: What it was put in as.
            most_bytes: A larger one is not read.

        Raises:
            InvalidRequestError: The bucket or the name cannot be one.
            NotFoundError: There is no such bucket, or nothing of that name in it.
            PayloadTooLargeError: It is larger than that.
            UpstreamError: It is not whole.
            UpstreamUnavailableError: JetStream is away.
            DeadlineExceededError: It does not answer.
        """
        _check(bucket, name)
        info = await self._info(bucket, name)
        if info.size > most_bytes:
            raise PayloadTooLargeError(f"The object is larger than {most_bytes} bytes.")
        data = bytearray()
        if info.size:
            # A purge of the bucket, or another object put in under this name, may come in between.
            async with aclosing(self._reader(bucket, f"C.{info.nuid}").read()) as chunks:
                async for chunk in chunks:
                    data += chunk.data
                    if len(data) >= info.size:
                        break
        whole = bytes(data)
        if len(whole) != info.size or not _is(info.digest, whole):
            raise UpstreamError("The object is not whole.")
        return whole

    async def make_bucket(self, bucket: str, *, max_age: timedelta) -> None:
        """Make a bucket where there is none; one that exists is left as it is.

        Args:
            bucket: Its name.
            max_age: How long objects are kept in it.

        Raises:
            InvalidRequestError: The bucket cannot be named so.
            UpstreamError: The server refuses it.
            UpstreamUnavailableError: JetStream is away.
        """
        _check(bucket, "any")
        api = JetStreamApi(self._connection)
        info = await api.stream_info(f"OBJ_{bucket}")
        if not isinstance(info, ApiError):
            return
        made: object = info
        if info.err_code == STREAM_NOT_FOUND:
            made = await api.create_stream(
                {
                    "name": f"OBJ_{bucket}",
                    "subjects": [f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"],
                    "max_age": int(max_age.total_seconds()) * _NANOSECONDS,
                    "discard": "new",
                    "allow_rollup_hdrs": True,
                    "allow_direct": True,
                }
            )
        if isinstance(made, ApiError):
            raise UpstreamError("The object store cannot be made.")

    async def put(self, bucket: str, name: str, data: bytes) -> None:
        """Store an object in a bucket that exists; one that has the name is replaced.

        Raises:
            InvalidRequestError: The bucket or the name cannot be one.
            NotFoundError: There is no such bucket.
            UpstreamUnavailableError: JetStream is away.
            DeadlineExceededError: It does not answer.
        """
        _check(bucket, name)
        if isinstance(await JetStreamApi(self._connection).stream_info(f"OBJ_{bucket}"), ApiError):
            raise NotFoundError("There is no such bucket.")
        try:
            before = await self._info(bucket, name)
        except NotFoundError:
            before = None
        nuid = secrets.token_hex(11)
        pieces = range(0, len(data), _CHUNK)
        for start in pieces:
            await self._connection.jetstream_publish(f"$O.{bucket}.C.{nuid}", data[start : start + _CHUNK])
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
        entry = _Entry(
            name=name, bucket=bucket, nuid=nuid, size=len(data), chunks=len(pieces), digest=f"SHA-256={digest}"
        )
        await self._tell(entry)
        if before is not None:
            await self._purge(bucket, before)

    async def delete(self, bucket: str, name: str) -> None:
        """Remove an object.

        Raises:
            InvalidRequestError: The bucket or the name cannot be one.
            NotFoundError: There is no such bucket, or nothing of that name in it.
            UpstreamUnavailableError: JetStream is away.
        """
        _check(bucket, name)
        info = await self._info(bucket, name)
        await self._tell(_Entry(name=name, bucket=bucket, nuid=info.nuid, deleted=True))
        await self._purge(bucket, info)

    async def _purge(self, bucket: str, info: _Info) -> None:
        await JetStreamApi(self._connection).purge(f"OBJ_{bucket}", f"$O.{bucket}.C.{info.nuid}")

    async def _tell(self, entry: _Entry) -> None:
        """Write what is known of an object, in place of what was known before."""
        entry.mtime = datetime.now(UTC).isoformat()
        subject = f"$O.{entry.bucket}.M.{_encoded(entry.name)}"
        await self._connection.jetstream_publish(subject, msgspec.json.encode(entry), headers={ROLLUP: "sub"})

    async def _info(self, bucket: str, name: str) -> _Info:
        info = None
        async with aclosing(self._reader(bucket, f"M.{_encoded(name)}").read()) as messages:
            async for message in messages:
                try:
                    info = msgspec.json.decode(message.data, type=_Info)
                except msgspec.MsgspecError as error:
                    raise UpstreamError("The object store has something unreadable.") from error
        if info is None or info.deleted or not _NUID.fullmatch(info.nuid):
            raise NotFoundError("There is no such object.")
        return info

    def _reader(self, bucket: str, part: str) -> StreamReader:
        return StreamReader(self._connection, f"OBJ_{bucket}", subjects=(f"$O.{bucket}.{part}",))


def _check(bucket: str, name: str) -> None:
    if not _BUCKET.fullmatch(bucket) or not 0 < len(name) <= _LONGEST_NAME:
        raise InvalidRequestError("An object is named by its bucket and its name: bucket/name.")


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _is(digest: str, data: bytes) -> bool:
    """Whether data has a digest; one that is not SHA-256, or none, cannot tell."""
    kind, _, told = digest.partition("=")
    if kind.upper() != "SHA-256":
        return True
    return told.rstrip("=") == base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
