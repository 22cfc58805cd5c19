"""Reads request bodies: what is wrong with one is said in a JSON error, with the status it deserves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from handler_base.errors import InvalidRequestError, PayloadTooLargeError

__all__ = ["boolean", "integer", "read_object", "string", "strings"]


async def read_object(request: web.Request) -> dict[str, Any]:
    """Return the body as a JSON object.

    Raises:
        InvalidRequestError: It is not one.
        PayloadTooLargeError: It is larger than the server reads.
    """
    try:
        body = json.loads(await request.read())
    except web.HTTPRequestEntityTooLarge as error:
        raise PayloadTooLargeError("The request body is too large.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError("The request body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise InvalidRequestError("The request body must be a JSON object.")
    return body


def string(body: Mapping[str, Any], key: str) -> str:
    """Return a string that must be there and not empty."""
    value = body.get(key)
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequestError(f"`{key}` must be a string that is not empty.")
    return value


def strings(body: Mapping[str, Any], key: str, *, limit: int) -> list[str]:
    """Return one or more strings, given as one string or as a list.

    Raises:
        InvalidRequestError: Something else, nothing at all, or an empty string.
        PayloadTooLargeError: There are more than `limit`.
    """
    value = body.get(key)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item.strip() for item in value):
        raise InvalidRequestError(f"`{key}` must be a string or a list of strings, none of them empty.")
    if len(value) > limit:
        raise PayloadTooLargeError(f"`{key}` has more than {limit} entries.")
    return value


def boolean(body: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """Return a boolean, or `default` where there is none."""
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidRequestError(f"`{key}` must be true or false.")
    return value


def integer(body: Mapping[str, Any], key: str, *, default: int, least: int = 1) -> int:
    """Return an integer of at least `least`, or `default` where there is none."""
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidRequestError(f"`{key}` must be an integer of at least {least}.")
    return value
