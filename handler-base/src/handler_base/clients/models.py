"""Which model a server offers, for settings that name none."""

from __future__ import annotations

from typing import Final

import msgspec

from handler_base.clients.endpoint import Endpoint, HttpRequest
from handler_base.deadline import Deadline

__all__ = ["ModelDirectory"]

_PATHS: Final = ("/v1/models", "/openai/v1/models", "/models", "/api/tags")
_NOT_HERE: Final = frozenset({400, 401, 403, 404, 405, 501})


class _Model(msgspec.Struct):
    id: str = ""
    name: str = ""


class _Models(msgspec.Struct):
    data: list[_Model] | None = None
    models: list[_Model] | None = None


_decode: Final = msgspec.json.Decoder(_Models).decode


class ModelDirectory:
    """Remembers the first model each server lists."""

    def __init__(self) -> None:
        self._known: dict[Endpoint, str] = {}

    def known(self, endpoint: Endpoint) -> str | None:
        """Return the model of a server that was asked before; empty where it lists none."""
        return self._known.get(endpoint)

    async def find(self, endpoint: Endpoint, deadline: Deadline) -> str:
        """Ask a server for its first model; empty where it lists none, which is not remembered.

        Raises:
            AttemptError: The server cannot be reached or is not well.
        """
        for path in _PATHS:
            request = HttpRequest(path, method="GET")
            answer = await endpoint.exchange(request, deadline=deadline, passing=_NOT_HERE)
            if answer.status >= 300:
                continue
            try:
                listed = _decode(answer.body)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            model = next((model.id or model.name for model in listed.data or listed.models or []), "")
            if model:
                self._known[endpoint] = model
                return model
        return ""

    def forget(self, endpoint: Endpoint) -> None:
        """Ask again next time: the server may have been given another model."""
        self._known.pop(endpoint, None)
