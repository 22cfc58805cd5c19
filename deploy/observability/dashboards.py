"""The dashboards: what an operator looks at, from the whole fleet down to its model servers."""

from __future__ import annotations

from typing import Final

from deploy.observability.alerts import ERROR_RATIO
from deploy.observability.panels import Dashboard, Panel, Query
from deploy.observability.series import quantile, rate, series
from handler_base.telemetry import names

__all__ = ["DASHBOARDS"]

_WINDOW: Final = "$__rate_interval"
_ONE: Final = "$service"
_TEMPLATE: Final = "messaging_destination_template"
_MODEL: Final = "gen_ai_operation_name, gen_ai_request_model"


def _per_second(name: str, suffix: str, by: str, **labels: str) -> str:
    return f"sum by ({by}) ({rate(name, suffix, _WINDOW, job=_ONE, **labels)})"


def _quantiles(title: str, name: str, by: str, legend: str, **labels: str) -> Panel:
    shares = (0.5, 0.95, 0.99)
    queries = [
        Query(quantile(share, name, _WINDOW, by, job=_ONE, **labels), f"p{share * 100:g} {legend}") for share in shares
    ]
    return Panel(title, tuple(queries), unit="s")


_FLEET: Final = Dashboard(
    "fleet-overview",
    "Fleet: overview",
    {
        "Now": (
            Panel(
                "Ready replicas",
                (Query(f"sum(max_over_time({series(names.FLEET_READY, job=_ONE)}[1m]))", ""),),
                kind="stat",
                width=6,
            ),
            Panel(
                "Questions",
                (Query(f"sum({rate(names.MESSAGING_PROCESS_DURATION, 'count', _WINDOW, job=_ONE)})", ""),),
                unit="reqps",
                kind="stat",
                width=6,
            ),
            Panel(
                "Share that failed, 1 h",
                (Query(f'max({ERROR_RATIO}1h{{job=~"{_ONE}"}})', ""),),
                unit="percentunit",
                kind="stat",
                width=6,
            ),
            Panel(
                "Given up, 24 h",
                (Query(f"sum(increase({series(names.FLEET_DEAD_LETTERS, 'total', job=_ONE)}[24h]))", ""),),
                kind="stat",
                width=6,
                about="Messages that went to the dead letters: fleet dlq list",
            ),
        ),
        "Questions": (
            Panel(
                "Questions by subject",
                (Query(_per_second(names.MESSAGING_PROCESS_DURATION, "count", _TEMPLATE), f"{{{{{_TEMPLATE}}}}}"),),
                unit="reqps",
            ),
            _quantiles("Time to the final answer", names.MESSAGING_PROCESS_DURATION, "job", "{{job}}"),
            Panel(
                "Errors by type",
                (
                    Query(
                        _per_second(names.MESSAGING_PROCESS_DURATION, "count", "error_type", error_type=".+"),
                        "{{error_type}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                "In flight", (Query(f"sum by (job) ({series(names.FLEET_REQUESTS_IN_FLIGHT, job=_ONE)})", "{{job}}"),)
            ),
            Panel(
                "Waiting for a slot", (Query(f"sum by (job) ({series(names.FLEET_QUEUE_DEPTH, job=_ONE)})", "{{job}}"),)
            ),
            Panel(
                "Refused, cancelled, too late",
                (
                    Query(_per_second(names.FLEET_REFUSALS, "total", "job"), "refused {{job}}"),
                    Query(_per_second(names.FLEET_CANCELS, "total", "job"), "cancelled {{job}}"),
                    Query(_per_second(names.FLEET_DEADLINE_EXCEEDED, "total", "job"), "too late {{job}}"),
                ),
                unit="reqps",
            ),
        ),
        "Replicas": (
            Panel(
                "CPU",
                (Query(f'rate(process_cpu_seconds_total{{job=~"{_ONE}"}}[{_WINDOW}])', "{{job}} {{instance}}"),),
                unit="percentunit",
            ),
            Panel(
                "Memory",
                (Query(f'process_resident_memory_bytes{{job=~"{_ONE}"}}', "{{job}} {{instance}}"),),
                unit="bytes",
                about="The limit is 512 MiB.",
            ),
            _quantiles("How late the event loop is", names.FLEET_EVENT_LOOP_LAG, "job", "{{job}}"),
            Panel(
                "What is away",
                (
                    Query(
                        f"max by (job, dependency) ({series(names.FLEET_DEGRADED_DEPENDENCIES, job=_ONE)})",
                        "{{job}} without {{dependency}}",
                    ),
                ),
            ),
            Panel(
                "Connections to NATS made again",
                (Query(_per_second(names.FLEET_RECONNECTS, "total", "job"), "{{job}}"),),
            ),
            Panel(
                "Unexpected errors survived",
                (Query(_per_second(names.FLEET_SWALLOWED_ERRORS, "total", "job, where"), "{{job}} {{where}}"),),
            ),
        ),
    },
)

_DURABLE: Final = "stream, consumer"
_OF: Final = "{{stream}} {{consumer}}"
_WORK: Final = Dashboard(
    "fleet-durable-work",
    "Fleet: durable work",
    {
        "Backlog": (
            Panel(
                "Messages not finished",
                (Query(f"max by ({_DURABLE}) ({series(names.FLEET_CONSUMER_LAG, job=_ONE)})", _OF),),
                width=12,
                about="Waiting on the server, and in flight.",
            ),
            Panel(
                "Archived",
                (Query(_per_second(names.FLEET_ARCHIVED_MESSAGES, "total", "job"), "{{job}}"),),
                unit="reqps",
                width=12,
            ),
        ),
        "Trouble": (
            Panel(
                "Delivered again", (Query(_per_second(names.FLEET_REDELIVERIES, "total", _DURABLE), _OF),), unit="reqps"
            ),
            Panel(
                "Given up",
                (Query(_per_second(names.FLEET_DEAD_LETTERS, "total", f"{_DURABLE}, reason"), _OF + " {{reason}}"),),
                unit="reqps",
            ),
            Panel(
                "Taken away by the server",
                (Query(_per_second(names.FLEET_OWNERSHIP_LOST, "total", _DURABLE), _OF),),
                unit="reqps",
            ),
            Panel(
                "Signs of life",
                (Query(_per_second(names.FLEET_HEARTBEATS_SENT, "total", _DURABLE), _OF),),
                unit="reqps",
            ),
            _quantiles("Waiting for a slot", names.FLEET_QUEUE_WAIT, _TEMPLATE, f"{{{{{_TEMPLATE}}}}}"),
            Panel(
                "Forbidden by NATS", (Query(_per_second(names.FLEET_PERMISSION_VIOLATIONS, "total", "job"), "{{job}}"),)
            ),
        ),
    },
)

_MODELS: Final = Dashboard(
    "fleet-models",
    "Fleet: model servers",
    {
        "Calls": (
            Panel(
                "Calls",
                (
                    Query(
                        _per_second(names.GEN_AI_CLIENT_OPERATION_DURATION, "count", _MODEL),
                        "{{gen_ai_operation_name}} {{gen_ai_request_model}}",
                    ),
                ),
                unit="reqps",
            ),
            _quantiles(
                "Time of a call",
                names.GEN_AI_CLIENT_OPERATION_DURATION,
                "gen_ai_operation_name",
                "{{gen_ai_operation_name}}",
            ),
            Panel(
                "Calls that failed",
                (
                    Query(
                        _per_second(
                            names.GEN_AI_CLIENT_OPERATION_DURATION,
                            "count",
                            "gen_ai_operation_name, error_type",
                            error_type=".+",
                        ),
                        "{{gen_ai_operation_name}} {{error_type}}",
                    ),
                ),
                unit="reqps",
            ),
        ),
        "Text": (
            _quantiles(
                "First token",
                names.GEN_AI_CLIENT_TIME_TO_FIRST_CHUNK,
                "gen_ai_request_model",
                "{{gen_ai_request_model}}",
            ),
            _quantiles(
                "Between tokens",
                names.GEN_AI_CLIENT_TIME_PER_OUTPUT_CHUNK,
                "gen_ai_request_model",
                "{{gen_ai_request_model}}",
            ),
            Panel(
                "Tokens a second",
                (
                    Query(
                        _per_second(names.GEN_AI_CLIENT_TOKEN_USAGE, "sum", "gen_ai_request_model, gen_ai_token_type"),
                        "{{gen_ai_request_model}} {{gen_ai_token_type}}",
                    ),
                ),
            ),
        ),
        "Stages of an answer": (
            Panel(
                "Mean time by stage",
                (
                    Query(
                        f"{_per_second(names.FLEET_STAGE_DURATION, 'sum', 'stage')}\n"
                        f"/ {_per_second(names.FLEET_STAGE_DURATION, 'count', 'stage')}",
                        "{{stage}}",
                    ),
                ),
                unit="s",
                width=12,
            ),
            Panel(
                "p95 by stage",
                (Query(quantile(0.95, names.FLEET_STAGE_DURATION, _WINDOW, "stage", job=_ONE), "{{stage}}"),),
                unit="s",
                width=12,
            ),
        ),
        "Resilience": (
            Panel(
                "Calls made again",
                (Query(_per_second(names.FLEET_RETRIES, "total", "client, reason"), "{{client}} {{reason}}"),),
                unit="reqps",
                width=12,
            ),
            Panel(
                "Circuit breakers",
                (
                    Query(
                        f"max by (client, endpoint) ({series(names.FLEET_CIRCUIT_BREAKER_STATE, job=_ONE)})",
                        "{{client}} {{endpoint}}",
                    ),
                ),
                width=12,
                about="0 closed, 1 half open, 2 open.",
            ),
        ),
    },
)

DASHBOARDS: Final[tuple[Dashboard, ...]] = (_FLEET, _WORK, _MODELS)
