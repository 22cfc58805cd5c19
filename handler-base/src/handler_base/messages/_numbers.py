"""Integers of a width, so that what one encoding takes the other can carry."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

__all__ = ["Int32", "Int64"]

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
