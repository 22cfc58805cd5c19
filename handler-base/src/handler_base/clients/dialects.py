"""Finding out which interface a server speaks, and remembering it for each endpoint.

There is no separate probe: the first question is asked in one dialect after the other until one is understood.
What failed is not remembered, so a server that was still starting is asked anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from handler_base.clients.endpoint import Endpoint, HttpAnswer, HttpRequest
from handler_base.clients.failures import AttemptError
from handler_base.clients.http import HttpEndpoints
from handler_base.clients.observation import Operation
from handler_base.deadline import Deadline
from handler_base.errors import UpstreamError

__all__ = ["Dialect", "DialectClient", "DialectMemory", "Refusal", "choose"]

_Q_contra = TypeVar("_Q_contra", contravariant=True)
_A_co = TypeVar("_A_co", covariant=True)
_Q = TypeVar("_Q")
_A = TypeVar("_A")

_NOT_HERE: Final = frozenset({404, 405, 501})
"""Statuses that say that the path is not one of the server's."""
_NOT_UNDERSTOOD: Final = _NOT_HERE | {400, 415, 422}
"""Statuses that, from a server whose dialect is not known yet, may mean that it is another one."""


class Named(Protocol):
    """What every dialect has.

    Attributes:
        name: As in the settings.
        path: Where requests go, below the base URL.
    """

    @property
    def name(self) -> str:
        """As in the settings."""
        ...

    @property
    def path(self) -> str:
        """Where requests go, below the base URL."""
        ...


class Dialect(Named, Protocol[_Q_contra, _A_co]):
    """How one kind of server is asked, where one request and one answer are all there is to it."""

    def request(self, question: _Q_contra) -> HttpRequest:
        """Return the question as a request."""
        ...

    def answer(self, question: _Q_contra, answer: HttpAnswer) -> _A_co:
        """Return what the server answered.

        Raises:
            AttemptError: It makes no sense.
        """
        ...


_D = TypeVar("_D", bound=Named)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server does not speak the dialect, and said so with this status."""

    status: int


def choose(dialects: Sequence[_D], setting: str) -> tuple[_D, ...]:
    """Return the dialects a setting allows: all for `auto`, else those of that name.

    Raises:
        ValueError: There is none of that name.
    """
    chosen = tuple(dialect for dialect in dialects if setting in {"", "auto", dialect.name})
    if not chosen:
        names = sorted({dialect.name for dialect in dialects})
        raise ValueError(f"unknown dialect {setting!r}; known are auto, {', '.join(names)}")
    return chosen


class DialectMemory(Generic[_D]):
    """Which dialect each endpoint speaks.

    Args:
        dialects: Those that may be tried, likeliest first.
    """

    def __init__(self, dialects: Sequence[_D]) -> None:
        self._dialects = tuple(dialects)
        self._known: dict[Endpoint, _D] = {}

    def known(self, endpoint: Endpoint) -> _D | None:
        """Return the dialect of an endpoint, where it has answered before."""
        return self._known.get(endpoint)

    def candidates(self, endpoint: Endpoint) -> Sequence[_D]:
        """Return the dialects in the order in which an endpoint is asked; a path in its URL names the first."""
        hint = endpoint.base.path
        return sorted(self._dialects, key=lambda dialect: dialect.path != hint) if hint else self._dialects

    async def ask(self, endpoint: Endpoint, send: Callable[[_D, frozenset[int]], Awaitable[_A | Refusal]]) -> _A:
        """Ask in the dialect of the endpoint, or in one after the other until one is understood.

        Args:
            endpoint: Which server.
            send: Asks in one dialect; the statuses are those that become a `Refusal`.

        Raises:
            AttemptError: The call failed, or the server understands none.
        """
        known = self._known.get(endpoint)
        if known is not None:
            result = await send(known, _NOT_HERE)
            if not isinstance(result, Refusal):
                return result
            # Another server may have taken the place of the one that was known.
            self._known.pop(endpoint, None)
        return await self._probe(endpoint, send)

    async def _probe(self, endpoint: Endpoint, send: Callable[[_D, frozenset[int]], Awaitable[_A | Refusal]]) -> _A:
        failure: AttemptError | None = None
        for dialect in self.candidates(endpoint):
            try:
                result = await send(dialect, _NOT_UNDERSTOOD)
            except AttemptError as error:
                if error.reason != "malformed":
                    raise
                failure = error
                continue
            if not isinstance(result, Refusal):
                self._known[endpoint] = dialect
                return result
            if failure is None or result.status not in _NOT_HERE:
                failure = _refused(result.status)
        try:
            raise failure or _refused(0)
        finally:
            # Its traceback holds this frame: kept here, it would keep itself and the prompt alive.
            del failure


def _refused(status: int) -> AttemptError:
    message = "A model server refused the request."
    return AttemptError(UpstreamError(message), f"http_{status}", elsewhere=status in _NOT_HERE)


class DialectClient(Generic[_Q, _A]):
    """Asks the servers of one kind, each in its dialect.

    Args:
        http: The servers.
        dialects: Those that may be tried, likeliest first.
    """

    def __init__(self, http: HttpEndpoints, dialects: Sequence[Dialect[_Q, _A]]) -> None:
        self.http = http
        self._memory: DialectMemory[Dialect[_Q, _A]] = DialectMemory(dialects)

    async def ask(self, question: _Q, *, operation: Operation, deadline: Deadline) -> _A:
        """Ask one question; see `HttpEndpoints.run` for what it raises."""
        with operation.observe() as observed:
            context = observed.span.context

            async def attempt(endpoint: Endpoint) -> _A:
                async def send(dialect: Dialect[_Q, _A], passing: frozenset[int]) -> _A | Refusal:
                    request = dialect.request(question)
                    answer = await endpoint.exchange(request, deadline=deadline, context=context, passing=passing)
                    return dialect.answer(question, answer) if answer.status < 300 else Refusal(answer.status)

                return await self._memory.ask(endpoint, send)

            return await self.http.run(attempt, deadline=deadline, span=observed.span)
