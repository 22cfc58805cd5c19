from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Literal

import pytest

from handler_base.clients import ChatMessage, Completion, Delta, HttpEndpoints, HttpPool, LLMClient, StreamTimeouts
from handler_base.clients.llm import CHAT_PATHS
from handler_base.deadline import Deadline
from handler_base.errors import DeadlineExceededError, FleetError, UpstreamError, UpstreamUnavailableError
from handler_base.telemetry import metrics, names
from handler_base.telemetry.spans import RecordingSpan
from handler_base.telemetry.tracing import Tracer, install
from handler_base.testing.inference import (
    Failure,
    FailureKind,
    FakeLLM,
    LLMScript,
    busy,
    error_in_stream,
    hang,
    reset,
    status,
    truncated,
)
from handler_base.testing.waiting import wait_until

ChatDialectName = Literal["openai", "ollama"]
PROMPT = [ChatMessage("system", "Answer in one line."), ChatMessage("user", "Where is the answer?")]


def client(
    pool: HttpPool,
    *servers: FakeLLM | str,
    model: str = "",
    dialect: str = "auto",
    timeouts: StreamTimeouts | None = None,
) -> LLMClient:
    urls = [server if isinstance(server, str) else server.url for server in servers]
    http = HttpEndpoints("llm", urls, pool=pool, known_paths=CHAT_PATHS)
    return LLMClient(http, model=model, dialect=dialect, timeouts=timeouts)


async def add_all(completion: Completion, stream: AsyncIterator[Delta]) -> None:
    async for delta in stream:
        completion.add(delta)


async def collect(stream: AsyncIterator[Delta]) -> tuple[list[Delta], Completion]:
    deltas, completion = [], Completion()
    async for delta in stream:
        deltas.append(delta)
        completion.add(delta)
    return deltas, completion


@pytest.mark.parametrize("dialect", ["openai", "ollama"])
@pytest.mark.parametrize("setting", ["auto", "named"])
async def test_a_whole_answer(pool: HttpPool, soon: Deadline, dialect: ChatDialectName, setting: str) -> None:
    async with FakeLLM(dialect=dialect) as server:
        llm = client(pool, server, dialect=dialect if setting == "named" else "auto", model="m")
        completion = await llm.complete(PROMPT, max_tokens=7, temperature=0.5, deadline=soon)
        assert completion.text == server.text
        assert (completion.finish_reason, completion.model) == ("stop", "m")
        assert completion.usage is not None
        assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (8, 7)
        body = server.requests[-1].json
        assert body["messages"][0] == {"role": "system", "content": "Answer in one line."}
        assert body["stream"] is False
        options = body["options"] if dialect == "ollama" else body
        assert options["num_predict" if dialect == "ollama" else "max_tokens"] == 7
        assert options["temperature"] == 0.5


@pytest.mark.parametrize("dialect", ["openai", "ollama"])
@pytest.mark.parametrize("gather", [0.0, 0.025])
async def test_a_streamed_answer(pool: HttpPool, soon: Deadline, dialect: ChatDialectName, gather: float) -> None:
    async with FakeLLM(LLMScript(reasoning=["Hm,", " well"]), dialect=dialect) as server:
        llm = client(pool, server, model="m")
        deltas, completion = await collect(llm.stream(PROMPT, deadline=soon, gather=timedelta(seconds=gather)))
        assert completion.text == server.text
        assert (completion.finish_reason, completion.model) == ("stop", "m")
        assert completion.usage is not None
        assert completion.usage.total_tokens == 15
        assert deltas[-1].finish_reason == "stop"
        assert server.disconnects == 0


@pytest.mark.parametrize(
    "script",
    [
        LLMScript(keep_alives=True),
        LLMScript(line_end="\r\n"),
        LLMScript(usage=False),
        LLMScript(finish_reason="length"),
        LLMScript(streams=False),
        LLMScript(keep_alives=True, line_end="\r\n", burst=100),
    ],
)
async def test_what_servers_do_differently_is_no_difference(pool: HttpPool, soon: Deadline, script: LLMScript) -> None:
    async with FakeLLM(script) as server:
        _, completion = await collect(client(pool, server, model="m").stream(PROMPT, deadline=soon))
        assert completion.text == server.text
        assert completion.finish_reason == script.finish_reason
        assert (completion.usage is not None) == script.usage


