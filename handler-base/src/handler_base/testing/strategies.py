"""Hypothesis strategies for the messages of the contract; needs hypothesis."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from handler_base.messages import Message

__all__ = ["messages"]

M = TypeVar("M", bound=Message)

_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_SCALARS: Final[dict[object, st.SearchStrategy[Any]]] = {
    str: _TEXT,
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    bytes: st.binary(max_size=50),
    type(None): st.none(),
}


@cache
def messages(schema: type[M], *, zeroes: bool = True) -> st.SearchStrategy[M]:
    """Return a strategy for messages of a kind.

    Args:
        schema: The kind.
        zeroes: Whether fields may be zero, empty or left to the subject. Proto3 does not send those, so that
            they come back as the contract's defaults; without them every encoding brings back the same message.
    """
    fields = {field.name: _values(field.type, zeroes=zeroes) for field in msgspec.structs.fields(schema)}
    return st.builds(schema, **fields)


def _values(kind: Any, *, zeroes: bool) -> st.SearchStrategy[Any]:  # noqa: ANN401 - any type a field may have
    if kind in _SCALARS:
        strategy = _SCALARS[kind]
        return strategy if zeroes or kind is bool else strategy.filter(bool)
    if get_origin(kind) is Annotated:
        plain, bounds = get_args(kind)
        if plain is not int:
            return _values(plain, zeroes=zeroes)
        numbers = st.integers(bounds.ge, bounds.le)
        return numbers if zeroes else numbers.filter(bool)
    if isinstance(kind, type) and issubclass(kind, Message):
        return messages(kind, zeroes=zeroes)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is list:
        inner = arguments[0]
        return st.lists(_values(inner, zeroes=zeroes or inner is str), max_size=3)
    if origin is dict:
        return st.dictionaries(_TEXT, _values(arguments[1], zeroes=True), max_size=3)
    wanted = [part for part in arguments if zeroes or part is not type(None)]
    return st.one_of(*(_values(part, zeroes=zeroes) for part in wanted))
