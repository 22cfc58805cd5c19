"""Messages that were written ahead stand in a request like all others."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.clients import ChatMessage, decode_messages, encode_messages
from handler_base.clients.chat_dialects import CHAT_DIALECTS, ChatDialect, ChatQuestion

MESSAGES = st.builds(ChatMessage, st.sampled_from(("system", "user", "assistant")), st.text(max_size=50))


@given(st.lists(MESSAGES, max_size=4), MESSAGES)
def test_what_is_written_ahead_is_read_back(messages: list[ChatMessage], last: ChatMessage) -> None:
    parts = [msgspec.Raw(encode_messages(*messages))] if messages else []
    assert decode_messages(*parts, last) == [*messages, last]


@pytest.mark.parametrize("dialect", CHAT_DIALECTS, ids=lambda dialect: f"{dialect.name}{dialect.path}")
def test_no_server_sees_a_difference(dialect: ChatDialect) -> None:
    system, *turn = (
        ChatMessage("system", "Rules."),
        ChatMessage("user", 'What "is" ü?\n'),
        ChatMessage("assistant", "A."),
    )
    ahead = ChatQuestion([system, msgspec.Raw(encode_messages(*turn))], "m", 100, 0.2, stream=False)
    apart = ChatQuestion([system, *turn], "m", 100, 0.2, stream=False)
    assert dialect.request(ahead) == dialect.request(apart)
