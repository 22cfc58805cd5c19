"""The alerts: what each means, when it fires, and how urgent it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from deploy.manifests.topology import apps
from deploy.observability.series import SERVICE, burning, increase, quantile, series
from handler_base.messages.subjects import (
    VOICE_REQUEST,
    VOICE_REQUEST_LEGACY,
    VOICE_USER_REQUEST,
)
from handler_base.sessions.archive.worker import DURABLE as ARCHIVE
from handler_base.telemetry import names

__all__ = ["ALERTS", "BURN_WINDOWS", "ERROR_RATIO", "OBJECTIVE", "Alert", "error_ratio"]

OBJECTIVE: Final = 0.995
"""Share of questions that are answered without a fault of the fleet or its servers, over 30 days."""

ERROR_RATIO: Final = "job:fleet_errors:ratio_rate"
"""Recorded series, followed by its window."""

BURN_WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")

_FAULTS: Final = "internal|upstream_error|upstream_unavailable|deadline_exceeded|overloaded"
"""Errors that are not the caller's."""

_VOICE: Final = "|".join(
    subject.template.replace(".", r"\\.").replace("{", r"\\{").replace("}", r"\\}")
    for subject in (VOICE_REQUEST, VOICE_REQUEST_LEGACY, VOICE_USER_REQUEST)
)
_JOBS: Final = "|".join(app.name for app in apps())
_MEMORY_LIMIT: Final = 512 * 1024 * 1024
"""Bytes; `deploy/kubernetes` sets it for every service."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert of Prometheus.

    Attributes:
        name: Also the name of its runbook.
        expr: PromQL; fires for each series it returns.
        hold: How long it has to be so.
        severity: ``page``: somebody is to look now; ``ticket``: in working hours.
        summary: One line, with Prometheus's templates.
        means: What users see of it.
    """

    name: str
    expr: str
    hold: str
    severity: Literal["page", "ticket"]
    summary: str
    means: str


def error_ratio(window: str) -> str:
    """Return the share of questions that ended in a fault that was not the caller's, by service."""
    total = f"sum by ({SERVICE}) (rate({series(names.MESSAGING_PROCESS_DURATION, 'count')}[{window}]))"
    faults = series(names.MESSAGING_PROCESS_DURATION, "count", error_type=_FAULTS)
    # A service that never failed has no series of failures yet: its share is 0, not unknown.
    return f"(sum by ({SERVICE}) (rate({faults}[{window}])) or 0 * {total})\n/ ({total} > 0)"


_BUDGET: Final = 1 - OBJECTIVE
_WHERE: Final = "{{ $labels.job }}"
_DURABLE: Final = "{{ $labels.stream }}"

