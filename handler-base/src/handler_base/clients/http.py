"""Calls of the servers behind one client: ordered endpoints, breakers, retries within a budget, one deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Final, TypeVar

from handler_base.clients.addresses import base_urls
from handler_base.clients.endpoint import JSON, Endpoint, HttpRequest
from handler_base.clients.failures import AttemptError
from handler_base.clients.observation import operation
from handler_base.clients.retry import RetryBudget, RetryOptions, backoff
from handler_base.deadline import Deadline
from handler_base.errors import DeadlineExceededError, UpstreamUnavailableError
from handler_base.http import HttpPool
from handler_base.telemetry import Span, metrics, names

__all__ = ["MOST_BYTES", "HttpEndpoints", "HttpPool"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

MOST_BYTES: Final = 32 * 1024 * 1024
"""Longest answer that is read, where a client sets no other bound."""


class HttpEndpoints:
    """The servers of one client, in the order in which they are tried.

    Args:
        name: What they serve, such as ``embeddings``: a label.
        urls: Base URLs; the first that works is used.
        pool: The connections.
        api_key: Bearer token, the same for all of them.
        known_paths: Paths a URL may end with although they are not part of the base.
        most_bytes: Longest answer that is read.
        retries: How often and how soon a call is made again.

    Raises:
        ValueError: A URL is not one.
    """

    def __init__(
        self,
        name: str,
        urls: str | Iterable[str],
        *,
        pool: HttpPool,
        api_key: str = "",
        known_paths: Iterable[str] = (),
        most_bytes: int = MOST_BYTES,
        retries: RetryOptions | None = None,
    ) -> None:
        self.name = name
        self.endpoints = tuple(
            Endpoint(name, base, pool, api_key=api_key, most_bytes=most_bytes) for base in base_urls(urls, known_paths)
        )
        self._retries = retries or RetryOptions()
        self._budget = RetryBudget(self._retries.share, self._retries.reserve)
        self._operation = operation("", name)

    @property
    def available(self) -> bool:
        """Whether any of the servers worked when it was last called; true before the first call."""
        return not all(endpoint.breaker.failing for endpoint in self.endpoints)

    async def post(
        self,
        path: str,
        body: bytes,
        *,
        headers: Mapping[str, str] = JSON,
        deadline: Deadline,
    ) -> bytes:
        """Post a body and return the body of the answer. The call must be one that may be made twice.

        Args:
            path: Begins with a slash.
            body: Bytes as they go on the wire.
            headers: Sent besides the endpoint's own; the content type is among them.
            deadline: When the answer is due.

        Raises:
            UpstreamUnavailableError: No server can be reached, or all are busy.
            UpstreamError: The answer is an error.
            DeadlineExceededError: The deadline passed.
        """
        request = HttpRequest(path, body, headers)
        with self._operation.observe() as observed:
            context = observed.span.context

            async def attempt(endpoint: Endpoint) -> bytes:
                return (await endpoint.exchange(request, deadline=deadline, context=context)).body

            return await self.run(attempt, deadline=deadline, span=observed.span)

    async def run(
        self,
        attempt: Callable[[Endpoint], Awaitable[_T]],
        *,
        deadline: Deadline,
        span: Span,
        repeatable: bool = True,
    ) -> _T:
        """Try one endpoint after the other until an attempt succeeds, again where that may help.

        Args:
            attempt: Calls one endpoint; raises `AttemptError` where that fails.
            deadline: No attempt begins after it.
            span: Takes the number of repeats.
            repeatable: Whether a call that a server may have begun to work on may be made again there.

        Raises:
            UpstreamUnavailableError: No server can be reached, or all are busy.
            UpstreamError: The answer is an error.
            DeadlineExceededError: The deadline passed.
        """
        self._budget.deposit()
        repeat = 0
        failure: AttemptError | None = None
        try:
            while True:
                for endpoint in self.endpoints:
                    breaker = endpoint.breaker
                    if not breaker.allow():
                        continue
                    try:
                        result = await attempt(endpoint)
                    except AttemptError as error:
                        self._note(endpoint, error)
                        failure = error
                        if not error.elsewhere:
                            break
                    except BaseException:
                        # Whatever it was, a cancelled question too: a trial that ended so says nothing of the server.
                        breaker.release()
                        raise
                    else:
                        breaker.success()
                        return result
                if failure is None:
                    raise self._all_open()
                delay = self._delay(failure, repeat, deadline, repeatable=repeatable)
                if delay is None:
                    raise failure.release() from failure
                repeat += 1
                span.set(names.HTTP_RESEND_COUNT, repeat)
                metrics.RETRIES.of(self.name, failure.reason).inc()
                failure = None
                await asyncio.sleep(delay)
        finally:
            # Its traceback holds this frame: kept here, it would keep itself and the prompt alive.
            del failure

    def _note(self, endpoint: Endpoint, error: AttemptError) -> None:
        if error.unhealthy:
            endpoint.breaker.failure()
        elif isinstance(error.error, DeadlineExceededError):
            endpoint.breaker.release()
        else:
            endpoint.breaker.success()
        _log.warning(
            "a model server call failed",
            extra={
                "client": self.name,
                "endpoint": endpoint.base.label,
                "reason": error.reason,
                "cause": type(error.__cause__).__qualname__ if error.__cause__ is not None else "",
            },
        )

    def _delay(self, failure: AttemptError, repeat: int, deadline: Deadline, *, repeatable: bool) -> float | None:
        """Return the seconds until the call is made again; None to give up."""
        if repeat >= self._retries.most or not failure.transient:
            return None
        asked = failure.retry_after
        if not (failure.untouched or asked is not None or repeatable):
            return None
        delay = backoff(repeat, self._retries) if asked is None else asked
        if delay > self._retries.longest_delay.total_seconds() or delay >= deadline.remaining():
            return None
        return delay if self._budget.withdraw() else None

    def _all_open(self) -> UpstreamUnavailableError:
        wait = min(endpoint.breaker.wait() for endpoint in self.endpoints)
        return UpstreamUnavailableError(retry_after=timedelta(seconds=max(wait, 0.1)))
