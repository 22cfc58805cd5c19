from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from aiohttp import web

from handler_base.clients import HttpEndpoints, HttpPool, RetryOptions
from handler_base.deadline import Deadline
from handler_base.errors import (
    DeadlineExceededError,
    FleetError,
    UpstreamError,
    UpstreamUnavailableError,
    to_fleet_error,
)
from handler_base.telemetry import metrics, use_span
from handler_base.telemetry.spans import PassiveSpan, SpanContext
from handler_base.testing.inference import (
    Failure,
    FailureKind,
    FakeEmbeddings,
    FakeReranker,
    RerankScript,
    busy,
    hang,
    reset,
    status,
    truncated,
)
from handler_base.testing.waiting import wait_until

BODY = b'{"query":"a","texts":["a b"]}'
FAST = RetryOptions(first_delay=timedelta(milliseconds=1))
NO_ROUTE = "http://127.0.0.1:9"


@pytest.fixture
async def server() -> AsyncIterator[FakeReranker]:
    async with FakeReranker() as server:
        yield server


def endpoints(pool: HttpPool, *urls: str, **options: object) -> HttpEndpoints:
    arguments = {"retries": FAST, **options}
    return HttpEndpoints("test", urls, pool=pool, **arguments)  # type: ignore[arg-type]  # keyword arguments of one call


async def ask(http: HttpEndpoints, deadline: Deadline) -> bytes:
    return await http.post("/rerank", BODY, deadline=deadline)


async def test_an_answer_is_returned_as_it_came(pool: HttpPool, server: FakeReranker, soon: Deadline) -> None:
    assert b'"index": 0' in await ask(endpoints(pool, server.url), soon)
    assert server.requests[0].body == BODY
    assert server.requests[0].headers["content-type"] == "application/json"
    assert "cookie" not in server.requests[0].headers


async def test_calls_share_a_connection(pool: HttpPool, server: FakeReranker, soon: Deadline) -> None:
    http = endpoints(pool, server.url)
    for _ in range(5):
        await ask(http, soon)
    assert server.connections == 1