ALERTS: Final[tuple[Alert, ...]] = (
    Alert(
        "FleetServiceDown",
        f'up{{job=~"{_JOBS}"}} == 0',
        "2m",
        "page",
        f"{_WHERE} does not answer Prometheus",
        "A replica is gone or stuck; the others carry its work as long as there are any.",
    ),
    Alert(
        "FleetNotReady",
        f"{series(names.FLEET_READY)} == 0",
        "3m",
        "page",
        f"{_WHERE} takes no work",
        "The replica runs and is not ready: its link, its streams or its consumers are not as they should be.",
    ),
    Alert(
        "FleetErrorBudgetBurnsFast",
        f"({burning(ERROR_RATIO, 14.4, _BUDGET, '5m', '1h')})\nor\n({burning(ERROR_RATIO, 6, _BUDGET, '30m', '6h')})",
        "2m",
        "page",
        f"{_WHERE} fails {{{{ $value | humanizePercentage }}}} of its questions",
        "At this rate the budget of 30 days is spent within days or hours.",
    ),
    Alert(
        "FleetErrorBudgetBurns",
        f"({burning(ERROR_RATIO, 3, _BUDGET, '2h', '1d')})\nor\n({burning(ERROR_RATIO, 1, _BUDGET, '6h', '3d')})",
        "15m",
        "ticket",
        f"{_WHERE} fails {{{{ $value | humanizePercentage }}}} of its questions",
        "The budget of 30 days will not last 30 days.",
    ),
    Alert(
        "FleetVoiceSlow",
        quantile(0.95, names.MESSAGING_PROCESS_DURATION, "10m", SERVICE, messaging_destination_template=_VOICE)
        + " > 3",
        "10m",
        "ticket",
        "one spoken question in twenty waits {{ $value | humanizeDuration }} for its answer",
        "The design promises 3 s for a whole spoken answer.",
    ),
    Alert(
        "FleetSearchSlow",
        quantile(0.95, names.FLEET_STAGE_DURATION, "10m", SERVICE, stage="search") + " > 0.1",
        "10m",
        "ticket",
        f"searches of {_WHERE} take {{{{ $value | humanizeDuration }}}}",
        "The design promises vector search under 100 ms; answers start that much later.",
    ),
    Alert(
        "FleetOverloaded",
        f"{increase(names.FLEET_REFUSALS, '5m', SERVICE)} > 0",
        "5m",
        "page",
        f"{_WHERE} refused {{{{ $value | humanize }}}} questions in 5 minutes",
        "Slots and queue are full: users are told to come back later.",
    ),
    Alert(
        "FleetConsumerLags",
        f"max by (stream, consumer) ({series(names.FLEET_CONSUMER_LAG)}) > 100",
        "10m",
        "ticket",
        f"{{{{ $value | humanize }}}} messages of {_DURABLE} wait for {{{{ $labels.consumer }}}}",
        "Durable questions are answered late, or what was said is archived late.",
    ),
    Alert(
        "FleetConsumerStuck",
        f"min by (stream, consumer) (min_over_time({series(names.FLEET_CONSUMER_LAG)}[15m])) > 0\n"
        f"unless on (stream, consumer) sum by (stream, consumer) "
        f"(changes({series(names.FLEET_CONSUMER_LAG)}[15m])) > 0",
        "5m",
        "page",
        f"nothing of {_DURABLE} moves for {{{{ $labels.consumer }}}}",
        "Work is there and none is finished: questions wait until they are too old.",
    ),
    Alert(
        "FleetDeadLetters",
        f"{increase(names.FLEET_DEAD_LETTERS, '10m', 'stream, consumer, reason')} > 0",
        "0m",
        "ticket",
        f"{{{{ $value | humanize }}}} messages of {_DURABLE} were given up: {{{{ $labels.reason }}}}",
        "Nobody gets an answer from them until they are replayed; they are kept for 30 days.",
    ),
    Alert(
        "FleetRedeliveries",
        f"{increase(names.FLEET_REDELIVERIES, '10m', 'stream, consumer')} > 20",
        "10m",
        "ticket",
        f"messages of {_DURABLE} are delivered again and again",
        "Work fails and is tried again, or is taken from replicas that are too slow to say that they live.",
    ),
    Alert(
        "FleetOwnershipLost",
        f"{increase(names.FLEET_OWNERSHIP_LOST, '15m', 'stream, consumer')} > 0",
        "0m",
        "ticket",
        f"work of {_DURABLE} was taken from a replica that did it",
        "The work is done twice; the second answer is kept back where it can be.",
    ),
    Alert(
        "FleetDependencyAway",
        f"max by ({SERVICE}, dependency) ({series(names.FLEET_DEGRADED_DEPENDENCIES)}) == 1",
        "5m",
        "ticket",
        f"{{{{ $labels.dependency }}}} is away, {_WHERE} works without it",
        "Answers come without what it adds, or not at all where it is the chat model.",
    ),
    Alert(
        "FleetCircuitOpen",
        f"max by ({SERVICE}, client, endpoint) ({series(names.FLEET_CIRCUIT_BREAKER_STATE)}) == 2",
        "5m",
        "ticket",
        f"{_WHERE} calls {{{{ $labels.client }}}} no more",
        "The server failed five times in a row; only trials go to it.",
    ),
    Alert(
        "FleetReconnects",
        f"sum by ({SERVICE}) (increase({series(names.FLEET_RECONNECTS, 'total')}[15m])) > 5",
        "0m",
        "ticket",
        f"{_WHERE} lost NATS {{{{ $value | humanize }}}} times in 15 minutes",
        "Callers whose answer was under way have to ask again.",
    ),
    Alert(
        "FleetForbidden",
        f"sum by ({SERVICE}) (increase({series(names.FLEET_PERMISSION_VIOLATIONS, 'total')}[10m])) > 0",
        "0m",
        "page",
        f"NATS forbade {_WHERE} a subject",
        "The permissions do not fit the version that runs, or somebody uses the service's identity.",
    ),
    Alert(
        "FleetLoopLags",
        quantile(0.99, names.FLEET_EVENT_LOOP_LAG, "10m", f"{SERVICE}, instance") + " > 0.05",
        "10m",
        "ticket",
        f"the event loop of {_WHERE} is {{{{ $value | humanizeDuration }}}} late",
        "Everything the replica does is that much later: too little CPU, or something blocks.",
    ),
    Alert(
        "FleetMemoryHigh",
        f'process_resident_memory_bytes{{job=~"{_JOBS}"}} > 0.85 * {_MEMORY_LIMIT}',
        "10m",
        "ticket",
        f"{_WHERE} uses {{{{ $value | humanize1024 }}}}B",
        "At its limit of 512 MiB the replica is killed, and its core requests are lost.",
    ),
    Alert(
        "FleetArchiveStands",
        f"max by ({SERVICE}) ({series(names.FLEET_CONSUMER_LAG, consumer=ARCHIVE)}) > 0\n"
        f"and on ({SERVICE}) sum by ({SERVICE}) "
        f"(increase({series(names.FLEET_ARCHIVED_MESSAGES, 'total')}[15m])) == 0",
        "15m",
        "ticket",
        "{{ $value | humanize }} events wait, and nothing is archived",
        "History is not complete; what waits is kept for 30 days.",
    ),
    Alert(
        "FleetUnexpectedErrors",
        f"{increase(names.FLEET_SWALLOWED_ERRORS, '15m', f'{SERVICE}, where')} > 5",
        "0m",
        "ticket",
        f"{_WHERE} survived {{{{ $value | humanize }}}} unexpected errors in {{{{ $labels.where }}}}",
        "Something happens that nobody thought of; the log has it.",
    ),
    Alert(
        "FleetTracesLost",
        f"{increase(names.FLEET_DROPPED_SPANS, '15m', f'{SERVICE}, reason')} > 0",
        "15m",
        "ticket",
        f"spans of {_WHERE} do not reach the receiver",
        "Nothing for users; traces are incomplete.",
    ),
)
