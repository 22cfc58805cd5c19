from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base import errors
from handler_base.errors import ERROR_CODES, ErrorType, FleetError, InternalError, error_for_code, to_fleet_error

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, FleetError) and value is not FleetError
]
every_error = pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)


def test_the_types_are_those_of_the_contract() -> None:
    assert {error_type.value: code for error_type, code in ERROR_CODES.items()} == {
        "invalid_request": 400,
        "unsupported_format": 415,
        "payload_too_large": 413,
        "not_found": 404,
        "permission_denied": 403,
        "overloaded": 429,
        "cancelled": 499,
        "internal": 500,
        "upstream_error": 502,
        "upstream_unavailable": 503,
        "deadline_exceeded": 504,
    }


def test_every_type_has_one_exception() -> None:
    assert sorted(error.type for error in CLASSES if error.__base__ is FleetError) == sorted(ErrorType)


@every_error
def test_an_error_has_a_message_of_its_own(error: type[FleetError]) -> None:
    assert error().message.endswith(".")
    assert str(error("Because.")) == error("Because.").message == "Because."
    assert error().code == ERROR_CODES[error.type]
    assert error().retry_after is None
    assert error(retry_after=timedelta(seconds=2)).retry_after == timedelta(seconds=2)


@every_error
def test_a_code_leads_back_to_its_error(error: type[FleetError]) -> None:
    again = error_for_code(error().code, "Because.")
    assert isinstance(error(), type(again))
    assert again.type is error.type
    assert again.message == "Because."


@given(st.integers().filter(lambda code: code not in ERROR_CODES.values()))
def test_an_unknown_code_is_an_internal_error(code: int) -> None:
    assert type(error_for_code(code, "Because.")) is InternalError


@pytest.mark.parametrize("secret", [ValueError("token=abc"), OSError("10.0.0.7 refused"), KeyError("password")])
def test_the_words_of_other_exceptions_are_not_shown(secret: Exception) -> None:
    shown = to_fleet_error(secret)
    assert type(shown) is InternalError
    assert shown.message == InternalError.default_message


def test_a_timeout_is_a_deadline_that_passed() -> None:
    assert to_fleet_error(TimeoutError("10.0.0.7")).type is ErrorType.DEADLINE_EXCEEDED


@every_error
def test_a_typed_error_is_itself(error: type[FleetError]) -> None:
    raised = error("Because.")
    assert to_fleet_error(raised) is raised


def test_every_public_name_exists() -> None:
    assert set(errors.__all__) >= {error.__name__ for error in CLASSES}
    assert all(hasattr(errors, name) for name in errors.__all__)
