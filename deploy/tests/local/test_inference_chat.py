"""The extractive chat model over HTTP: stream and whole, grounded, honest when it has no answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from deploy.local.inference.extractive import ABOUT, NOT_ANSWERED
from deploy.local.inference.server import ServerOptions
from deploy.tests.local.conftest import InferenceServer

Messages = Callable[[str], list[dict[str, str]]]
PATH = "/v1/chat/completions"


async def _ask(inference: InferenceServer, messages: list[dict[str, Any]], **options: object) -> dict[str, Any]:
    status, answer = await inference.post(PATH, {"model": "any", "messages": messages, **options})
    assert status == 200, answer
    assert isinstance(answer, dict)
    return answer


def _text(answer: dict[str, Any]) -> str:
    text: str = answer["choices"][0]["message"]["content"]
    return text


async def _events(inference: InferenceServer, body: object) -> list[str]:
    async with inference.session.post(inference.url + PATH, data=json.dumps(body).encode()) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        raw = (await response.read()).decode()
    assert raw.endswith("\n\n")
    events = raw.removesuffix("\n\n").split("\n\n")
    assert all(event.startswith("data: ") for event in events)
    return [event.removeprefix("data: ") for event in events]


async def test_it_answers_in_a_sentence_of_the_source_with_its_number(
    inference: InferenceServer, grounded: Messages
) -> None:
    answer = await _ask(inference, grounded("How many litres a minute does the East Well pump draw?"))

    assert _text(answer) == "It draws 46 litres a minute from a depth of 31 metres [1]."
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "local-extractive"
    assert answer["system_fingerprint"] == "extractive-stand-in"
    assert answer["choices"][0]["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] > 80
    assert 10 < usage["completion_tokens"] < 30


async def test_the_other_source_is_cited_for_the_other_question(inference: InferenceServer, grounded: Messages) -> None:
    assert "236 hours [2]" in _text(await _ask(inference, grounded("For how many hours did the sun shine in May?")))


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of Mongolia?",
        "How many horses does the bishop own?",
        "What is the depth of shaft QX-99?",
    ],
)
async def test_it_says_so_when_the_documents_do_not_answer(
    inference: InferenceServer, grounded: Messages, question: str
) -> None:
    assert _text(await _ask(inference, grounded(question))) == NOT_ANSWERED


async def test_a_search_that_found_nothing_is_told_from_no_search(inference: InferenceServer) -> None:
    empty = '<sources count="0"></sources>\nNo passage fits.\n\nQuestion: How deep is the well?'
    searched = await _ask(inference, [{"role": "user", "content": empty}])
    alone = await _ask(inference, [{"role": "user", "content": "How deep is the well?"}])

    assert _text(searched) == NOT_ANSWERED
    assert _text(alone).startswith(ABOUT)
    assert "cannot answer" in _text(alone)


@pytest.mark.parametrize("words", ["Hello!", "good morning, dear machine", "Who are you?"])
async def test_a_greeting_gets_an_honest_one(inference: InferenceServer, words: str) -> None:
    assert ABOUT in _text(await _ask(inference, [{"role": "user", "content": words}]))


async def test_a_short_follow_up_is_read_with_the_question_before(
    inference: InferenceServer, grounded: Messages
) -> None:
    system, user = grounded("And who is its keeper?")
    history = [
        {"role": "user", "content": "Tell me about the East Well pump."},
        {"role": "assistant", "content": "It draws 46 litres a minute [1]."},
    ]

    assert "Ansel Brandt [1]" in _text(await _ask(inference, [system, *history, user]))


async def test_plain_numbered_blocks_are_sources_too(inference: InferenceServer) -> None:
    system = (
        "Use these.\n\n[1] Ferry\nThe ferry leaves at 06:30.\n\n[2] Bakery\nThe oven is lit at 02:30.\n---\nBe brief."
    )
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "When is the oven lit?"}]

    assert _text(await _ask(inference, messages)) == "The oven is lit at 02:30 [2]."


async def test_content_may_come_in_parts(inference: InferenceServer) -> None:
    parts = [
        {"type": "text", "text": "[1] The ferry leaves at 06:30."},
        {"type": "text", "text": "Question: When does it leave?"},
    ]

    assert "06:30 [1]" in _text(await _ask(inference, [{"role": "user", "content": parts}]))


async def test_the_stream_says_the_same_as_the_whole_answer(inference: InferenceServer, grounded: Messages) -> None:
    messages = grounded("Who is the keeper of the East Well pump?")
    whole = await _ask(inference, messages)
    body = {"messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    *events, done = await _events(inference, body)
    chunks = [json.loads(event) for event in events]

    assert done == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    pieces = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]]
    assert "".join(pieces) == _text(whole)
    assert len(pieces) > 5, "word by word"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-3:-1]] == [None, "stop"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]


async def test_a_stream_without_the_option_has_no_usage(inference: InferenceServer, grounded: Messages) -> None:
    events = await _events(inference, {"messages": grounded("Who is the keeper?"), "stream": True})

    assert all("usage" not in json.loads(event) for event in events[:-1])


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_stops_at_the_bound(inference: InferenceServer, grounded: Messages, name: str) -> None:
    answer = await _ask(inference, grounded("How many litres a minute does the East Well pump draw?"), **{name: 4})

    assert _text(answer) == "It draws 46 litres"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize(
    "options",
    [
        {"stream": "yes"},
        {"max_tokens": 0},
        {"stream_options": []},
        {"messages": [{"role": "assistant", "content": "only me"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"messages": [{"role": "user", "content": 5}]},
    ],
)
async def test_a_wrong_option_is_refused(inference: InferenceServer, options: dict[str, Any]) -> None:
    body = {"messages": [{"role": "user", "content": "x"}]} | options

    assert (await inference.post(PATH, body))[0] == 400


class TestPace:
    """A stream with pauses between its words."""

    @pytest.fixture
    def server_options(self) -> ServerOptions:
        return ServerOptions(words_per_second=20, workers=1)

    async def test_words_come_one_after_the_other(self, inference: InferenceServer, grounded: Messages) -> None:
        body = {"messages": grounded("Who is the keeper of the East Well pump?"), "stream": True}
        loop = asyncio.get_running_loop()
        async with inference.session.post(inference.url + PATH, json=body) as response:
            times = [loop.time() async for line in response.content if line.strip()]

        assert times[-1] - times[0] > 0.2

    async def test_a_reader_that_goes_away_harms_nobody(self, inference: InferenceServer, grounded: Messages) -> None:
        body = {"messages": grounded("Who is the keeper of the East Well pump?"), "stream": True}
        async with aiohttp.ClientSession() as leaving, leaving.post(inference.url + PATH, json=body) as response:
            await response.content.readline()

        answer = await _ask(inference, grounded("Who is the keeper of the East Well pump?"))
        assert "Ansel Brandt" in _text(answer)
        assert (await inference.get("/health"))[1]["failures"] == 0