async def test_an_end_marker_may_be_missing_when_the_reason_to_stop_was_there(pool: HttpPool, soon: Deadline) -> None:
    event = b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    async with FakeLLM(LLMScript(raw=[event])) as server:
        _, completion = await collect(client(pool, server, model="m").stream(PROMPT, deadline=soon))
    assert (completion.text, completion.finish_reason) == ("Hi", "stop")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/chat/completions", "/chat/completions"])
@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "PATH"])
async def test_any_way_to_write_the_url_finds_the_server(
    pool: HttpPool, soon: Deadline, path: str, suffix: str
) -> None:
    async with FakeLLM(prefix="/llm", path=path) as server:
        url = server.url + (path if suffix == "PATH" else suffix)
        llm = client(pool, url, model="m")
        assert (await llm.complete(PROMPT, deadline=soon)).text == server.text
        asked = len(server.requests)
        await llm.complete(PROMPT, deadline=soon)
        assert len(server.requests) == asked + 1


@pytest.mark.parametrize("field", ["max_tokens", "temperature"])
async def test_a_model_that_refuses_the_usual_fields_is_asked_without_them(
    pool: HttpPool, soon: Deadline, field: str
) -> None:
    async with FakeLLM(LLMScript(refused_field=field)) as server:
        llm = client(pool, server, model="m")
        for _ in range(2):
            assert (await llm.complete(PROMPT, max_tokens=9, deadline=soon)).text == server.text
        assert server.requests[-1].json["max_completion_tokens"] == 9
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{"message":null}]}', b'{"message":null}', b"\xff"]
)
@pytest.mark.parametrize("dialect", ["openai", "ollama"])
async def test_an_answer_without_a_message_is_an_upstream_error(
    pool: HttpPool, soon: Deadline, dialect: ChatDialectName, body: bytes
) -> None:
    async with FakeLLM(LLMScript(whole=body), dialect=dialect) as server:
        with pytest.raises(UpstreamError):
            await client(pool, server, model="m", dialect=dialect).complete(PROMPT, deadline=soon)


@pytest.mark.parametrize("line", [b"{broken\n", b"\xff\n", b"7\n"])
async def test_nonsense_in_a_stream_of_lines(pool: HttpPool, soon: Deadline, line: bytes) -> None:
    async with FakeLLM(LLMScript(raw=[b"\n", line]), dialect="ollama") as server:
        with pytest.raises(UpstreamError):
            await collect(client(pool, server, model="m", dialect="ollama").stream(PROMPT, deadline=soon))


async def test_a_stream_answered_with_nonsense_in_one_piece(pool: HttpPool, soon: Deadline) -> None:
    async with FakeLLM(LLMScript(whole=b"[]", streams=False)) as server:
        with pytest.raises(UpstreamError):
            await collect(client(pool, server, model="m", dialect="openai").stream(PROMPT, deadline=soon))


async def test_a_server_that_was_starting_is_probed_again(pool: HttpPool, soon: Deadline) -> None:
    async with FakeLLM(LLMScript(failures=[status(500)]), dialect="ollama") as server:
        llm = client(pool, server, model="m")
        with pytest.raises(UpstreamError):
            await llm.complete(PROMPT, deadline=soon)
        assert (await llm.complete(PROMPT, deadline=soon)).text == server.text


async def test_another_server_in_the_place_of_the_first_is_probed_again(pool: HttpPool, soon: Deadline) -> None:
    async with FakeLLM() as first:
        llm = client(pool, first, model="m")
        await llm.complete(PROMPT, deadline=soon)
        port = int(first.url.rpartition(":")[2])
    second = FakeLLM(dialect="ollama")
    await second.start(port)
    try:
        assert (await llm.complete(PROMPT, deadline=soon)).text == second.text
    finally:
        await second.stop()


