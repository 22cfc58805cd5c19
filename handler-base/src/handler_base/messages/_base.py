"""What all messages share."""

from __future__ import annotations

import time
from typing import ClassVar

import msgspec

__all__ = ["PACKAGE", "Message", "unix_now"]

PACKAGE = "messages.v1"
"""The Protocol Buffers package of the contract."""


class Message(msgspec.Struct, kw_only=True, gc=False):
    """Base of the contract's messages: every field has a default, unknown keys are ignored.

    A message is data for one trip over the wire. Fields marked + in the contract stand last in each class.
    """

    schema_name: ClassVar[str] = PACKAGE

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__()
        cls.schema_name = f"{PACKAGE}.{cls.__name__}"


def unix_now() -> int:
    """Return the wall clock in whole Unix seconds, the form of `timestamp` fields."""
    return int(time.time())
