"""The acknowledgement of a message that was published to a stream."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import msgspec

from handler_base.errors import FleetError, InternalError, PayloadTooLargeError, UpstreamUnavailableError

__all__ = ["ApiError", "PublishAck", "WrongSequenceError", "read_publish_ack"]

log = logging.getLogger(__name__)

_MESSAGE_TOO_LARGE: Final = 10054
_WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})


class WrongSequenceError(InternalError):
    """What was published named the last message it knew of, and there is a later one: somebody else was first."""


class ApiError(msgspec.Struct, frozen=True):
    """An error of the JetStream API.

    Attributes:
        code: As in HTTP.
        err_code: JetStream's own number.
        description: In the server's words; for logs.
    """

    code: int = 0
    err_code: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class PublishAck:
    """Where a message was stored.

    Attributes:
        stream: Name of the stream.
        sequence: Its sequence there.
        duplicate: Whether the stream had it already, by its message id.
    """

    stream: str
    sequence: int
    duplicate: bool


class _Answer(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


_decoder: Final = msgspec.json.Decoder(_Answer)


def read_publish_ack(payload: bytes) -> PublishAck:
    """Read what a stream answered.

    Raises:
        WrongSequenceError: There is a later message than the one that was named as the last.
        PayloadTooLargeError: The stream takes no message of that size.
        UpstreamUnavailableError: The stream cannot store now.
        InternalError: It refused for another reason, or what answered is no stream.
    """
    try:
        answer = _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise InternalError("What was published was not acknowledged by a stream.") from error
    if answer.error is not None:
        if answer.error.err_code in _WRONG_LAST_SEQUENCE:
            raise WrongSequenceError
        log.warning("a stream refused a message", extra={"error": answer.error.description})
        raise _publish_error(answer.error)
    if not answer.stream:
        raise InternalError("What was published was not acknowledged by a stream.")
    return PublishAck(answer.stream, answer.seq, answer.duplicate)


def _publish_error(error: ApiError) -> FleetError:
    if error.err_code == _MESSAGE_TOO_LARGE:
        return PayloadTooLargeError()
    if error.code >= 500:
        return UpstreamUnavailableError("The message could not be stored right now.")
    return InternalError()
