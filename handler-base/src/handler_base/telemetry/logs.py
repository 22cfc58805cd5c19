"""Logs of a service: one JSON object a line with the ids of the trace, or text for people; never a secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

import msgspec
from pydantic import SecretStr

from handler_base.config import Settings
from handler_base.telemetry import metrics
from handler_base.telemetry.spans import CURRENT_SPAN

__all__ = ["JsonFormatter", "Redactor", "TextFormatter", "configure_logging"]

MAX_TEXT: Final = 8192
"""Most characters of a message or a text field: a hostile request must not fill the disk through the log."""

_STANDARD_FIELDS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

_THIRD_PARTIES: Final = {
    "aiohttp": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
    "grpc": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,
    # Every error reaches our own callbacks as well, which know what is worth a line.
    "nats": logging.CRITICAL,
    # It logs the whole traceback of errors that it raises as well.
    "pymilvus": logging.CRITICAL,
    "pypdf": logging.ERROR,
}

_USER_INFO: Final = re.compile(r"(?<=://)[^/?#\s@\"'\\]+(?=@)")
_BEARER: Final = re.compile(r"(?i)(?<=bearer )[\w\-.~+/]+=*")
_MASK: Final = "***"
_SHORTEST_SECRET: Final = 4
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Redactor:
    """Masks secrets in a finished line: the given ones, credentials in URLs, bearer tokens."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in _forms(secret)}
        # The longest first, or a secret that holds another one would leave its rest behind.
        ordered = sorted(forms, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    @classmethod
    def of(cls, settings: Settings) -> Redactor:
        """Return the one that knows every secret of the settings."""
        values = (getattr(settings, name) for name in type(settings).model_fields)
        secrets = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        pairs = settings.otel_exporter_otlp_headers.get_secret_value().split(",")
        return cls([*secrets, *(pair.partition("=")[2].strip() for pair in pairs)])

    def __call__(self, line: str) -> str:
        """Return the line without secrets."""
        if "://" in line:
            line = _USER_INFO.sub(_MASK, line)
        if self._secrets is not None:
            line = self._secrets.sub(_MASK, line)
        return _BEARER.sub(_MASK, line)


def _forms(secret: str) -> set[str]:
    """A secret as it is, percent-decoded, and as it stands in JSON."""
    plain = {secret, unquote(secret)}
    return plain | {msgspec.json.encode(form).decode()[1:-1] for form in plain}


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    Args:
        service: Put into each line.
        redact: Masks secrets.
    """

    def __init__(self, service: str, redact: Redactor) -> None:
        super().__init__()
        self._service = service
        self._redact = redact
        self._encode = msgspec.json.Encoder(enc_hook=str).encode

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields: dict[str, object] = {
            "ts": _timestamp(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:MAX_TEXT],
            "service": self._service,
            **_trace_fields(),
        }
        for key, value in _extra_fields(record).items():
            fields[f"{key}_" if key in fields else key] = value
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return self._redact(self._to_json(fields))

    def _to_json(self, fields: dict[str, object]) -> str:
        try:
            return self._encode(fields).decode()
        except (TypeError, ValueError, RecursionError):
            # Lone surrogates, odd keys, objects in circles: the line must come out all the same.
            return self._encode({key: ascii(value)[:MAX_TEXT] for key, value in fields.items()}).decode()


class TextFormatter(logging.Formatter):
    """A line for people: time, level, logger, message, fields. Control characters cannot forge a line."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, with the traceback below it."""
        message = _CONTROL.sub(_escape, record.getMessage()[:MAX_TEXT])
        fields = {**_extra_fields(record), **_trace_fields()}
        texts = [f" {key}={_CONTROL.sub(_escape, str(value))}" for key, value in fields.items()]
        line = f"{_timestamp(record)} {record.levelname:<7} {record.name}: {message}{''.join(texts)}"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return self._redact(line)


def configure_logging(settings: Settings, service: str) -> None:
    """Send the logs of the whole process to standard error, in the form and from the level of the settings.

    May be called again: the last call counts.

    Args:
        settings: `LOG_LEVEL` and `LOG_FORMAT`; its secrets are masked in every line.
        service: Name of the service.
    """
    redact = Redactor.of(settings)
    handler = _FleetHandler()
    handler.setFormatter(JsonFormatter(service, redact) if settings.log_format == "json" else TextFormatter(redact))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _FleetHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level)
    for name, level in _THIRD_PARTIES.items():
        logging.getLogger(name).setLevel(max(level, root.level))


class _FleetHandler(logging.Handler):
    """Writes to what is standard error at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
        except Exception:  # noqa: BLE001 - a line that cannot be written must not end the work it tells of
            metrics.SWALLOWED_ERRORS.of("logging").inc()
            self.handleError(record)


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace_fields() -> dict[str, str]:
    current = CURRENT_SPAN.get()
    context = current.context if current is not None else None
    return {} if context is None else {"trace_id": context.trace_id, "span_id": context.span_id}


def _extra_fields(record: logging.LogRecord) -> dict[str, object]:
    return {
        key: value[:MAX_TEXT] if isinstance(value, str) else value
        for key, value in record.__dict__.items()
        if key not in _STANDARD_FIELDS
    }


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