async def test_a_key_is_sent_and_never_shown(
    pool: HttpPool, server: FakeReranker, soon: Deadline, caplog: pytest.LogCaptureFixture
) -> None:
    server.script.failures = [status(401)]
    http = endpoints(pool, server.url, api_key="sk-secret")
    with caplog.at_level(logging.DEBUG), pytest.raises(UpstreamError) as caught:
        await ask(http, soon)
    assert server.requests[0].headers["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in caught.value.message + caplog.text
    assert "127.0.0.1" not in caught.value.message


async def test_the_user_of_a_url_is_sent_as_basic_authorization(
    pool: HttpPool, server: FakeReranker, soon: Deadline
) -> None:
    await ask(endpoints(pool, server.url.replace("http://", "http://me:pw@")), soon)
    assert server.requests[0].headers["authorization"] == "Basic bWU6cHc="


async def test_the_trace_is_passed_on(pool: HttpPool, server: FakeReranker, soon: Deadline) -> None:
    context = SpanContext("1" * 32, "2" * 16, sampled=False)
    with use_span(PassiveSpan(context)):
        await ask(endpoints(pool, server.url), soon)
    assert server.requests[0].headers["traceparent"] == f"00-{'1' * 32}-{'2' * 16}-00"


@pytest.mark.parametrize(
    ("failure", "error", "answered"),
    [
        (status(400), UpstreamError, 1),
        (status(404), UpstreamError, 1),
        (status(500), UpstreamError, 1),
        (status(302), UpstreamError, 1),
        (status(502), UpstreamError, 3),
        (status(503), UpstreamUnavailableError, 3),
        (busy(), UpstreamUnavailableError, 3),
        (busy(""), UpstreamUnavailableError, 3),
        (reset(), UpstreamUnavailableError, 3),
        (truncated(), UpstreamError, 3),
    ],
)
async def test_each_failure_has_its_error_and_its_number_of_attempts(
    pool: HttpPool, server: FakeReranker, failure: Failure, error: type[FleetError], answered: int
) -> None:
    server.script.always = failure
    http = endpoints(pool, server.url)
    with pytest.raises(error) as caught:
        await ask(http, Deadline.after(timedelta(seconds=10)))
    assert type(caught.value) is error
    assert len(server.requests) == answered
    assert "127.0.0.1" not in caught.value.message
    assert to_fleet_error(caught.value) is caught.value


@pytest.mark.parametrize("failure", [status(503), busy(), status(502), reset(), truncated()])
async def test_what_passes_is_not_seen_by_the_caller(
    pool: HttpPool, server: FakeReranker, soon: Deadline, failure: Failure
) -> None:
    server.script.failures = [failure, failure]
    before = metrics.render()
    await ask(endpoints(pool, server.url), soon)
    assert len(server.requests) == 3
    assert metrics.render() != before


async def test_a_redirect_is_not_followed(pool: HttpPool, soon: Deadline) -> None:
    hit = []

    async def elsewhere(request: web.Request) -> web.Response:
        hit.append(request.path)
        raise web.HTTPTemporaryRedirect("/other")

    async with _serving(elsewhere) as url:
        with pytest.raises(UpstreamError):
            await ask(endpoints(pool, url), soon)
    assert hit == ["/rerank"]


async def test_a_server_that_says_when_to_come_back_is_asked_then(
    pool: HttpPool, server: FakeReranker, soon: Deadline
) -> None:
    server.script.failures = [busy("0.2")]
    before = asyncio.get_running_loop().time()
    await ask(endpoints(pool, server.url), soon)
    assert asyncio.get_running_loop().time() - before >= 0.2


@pytest.mark.parametrize("asked", ["3600", "Wed, 21 Oct 2065 07:28:00 GMT"])
async def test_a_server_that_asks_for_too_long_a_wait_is_not_waited_for(
    pool: HttpPool, server: FakeReranker, soon: Deadline, asked: str
) -> None:
    server.script.always = busy(asked)
    with pytest.raises(UpstreamUnavailableError) as caught:
        await ask(endpoints(pool, server.url), soon)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= timedelta(hours=1)
    assert len(server.requests) == 1


@pytest.mark.parametrize("asked", ["soon", "nan", "-5", "Wed, 99 Foo"])
async def test_nonsense_in_retry_after_is_no_reason_to_fail(
    pool: HttpPool, server: FakeReranker, soon: Deadline, asked: str
) -> None:
    server.script.failures = [busy(asked)]
    await ask(endpoints(pool, server.url), soon)


async def test_the_wait_must_fit_into_the_deadline(pool: HttpPool, server: FakeReranker) -> None:
    server.script.always = busy("2")
    with pytest.raises(UpstreamUnavailableError):
        await ask(endpoints(pool, server.url), Deadline.after(timedelta(seconds=1)))
    assert len(server.requests) == 1


async def test_repeats_are_kept_to_a_budget(pool: HttpPool, server: FakeReranker, soon: Deadline) -> None:
    server.script.always = busy()
    http = endpoints(pool, server.url, retries=RetryOptions(most=5, share=0.0, reserve=3))
    for _ in range(4):
        with pytest.raises(UpstreamUnavailableError):
            await ask(http, soon)
    assert len(server.requests) == 4 + 3


async def test_the_deadline_ends_a_call_that_hangs(pool: HttpPool, server: FakeReranker) -> None:
    server.script.always = hang()
    with pytest.raises(DeadlineExceededError):
        await ask(endpoints(pool, server.url), Deadline.after(timedelta(seconds=0.1)))
    await wait_until(lambda: server.disconnects == 1)


async def test_after_the_deadline_nothing_is_sent(pool: HttpPool, server: FakeReranker) -> None:
    with pytest.raises(DeadlineExceededError):
        await ask(endpoints(pool, server.url), Deadline.after(timedelta(0)))
    assert not server.requests


async def test_cancelling_a_call_closes_its_connection(pool: HttpPool, server: FakeReranker, soon: Deadline) -> None:
    server.script.always = hang()
    task = asyncio.create_task(ask(endpoints(pool, server.url), soon))
    await wait_until(lambda: server.open_streams == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_until(lambda: server.open_streams == 0)
    assert server.disconnects == 1


@pytest.mark.parametrize("failure", [None, Failure(kind=FailureKind.ENDLESS)])
async def test_an_answer_that_is_too_long_is_not_read(
    pool: HttpPool, server: FakeReranker, soon: Deadline, failure: Failure | None
) -> None:
    server.script.always = failure
    with pytest.raises(UpstreamError):
        await ask(endpoints(pool, server.url, most_bytes=10), soon)
    await wait_until(lambda: server.open_streams == 0)


async def test_an_answer_in_many_parts_is_put_together(pool: HttpPool, soon: Deadline) -> None:
    async with FakeEmbeddings() as server:
        http = endpoints(pool, server.url)
        answer = await http.post("/v1/embeddings", b'{"input":["a"]}' + b" " * 2_000_000, deadline=soon)
    assert answer.startswith(b'{"object": "list"')
    assert len(server.requests[0].body) == 2_000_015


async def test_what_is_no_http_is_an_upstream_error(pool: HttpPool, soon: Deadline) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    listener = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(UpstreamError):
            await ask(endpoints(pool, f"http://127.0.0.1:{port}"), soon)


class TestFallback:
    @pytest.mark.parametrize("failure", [status(500), status(401), status(503), busy("9"), reset(), truncated()])
    async def test_the_next_server_answers(
        self, pool: HttpPool, server: FakeReranker, soon: Deadline, failure: Failure
    ) -> None:
        async with FakeReranker(RerankScript(always=failure)) as broken:
            http = endpoints(pool, broken.url, server.url)
            await ask(http, soon)
            assert (len(broken.requests), len(server.requests)) == (1, 1)
            assert http.available

    async def test_a_request_that_is_at_fault_itself_is_not_passed_on(
        self, pool: HttpPool, server: FakeReranker, soon: Deadline
    ) -> None:
        async with FakeReranker(RerankScript(always=status(422))) as strict:
            with pytest.raises(UpstreamError):
                await ask(endpoints(pool, strict.url, server.url), soon)
        assert not server.requests

    async def test_a_server_that_is_not_there_is_passed_over(
        self, pool: HttpPool, server: FakeReranker, soon: Deadline
    ) -> None:
        http = endpoints(pool, NO_ROUTE, server.url)
        for _ in range(8):
            await ask(http, soon)
        assert len(server.requests) == 8
        assert b'circuit_breaker_state{client="test",endpoint="127.0.0.1:9"} 2.0' in metrics.render()

    async def test_the_first_that_works_is_used_again_when_it_is_back(
        self, pool: HttpPool, server: FakeReranker, soon: Deadline
    ) -> None:
        async with FakeReranker(RerankScript(failures=[status(500)])) as first:
            http = endpoints(pool, first.url, server.url)
            for _ in range(3):
                await ask(http, soon)
            assert (len(first.requests), len(server.requests)) == (3, 1)


class TestBreaker:
    async def test_a_server_that_keeps_failing_is_left_alone_and_tried_again(
        self, pool: HttpPool, server: FakeReranker, soon: Deadline
    ) -> None:
        server.script.failures = [status(500)] * 5
        http = endpoints(pool, server.url)
        for _ in range(5):
            with pytest.raises(UpstreamError):
                await ask(http, soon)
        assert not http.available
        with pytest.raises(UpstreamUnavailableError) as caught:
            await ask(http, soon)
        assert caught.value.retry_after is not None
        assert len(server.requests) == 5
        await wait_until(lambda: http.endpoints[0].breaker.wait() == 0)
        await ask(http, soon)
        assert not http.endpoints[0].breaker.failing

    async def test_only_one_call_is_the_trial(self, pool: HttpPool, server: FakeReranker, soon: Deadline) -> None:
        server.script.failures = [status(500)] * 5
        http = endpoints(pool, server.url)
        for _ in range(5):
            with pytest.raises(UpstreamError):
                await ask(http, soon)
        await wait_until(lambda: http.endpoints[0].breaker.wait() == 0)
        server.script.delay = 0.1
        results = await asyncio.gather(*(ask(http, soon) for _ in range(10)), return_exceptions=True)
        assert sum(isinstance(result, UpstreamUnavailableError) for result in results) == 9
        assert len(server.requests) == 6

    async def test_a_refused_request_says_nothing_about_health(
        self, pool: HttpPool, server: FakeReranker, soon: Deadline
    ) -> None:
        server.script.always = status(422)
        http = endpoints(pool, server.url)
        for _ in range(10):
            with pytest.raises(UpstreamError):
                await ask(http, soon)
        assert len(server.requests) == 10
        assert http.available

    async def test_a_deadline_too_short_to_tell_says_nothing_about_health(
        self, pool: HttpPool, server: FakeReranker
    ) -> None:
        server.script.delay = 0.2
        http = endpoints(pool, server.url)
        for _ in range(6):
            with pytest.raises(DeadlineExceededError):
                await ask(http, Deadline.after(timedelta(seconds=0.02)))
        assert http.available

    async def test_a_deadline_too_short_to_connect_says_nothing_about_health(self, pool: HttpPool) -> None:
        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        # The other end takes the connection and never begins with TLS.
        async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
            http = endpoints(pool, f"https://127.0.0.1:{silent.sockets[0].getsockname()[1]}")
            for _ in range(6):
                with pytest.raises(DeadlineExceededError):
                    await ask(http, Deadline.after(timedelta(seconds=0.05)))
            assert http.available


async def test_a_pool_can_be_closed_twice_and_used_again(server: FakeReranker, soon: Deadline) -> None:
    pool = HttpPool()
    await pool.close()
    http = endpoints(pool, server.url)
    await ask(http, soon)
    await pool.close()
    await pool.close()
    await ask(http, soon)
    await pool.close()


async def test_proxies_of_the_environment_are_not_used(
    server: FakeReranker, soon: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, NO_ROUTE)
    pool = HttpPool()
    await ask(endpoints(pool, server.url), soon)
    await pool.close()


async def test_a_server_that_restarts_costs_no_answer(pool: HttpPool, server: FakeReranker, soon: Deadline) -> None:
    http = endpoints(pool, server.url)
    await ask(http, soon)
    await server.stop()
    await server.start()
    await ask(http, soon)


class _serving:  # noqa: N801 - reads as a function
    def __init__(self, handler: Callable[[web.Request], object]) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", handler)  # type: ignore[arg-type]  # any handler of aiohttp
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> str:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
