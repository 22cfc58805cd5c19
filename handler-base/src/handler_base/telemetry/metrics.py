"""The instruments of the fleet, one for each name, in a registry of their own.

Labels hold subject templates, stage and model names: never a raw subject, an id or a text a caller wrote.
An absent error is the empty string, which Prometheus takes for no label at all.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, ProcessCollector, generate_latest

from handler_base.telemetry import names
from handler_base.telemetry.instruments import InstrumentSet

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
"""The content type of what `render` returns."""

REGISTRY: Final = CollectorRegistry()
INSTRUMENTS: Final = InstrumentSet(REGISTRY)

ProcessCollector(registry=REGISTRY)

MESSAGING_BUCKETS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 30.0, 60.0, 120.0),
)
"""Seconds. The conventions stop at 10, but an answer of a language model takes longer."""

GEN_AI_BUCKETS: Final = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    120.0,
)
"""Seconds."""

TOKEN_BUCKETS: Final = tuple(float(4**power) for power in range(14))
"""Tokens, 1 to 67,108,864."""

SHORT_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0, 120.0)
"""Seconds, for what should be short: waiting, searching, a lagging loop."""

_SYSTEM: Final = {names.MESSAGING_SYSTEM: names.NATS}
_PROCESS: Final = {names.MESSAGING_OPERATION_NAME: names.OPERATION_PROCESS, **_SYSTEM}
_TEMPLATE: Final = names.MESSAGING_DESTINATION_TEMPLATE
_GEN_AI: Final = (names.GEN_AI_OPERATION_NAME, names.GEN_AI_PROVIDER_NAME, names.GEN_AI_REQUEST_MODEL)
_DURABLE: Final = (names.FLEET_STREAM, names.FLEET_CONSUMER)

PROCESS_DURATION: Final = INSTRUMENTS.histogram(
    names.MESSAGING_PROCESS_DURATION,
    "s",
    "Time from admission to the final answer of one message.",
    (_TEMPLATE, names.ERROR_TYPE),
    buckets=MESSAGING_BUCKETS,
    constant=_PROCESS,
)
CONSUMED_MESSAGES: Final = INSTRUMENTS.counter(
    names.MESSAGING_CLIENT_CONSUMED_MESSAGES,
    "{message}",
    "Messages delivered to the service, once for each delivery.",
    (_TEMPLATE,),
    constant=_PROCESS,
)

GEN_AI_DURATION: Final = INSTRUMENTS.histogram(
    names.GEN_AI_CLIENT_OPERATION_DURATION,
    "s",
    "Time of one call of a model server.",
    (*_GEN_AI, names.ERROR_TYPE),
    buckets=GEN_AI_BUCKETS,
)
GEN_AI_TOKENS: Final = INSTRUMENTS.histogram(
    names.GEN_AI_CLIENT_TOKEN_USAGE,
    "{token}",
    "Tokens of one call of a model server.",
    (*_GEN_AI, names.GEN_AI_TOKEN_TYPE),
    buckets=TOKEN_BUCKETS,
)
GEN_AI_FIRST_CHUNK: Final = INSTRUMENTS.histogram(
    names.GEN_AI_CLIENT_TIME_TO_FIRST_CHUNK,
    "s",
    "Time to the first chunk of a streamed answer.",
    _GEN_AI,
    buckets=GEN_AI_BUCKETS,
)
GEN_AI_OUTPUT_CHUNK: Final = INSTRUMENTS.histogram(
    names.GEN_AI_CLIENT_TIME_PER_OUTPUT_CHUNK,
    "s",
    "Time between two chunks of a streamed answer.",
    _GEN_AI,
    buckets=GEN_AI_BUCKETS,
)

READY: Final = INSTRUMENTS.plain_gauge(names.FLEET_READY, "1", "1 while the service takes work.")
QUEUE_WAIT: Final = INSTRUMENTS.histogram(
    names.FLEET_QUEUE_WAIT,
    "s",
    "Time a request waited for a slot.",
    (_TEMPLATE,),
    buckets=SHORT_BUCKETS,
)
QUEUE_DEPTH: Final = INSTRUMENTS.gauge(
    names.FLEET_QUEUE_DEPTH, "{request}", "Requests that wait for a slot.", (names.FLEET_LANE,)
)
REQUESTS_IN_FLIGHT: Final = INSTRUMENTS.gauge(
    names.FLEET_REQUESTS_IN_FLIGHT, "{request}", "Requests being handled.", (_TEMPLATE,)
)
REFUSALS: Final = INSTRUMENTS.counter(
    names.FLEET_REFUSALS, "{request}", "Requests refused before they started.", (_TEMPLATE, names.FLEET_REASON)
)
CANCELS: Final = INSTRUMENTS.counter(
    names.FLEET_CANCELS, "{request}", "Requests ended by a cancel message.", (_TEMPLATE,)
)
DEADLINE_EXCEEDED: Final = INSTRUMENTS.counter(
    names.FLEET_DEADLINE_EXCEEDED, "{request}", "Requests whose time budget ran out.", (_TEMPLATE,)
)
STAGE_DURATION: Final = INSTRUMENTS.histogram(
    names.FLEET_STAGE_DURATION,
    "s",
    "Time of one stage of a request.",
    (names.FLEET_STAGE, names.ERROR_TYPE),
    buckets=MESSAGING_BUCKETS,
)

REDELIVERIES: Final = INSTRUMENTS.counter(
    names.FLEET_REDELIVERIES, "{message}", "Deliveries after the first one.", _DURABLE
)
HEARTBEATS_SENT: Final = INSTRUMENTS.counter(
    names.FLEET_HEARTBEATS_SENT, "{heartbeat}", "Signs of life sent for work in progress.", _DURABLE
)
DEAD_LETTERS: Final = INSTRUMENTS.counter(
    names.FLEET_DEAD_LETTERS, "{message}", "Messages given up and kept aside.", (*_DURABLE, names.FLEET_REASON)
)
OWNERSHIP_LOST: Final = INSTRUMENTS.counter(
    names.FLEET_OWNERSHIP_LOST, "{message}", "Deliveries the server may have given to another replica.", _DURABLE
)
LIVE_SESSIONS: Final = INSTRUMENTS.gauge(
    names.FLEET_LIVE_SESSIONS, "{session}", "Sessions that this replica has.", (_TEMPLATE,)
)
LIVE_TAKEOVERS: Final = INSTRUMENTS.counter(
    names.FLEET_LIVE_TAKEOVERS,
    "{session}",
    "Sessions taken over from another replica.",
    (_TEMPLATE, names.FLEET_REASON),
)
LIVE_GAPS: Final = INSTRUMENTS.counter(
    names.FLEET_LIVE_GAPS, "{message}", "Messages missing in the rows that sessions number.", (_TEMPLATE,)
)
CONSUMER_LAG: Final = INSTRUMENTS.gauge(
    names.FLEET_CONSUMER_LAG, "{message}", "Messages of a stream that a consumer has not finished.", _DURABLE
)
ARCHIVED_MESSAGES: Final = INSTRUMENTS.plain_counter(
    names.FLEET_ARCHIVED_MESSAGES, "{message}", "Messages that are new in the archive."
)
RECONNECTS: Final = INSTRUMENTS.plain_counter(
    names.FLEET_RECONNECTS, "{reconnect}", "Times the connection to NATS was made again."
)
PERMISSION_VIOLATIONS: Final = INSTRUMENTS.plain_counter(
    names.FLEET_PERMISSION_VIOLATIONS, "{violation}", "Publishes and subscriptions the NATS server forbade."
)

CIRCUIT_BREAKER_STATE: Final = INSTRUMENTS.gauge(
    names.FLEET_CIRCUIT_BREAKER_STATE,
    "1",
    "State of a circuit breaker: 0 closed, 1 half open, 2 open.",
    (names.FLEET_CLIENT, names.FLEET_ENDPOINT),
)
RETRIES: Final = INSTRUMENTS.counter(
    names.FLEET_RETRIES, "{retry}", "Calls of a model server made again.", (names.FLEET_CLIENT, names.FLEET_REASON)
)
DEGRADED_DEPENDENCIES: Final = INSTRUMENTS.gauge(
    names.FLEET_DEGRADED_DEPENDENCIES, "1", "1 while a dependency is away.", (names.FLEET_DEPENDENCY,)
)

SWALLOWED_ERRORS: Final = INSTRUMENTS.counter(
    names.FLEET_SWALLOWED_ERRORS, "{error}", "Unexpected errors that were caught and survived.", (names.FLEET_WHERE,)
)
EVENT_LOOP_LAG: Final = INSTRUMENTS.plain_histogram(
    names.FLEET_EVENT_LOOP_LAG, "s", "How late the event loop wakes a timer.", buckets=SHORT_BUCKETS
)
EXPORTED_SPANS: Final = INSTRUMENTS.plain_counter(names.FLEET_EXPORTED_SPANS, "{span}", "Spans a receiver accepted.")
DROPPED_SPANS: Final = INSTRUMENTS.counter(
    names.FLEET_DROPPED_SPANS, "{span}", "Spans that were not exported.", (names.FLEET_REASON,)
)
DROPPED_METRIC_PUSHES: Final = INSTRUMENTS.plain_counter(
    names.FLEET_DROPPED_METRIC_PUSHES, "{push}", "Pushes of metrics that a receiver did not accept."
)


def render() -> bytes:
    """Return the whole registry in the Prometheus text format, for /metrics."""
    return generate_latest(REGISTRY)