async def test_what_speaks_no_known_interface_is_an_upstream_error(pool: HttpPool, soon: Deadline) -> None:
    async with FakeLLM(path="/elsewhere") as server:
        with pytest.raises(UpstreamError):
            await client(pool, server, model="m").complete(PROMPT, deadline=soon)


def test_an_unknown_dialect_is_refused(pool: HttpPool) -> None:
    with pytest.raises(ValueError, match="openai"):
        client(pool, "http://localhost", dialect="telepathy")


class TestModel:
    @pytest.mark.parametrize("dialect", ["openai", "ollama"])
    async def test_the_first_model_of_the_server_is_used(
        self, pool: HttpPool, soon: Deadline, dialect: ChatDialectName
    ) -> None:
        async with FakeLLM(LLMScript(models=["a", "b"]), dialect=dialect) as server:
            llm = client(pool, server)
            assert (await llm.complete(PROMPT, deadline=soon)).model == "a"
            assert (await llm.complete(PROMPT, model="b", deadline=soon)).model == "b"
            asked = len(server.requests)
            assert (await llm.complete(PROMPT, deadline=soon)).model == "a"
            assert len(server.requests) == asked + 1

    async def test_a_model_that_is_gone_is_looked_up_again(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeLLM(LLMScript(models=["old"], strict_model=True)) as server:
            llm = client(pool, server)
            assert (await llm.complete(PROMPT, deadline=soon)).model == "old"
            server.script.models[:] = ["new"]
            assert (await llm.complete(PROMPT, deadline=soon)).model == "new"

    async def test_a_list_of_models_that_makes_no_sense_is_passed_over(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeLLM(LLMScript(models=[7])) as server:  # type: ignore[list-item]  # nonsense is the point
            await client(pool, server).complete(PROMPT, deadline=soon)
            assert "model" not in server.requests[-1].json

    async def test_a_server_that_lists_no_model_is_asked_without_one(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeLLM(LLMScript(models=[])) as server:
            await client(pool, server).complete(PROMPT, deadline=soon)
            assert "model" not in server.requests[-1].json

    async def test_a_model_that_does_not_exist_is_an_upstream_error(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeLLM(LLMScript(strict_model=True)) as server:
            with pytest.raises(UpstreamError):
                await client(pool, server, model="other").complete(PROMPT, deadline=soon)


class TestGathering:
    async def test_the_first_piece_is_not_held_back(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeLLM(LLMScript(tokens=["One"], always=hang(after=1))) as server:
            stream = client(pool, server, model="m").stream(PROMPT, deadline=soon, gather=timedelta(seconds=5))
            async with aclosing(stream):
                before = asyncio.get_running_loop().time()
                assert (await anext(stream)).text == "One"
                assert asyncio.get_running_loop().time() - before < 2

    async def test_a_burst_comes_as_one(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeLLM(LLMScript(tokens=["x"] * 500, burst=500)) as server:
            deltas, completion = await collect(
                client(pool, server, model="m").stream(PROMPT, deadline=soon, gather=timedelta(seconds=0.025))
            )
            assert completion.text == "x" * 500
            assert len(deltas) <= 3

    async def test_pieces_close_together_come_together(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeLLM(LLMScript(tokens=["x"] * 100, tokens_per_second=500)) as server:
            deltas, completion = await collect(
                client(pool, server, model="m").stream(PROMPT, deadline=soon, gather=timedelta(seconds=0.05))
            )
            assert completion.text == "x" * 100
            assert len(deltas) <= 12

    async def test_connections_are_kept(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeLLM() as server:
            llm = client(pool, server, model="m")
            for gather in (0.0, 0.01, 0.0):
                await collect(llm.stream(PROMPT, deadline=soon, gather=timedelta(seconds=gather)))
            await llm.complete(PROMPT, deadline=soon)
            assert server.connections == 1


class TestStreamFailures:
    @pytest.mark.parametrize("gather", [0.0, 0.01])
    @pytest.mark.parametrize(
        "failure",
        [
            reset(after=2),
            truncated(after=2),
            error_in_stream(after=2),
            hang(after=2),
            Failure(kind=FailureKind.NO_END_MARKER),
        ],
    )
    @pytest.mark.parametrize("dialect", ["openai", "ollama"])
    async def test_what_came_before_is_given_and_then_the_error(
        self, pool: HttpPool, dialect: ChatDialectName, failure: Failure, gather: float
    ) -> None:
        async with FakeLLM(LLMScript(always=failure), dialect=dialect) as server:
            timeouts = StreamTimeouts(between=timedelta(seconds=0.1))
            llm = client(pool, server, model="m", dialect=dialect, timeouts=timeouts)
            stream = llm.stream(
                PROMPT, deadline=Deadline.after(timedelta(seconds=10)), gather=timedelta(seconds=gather)
            )
            text = Completion()
            with pytest.raises(UpstreamError) as caught:
                await add_all(text, stream)
            assert server.text.startswith(text.text)
            assert text.text
            assert "scripted" not in caught.value.message
            assert len(server.requests) == 1
            await wait_until(lambda: server.open_streams == 0)

    @pytest.mark.parametrize(
        ("failure", "error"),
        [
            (status(500), UpstreamError),
            (status(400), UpstreamError),
            (status(503), UpstreamUnavailableError),
            (busy("60"), UpstreamUnavailableError),
            (reset(), UpstreamUnavailableError),
            (error_in_stream(), UpstreamError),
            (truncated(), UpstreamError),
        ],
    )
    async def test_a_failure_before_the_first_piece(
        self, pool: HttpPool, soon: Deadline, failure: Failure, error: type[FleetError]
    ) -> None:
        async with FakeLLM(LLMScript(always=failure)) as server:
            with pytest.raises(error) as caught:
                await collect(client(pool, server, model="m").stream(PROMPT, deadline=soon))
            assert type(caught.value) is error

    async def test_an_answer_is_not_asked_for_twice_when_the_server_may_have_begun(
        self, pool: HttpPool, soon: Deadline
    ) -> None:
        async with FakeLLM(LLMScript(always=reset())) as server:
            with pytest.raises(UpstreamUnavailableError):
                await client(pool, server, model="m").complete(PROMPT, deadline=soon)
            assert len(server.requests) == 1

    async def test_the_next_server_answers_when_the_first_does_not_begin(self, pool: HttpPool, soon: Deadline) -> None:
        timeouts = StreamTimeouts(first=timedelta(seconds=0.1))
        async with FakeLLM(LLMScript(always=hang())) as silent, FakeLLM() as server:
            llm = client(pool, silent, server, model="m", timeouts=timeouts)
            _, completion = await collect(llm.stream(PROMPT, deadline=soon))
            assert completion.text == server.text
            await wait_until(lambda: silent.disconnects == 1)

    @pytest.mark.parametrize("gather", [0.0, 0.01])
    async def test_the_deadline_ends_a_stream(self, pool: HttpPool, gather: float) -> None:
        async with FakeLLM(LLMScript(tokens=["x"] * 1000, tokens_per_second=100)) as server:
            deadline = Deadline.after(timedelta(seconds=0.15))
            stream = client(pool, server, model="m").stream(PROMPT, deadline=deadline, gather=timedelta(seconds=gather))
            with pytest.raises(DeadlineExceededError):
                await collect(stream)
            await wait_until(lambda: server.disconnects == 1)

    async def test_a_stream_that_does_not_end_is_cut(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeLLM(LLMScript(always=Failure(kind=FailureKind.ENDLESS, after=1))) as server:
            http = HttpEndpoints("llm", server.url, pool=pool, most_bytes=1_000_000)
            with pytest.raises(UpstreamError):
                await collect(LLMClient(http, model="m").stream(PROMPT, deadline=soon))
            await wait_until(lambda: server.disconnects == 1)

    @pytest.mark.parametrize(
        "body", [b"data: {broken\n\n", b'data: {"choices":7}\n\n', b"data: \xff\xfe\n\n", b"data: [[[[[[\n\n"]
    )
    async def test_nonsense_in_a_stream(self, pool: HttpPool, soon: Deadline, body: bytes) -> None:
        async with FakeLLM(LLMScript(raw=[body])) as server:
            with pytest.raises(UpstreamError):
                await collect(client(pool, server, model="m").stream(PROMPT, deadline=soon))

    async def test_half_an_answer_in_one_piece(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeLLM(LLMScript(always=Failure(kind=FailureKind.MALFORMED))) as server:
            with pytest.raises(UpstreamError):
                await client(pool, server, model="m").complete(PROMPT, deadline=soon)


class TestLeaving:
    async def test_closing_the_stream_closes_the_connection(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeLLM(LLMScript(tokens=["x"] * 1000, tokens_per_second=50)) as server:
            async with aclosing(client(pool, server, model="m").stream(PROMPT, deadline=soon)) as stream:
                await anext(stream)
                assert server.open_streams == 1
            await wait_until(lambda: server.disconnects == 1, timeout=1)

    @pytest.mark.parametrize("gather", [0.0, 5.0])
    async def test_cancelling_the_reader_closes_the_connection(
        self, pool: HttpPool, soon: Deadline, gather: float
    ) -> None:
        async with FakeLLM(LLMScript(tokens=["x"] * 1000, tokens_per_second=50)) as server:
            stream = client(pool, server, model="m").stream(PROMPT, deadline=soon, gather=timedelta(seconds=gather))
            await anext(stream)
            task = asyncio.create_task(collect(stream))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await wait_until(lambda: server.disconnects == 1, timeout=1)

    async def test_five_hundred_streams_at_once(self, pool: HttpPool) -> None:
        async with FakeLLM(LLMScript(tokens=["x"] * 10, tokens_per_second=20)) as server:
            llm = client(pool, server, model="m")
            deadline = Deadline.after(timedelta(seconds=25))
            results = await asyncio.gather(
                *(collect(llm.stream(PROMPT, deadline=deadline, gather=timedelta(seconds=0.025))) for _ in range(500))
            )
            assert {completion.text for _, completion in results} == {"x" * 10}


class TestTelemetry:
    async def test_a_call_has_a_span_that_the_server_sees(self, pool: HttpPool, soon: Deadline) -> None:
        spans: list[RecordingSpan] = []
        install(Tracer(spans.append))
        try:
            async with FakeLLM() as server:
                await collect(client(pool, server, model="m").stream(PROMPT, deadline=soon))
        finally:
            install(None)
        (span,) = spans
        assert span.name == "chat m"
        assert span.span_id in server.requests[-1].headers["traceparent"]
        assert span.attributes[names.GEN_AI_REQUEST_MODEL] == "m"
        assert span.attributes[names.GEN_AI_USAGE_OUTPUT_TOKENS] == 7
        assert span.attributes[names.GEN_AI_RESPONSE_FINISH_REASONS] == ("stop",)

    async def test_a_call_is_counted_with_its_error(self, pool: HttpPool, soon: Deadline) -> None:
        async with FakeLLM(LLMScript(failures=[status(500)])) as server:
            llm = client(pool, server, model="counted")
            with pytest.raises(UpstreamError):
                await llm.complete(PROMPT, deadline=soon)
            await llm.complete(PROMPT, deadline=soon)
        labels = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="counted"'
        lines = metrics.render().decode().splitlines()
        duration = "gen_ai_client_operation_duration_seconds_count"
        assert f'{duration}{{error_type="upstream_error",{labels}}} 1.0' in lines
        assert f'{duration}{{error_type="",{labels}}} 1.0' in lines
        assert any(line.startswith("gen_ai_client_token_usage_sum") and '"counted"' in line for line in lines)
