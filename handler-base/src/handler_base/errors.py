"""The closed list of error types, and one exception for each.

Every question gets a result or one of these. The message of a `FleetError` is written for the person who
asked: it never carries another exception's words, an address or a secret. What really happened goes to
the log, chained with ``raise ... from``.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import ClassVar, Final

__all__ = [
    "ERROR_CODES",
    "DeadlineExceededError",
    "ErrorType",
    "FleetError",
    "InternalError",
    "InvalidRequestError",
    "NotFoundError",
    "OverloadedError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "QuotaExceededError",
    "RequestCancelledError",
    "UnsupportedFormatError",
    "UpstreamError",
    "UpstreamUnavailableError",
    "error_for_code",
    "to_fleet_error",
]


class ErrorType(StrEnum):
    """The error types of the wire contract."""

    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_FORMAT = "unsupported_format"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    NOT_FOUND = "not_found"
    PERMISSION_DENIED = "permission_denied"
    OVERLOADED = "overloaded"
    CANCELLED = "cancelled"
    INTERNAL = "internal"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    DEADLINE_EXCEEDED = "deadline_exceeded"


ERROR_CODES: Final[dict[ErrorType, int]] = {
    ErrorType.INVALID_REQUEST: 400,
    ErrorType.UNSUPPORTED_FORMAT: 415,
    ErrorType.PAYLOAD_TOO_LARGE: 413,
    ErrorType.NOT_FOUND: 404,
    ErrorType.PERMISSION_DENIED: 403,
    ErrorType.OVERLOADED: 429,
    ErrorType.CANCELLED: 499,
    ErrorType.INTERNAL: 500,
    ErrorType.UPSTREAM_ERROR: 502,
    ErrorType.UPSTREAM_UNAVAILABLE: 503,
    ErrorType.DEADLINE_EXCEEDED: 504,
}
"""The number each type carries on the wire, as in HTTP."""


class FleetError(Exception):
    """Base of the typed errors.

    Attributes:
        type: Which of the closed list this is.
        message: Text that is safe to show to the person who asked.
        retry_after: How long to wait before trying again, where that is known.
    """

    type: ClassVar[ErrorType] = ErrorType.INTERNAL
    default_message: ClassVar[str] = "Something went wrong in the service."

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None) -> None:
        self.message = message or self.default_message
        self.retry_after = retry_after
        super().__init__(self.message)

    @property
    def code(self) -> int:
        """The number of this type on the wire, as in HTTP."""
        return ERROR_CODES[self.type]


class InvalidRequestError(FleetError):
    """The message does not follow the contract."""

    type = ErrorType.INVALID_REQUEST
    default_message = "The request is not valid."


class UnsupportedFormatError(FleetError):
    """The encoding or audio format is not one the service reads."""

    type = ErrorType.UNSUPPORTED_FORMAT
    default_message = "The format is not supported."


class PayloadTooLargeError(FleetError):
    """The message, or the answer to it, is larger than may be sent."""

    type = ErrorType.PAYLOAD_TOO_LARGE
    default_message = "The message is too large."


class NotFoundError(FleetError):
    """What the request names does not exist."""

    type = ErrorType.NOT_FOUND
    default_message = "Not found."


class PermissionDeniedError(FleetError):
    """The request asks for something the caller may not do."""

    type = ErrorType.PERMISSION_DENIED
    default_message = "Permission denied."


class OverloadedError(FleetError):
    """All slots and the queue are taken; see `retry_after`."""

    type = ErrorType.OVERLOADED
    default_message = "The service is busy. Try again shortly."


class QuotaExceededError(OverloadedError):
    """The user has used up what is granted; to try again before `retry_after` is pointless."""

    default_message = "Your quota is used up for now."


class RequestCancelledError(FleetError):
    """The caller asked to stop."""

    type = ErrorType.CANCELLED
    default_message = "The request was cancelled."


class InternalError(FleetError):
    """A fault of the service itself."""

    type = ErrorType.INTERNAL


class UpstreamError(FleetError):
    """An inference server answered with an error or with nonsense."""

    type = ErrorType.UPSTREAM_ERROR
    default_message = "A model server answered with an error."


class UpstreamUnavailableError(FleetError):
    """An inference server, or every one of its endpoints, cannot be reached."""

    type = ErrorType.UPSTREAM_UNAVAILABLE
    default_message = "A model server cannot be reached right now."


class DeadlineExceededError(FleetError):
    """The time budget of the request ran out."""

    type = ErrorType.DEADLINE_EXCEEDED
    default_message = "The request took longer than its time budget."


_BY_CODE: Final[dict[int, type[FleetError]]] = {
    ERROR_CODES[cls.type]: cls
    for cls in (
        InvalidRequestError,
        UnsupportedFormatError,
        PayloadTooLargeError,
        NotFoundError,
        PermissionDeniedError,
        OverloadedError,
        RequestCancelledError,
        InternalError,
        UpstreamError,
        UpstreamUnavailableError,
        DeadlineExceededError,
    )
}


def error_for_code(code: int, message: str) -> FleetError:
    """Return the exception for a code read from an error answer; an unknown code is `InternalError`."""
    return _BY_CODE.get(code, InternalError)(message)


def to_fleet_error(error: BaseException) -> FleetError:
    """Return what may be shown of any exception: itself when typed, otherwise a type without its words."""
    if isinstance(error, FleetError):
        return error
    if isinstance(error, TimeoutError):
        return DeadlineExceededError()
    return InternalError()
