"""Messages, their schemas and their headers."""

from __future__ import annotations

import inspect
from typing import Any, Final

import msgspec

from handler_base.errors import ERROR_CODES, ErrorType
from handler_base.messages import MESSAGES, Encoding, ErrorResponse, Message
from handler_base.nats_client import headers as names

__all__ = ["NO_BODY", "messages", "reference", "schemas", "traits"]

NO_BODY: Final = "NoBody"
"""The question that is asked by its subject alone."""


def reference(name: str) -> dict[str, str]:
    """Return a reference to a message of the document."""
    return {"$ref": f"#/components/messages/{name}"}


def messages() -> dict[str, Any]:
    """Return every message of the contract, in both encodings."""
    found: dict[str, Any] = {schema.__name__: _message(schema) for schema in MESSAGES}
    found[NO_BODY] = {
        "name": NO_BODY,
        "title": "No body",
        "summary": "The subject says it all: what is in the body is not read.",
        "traits": [{"$ref": "#/components/messageTraits/Headers"}],
    }
    return found


def _message(schema: type[Message]) -> dict[str, Any]:
    return {
        "name": schema.schema_name,
        "title": schema.__name__,
        "summary": _summary(schema),
        "contentType": Encoding.MSGPACK.value,
        "traits": [{"$ref": "#/components/messageTraits/Headers"}],
        "payload": {"$ref": f"#/components/schemas/{schema.__name__}"},
        "x-content-types": [encoding.value for encoding in Encoding],
        "x-protobuf": schema.schema_name,
    }


def _summary(schema: type[Message]) -> str:
    return inspect.cleandoc(schema.__doc__ or "").partition("\n")[0]


def schemas() -> dict[str, Any]:
    """Return the JSON schema of every message, bytes as binary text."""
    _, components = msgspec.json.schema_components(MESSAGES, ref_template="#/components/schemas/{name}")
    found = {schema.__name__: _cleaned(components[schema.__name__]) for schema in MESSAGES}
    found[ErrorResponse.__name__]["properties"]["type"]["enum"] = [error.value for error in ErrorType]
    return found


def _cleaned(value: Any) -> Any:  # noqa: ANN401 - any part of a JSON schema
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("contentEncoding") == "base64":
        return {"type": "string", "format": "binary"}
    cleaned = {key: _cleaned(item) for key, item in value.items()}
    if cleaned.get("required") == []:
        del cleaned["required"]
    if isinstance(cleaned.get("description"), str):
        cleaned["description"] = inspect.cleandoc(cleaned["description"])
    return cleaned


def traits() -> dict[str, Any]:
    """Return the headers that every message may have."""
    codes = ", ".join(f"{code} {error.value}" for error, code in sorted(ERROR_CODES.items(), key=lambda item: item[1]))
    properties: dict[str, Any] = {
        names.CONTENT_TYPE: _header("Encoding of the body.", enum=[encoding.value for encoding in Encoding]),
        names.MESSAGE_TYPE: _header(
            "Schema of the body, such as `messages.v1.STTInterrupt`; tells apart what shares a subject.",
            enum=[schema.schema_name for schema in MESSAGES],
        ),
        names.TRACEPARENT: _header("W3C trace context."),
        names.TRACESTATE: _header("W3C trace context."),
        names.MESSAGE_ID: _header("JetStream de-duplication; derived from `request_id`."),
        names.DEADLINE_MS: _header("What is left of the caller's budget, in milliseconds."),
        names.ERROR: _header("On an error answer: text that is safe to show."),
        names.ERROR_CODE: _header(f"On an error answer: {codes}.", enum=[str(code) for code in ERROR_CODES.values()]),
        names.RETRY_AFTER: _header("On an error answer: seconds to wait before another try, where that is known."),
    }
    return {"Headers": {"headers": {"type": "object", "properties": properties}}}


def _header(description: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any keyword of a JSON schema
    return {"type": "string", "description": description, **more}
