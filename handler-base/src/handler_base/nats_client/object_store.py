"""Reading from JetStream's object store: what is too large, or too lasting, for a message."""

from __future__ import annotations

import base64
import hashlib
import re
from contextlib import aclosing
from typing import Final

import msgspec

from handler_base.errors import InvalidRequestError, NotFoundError, PayloadTooLargeError, UpstreamError
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.stream_reader import StreamReader

__all__ = ["ObjectStore"]

_BUCKET: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NUID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_NAME: Final = 512


class _Info(msgspec.Struct):
    """What a bucket knows of an object, as far as it takes to read it."""

    nuid: str = ""
    size: int = 0
    digest: str = ""
    deleted: bool = False


class ObjectStore:
    """Reads objects.

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
        if not _BUCKET.fullmatch(bucket) or not 0 < len(name) <= _LONGEST_NAME:
            raise InvalidRequestError("An object is named by its bucket and its name: bucket/name.")
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

    async def _info(self, bucket: str, name: str) -> _Info:
        encoded = base64.urlsafe_b64encode(name.encode()).decode()
        info = None
        async with aclosing(self._reader(bucket, f"M.{encoded}").read()) as messages:
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


def _is(digest: str, data: bytes) -> bool:
    """Whether data has a digest; one that is not SHA-256, or none, cannot tell."""
    kind, _, told = digest.partition("=")
    if kind.upper() != "SHA-256":
        return True
    return told.rstrip("=") == base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
