"""What a message must be to be archived."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from handler_base.errors import InvalidRequestError
from handler_base.sessions.conversation import ChatMessage

MakeMessage = Callable[..., ChatMessage]


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": "x" * 513},
        {"id": "a\x00b"},
        {"id": 7},
        {"session_id": ""},
        {"session_id": "half \ud83d"},
        {"user_id": "x" * 129},
        {"user_id": None},
        {"request_id": "two\nlines"},
        {"role": "system"},
        {"kind": "letter"},
        {"content": None},
        {"model": b"small"},
        {"prompt_tokens": "10"},
        {"completion_tokens": -1},
        {"prompt_tokens": 2**63},
        {"created_at": datetime(2026, 3, 1)},  # noqa: DTZ001 - the fault to be found
    ],
)
def test_a_message_that_is_none_cannot_be_made(message: MakeMessage, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        message(0, **{"id": "m0"} | wrong)
