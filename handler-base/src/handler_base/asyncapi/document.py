"""Puts the parts of the AsyncAPI document together."""

from __future__ import annotations

import re
from typing import Any, Final

from handler_base.asyncapi import channels, payloads
from handler_base.messages.streams import STREAMS, StreamSpec

__all__ = ["document", "to_yaml"]

_TITLE: Final = "Fleet of AI services on NATS"
_DESCRIPTION: Final = """\
Text chat, voice questions, live transcription, speech and pipelines over NATS subjects.

A body is MessagePack (a map with the names of the fields as keys) or Protocol Buffers (package `messages.v1`,
`messages.proto` in the package `handler_base`). `Content-Type` says which; without it the first byte does. The answer
comes in the encoding of the question.

Every question gets exactly one final answer. An answer that is an error has the headers `Nats-Service-Error` (text that
is safe to show) and `Nats-Service-Error-Code` (a number as in HTTP); its body is of the type the question asks for,
or an `ErrorResponse` where the question could not be read."""


def document() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document as plain values."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": _TITLE,
            "version": "1.0.0",
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/msgpack",
        "servers": {
            "nats": {
                "host": "localhost:4222",
                "protocol": "nats",
                "description": "NATS with JetStream, 2.11 or later; `NATS_URL` names another one.",
            }
        },
        "channels": channels.channels(),
        "operations": channels.operations(),
        "components": {
            "messages": payloads.messages(),
            "schemas": payloads.schemas(),
            "messageTraits": payloads.traits(),
        },
        "x-jetstream-streams": {stream.name: _stream(stream) for stream in STREAMS},
    }


def to_yaml(values: dict[str, Any]) -> str:
    """Return a document as YAML, in the order given."""
    import yaml  # noqa: PLC0415 - of the cli extra, which nothing else of this package needs

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as such, and nothing by reference."""

        def ignore_aliases(self, _data: object) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    dumped: str = yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return re.sub(r"[ \t]+$", "", dumped, flags=re.MULTILINE)


def _stream(stream: StreamSpec) -> dict[str, Any]:
    return {
        "description": stream.description,
        "subjects": list(stream.subjects),
        "maxAgeSeconds": int(stream.max_age.total_seconds()),
        "storage": stream.storage,
        "retention": "limits",
        "duplicateWindowSeconds": int(stream.duplicate_window.total_seconds()),
    }
