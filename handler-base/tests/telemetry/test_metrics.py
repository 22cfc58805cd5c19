from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from handler_base.telemetry import metrics, names
from handler_base.telemetry.instruments import MAX_CHILDREN, OTHER, InstrumentSet

Counted = Callable[..., float]


def test_instruments_have_their_names_in_prometheus_style() -> None:
    known = {family.name for family in metrics.REGISTRY.collect()}
    assert {
        "messaging_process_duration_seconds",
        "messaging_client_consumed_messages",
        "gen_ai_client_operation_duration_seconds",
        "gen_ai_client_token_usage",
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        "fleet_queue_wait_seconds",
        "fleet_swallowed_errors",
        "fleet_event_loop_lag_seconds",
    } <= known


def test_every_instrument_is_named_in_names_and_described() -> None:
    constants = {value for key, value in vars(names).items() if key.isupper()}
    for description in metrics.INSTRUMENTS.descriptions.values():
        assert description.name in constants
        assert set(description.labels) <= constants
        assert description.help.endswith(".")


def test_no_two_names_of_a_kind_are_equal() -> None:
    fleet = [value for key, value in vars(names).items() if key.startswith("FLEET_")]
    assert len(fleet) == len(set(fleet))
    assert all(value.startswith("fleet.") for value in fleet)


def test_long_answers_have_buckets() -> None:
    assert max(metrics.MESSAGING_BUCKETS) == max(metrics.GEN_AI_BUCKETS) == 120.0


def test_what_is_counted_can_be_scraped(counted: Counted) -> None:
    metrics.CONSUMED_MESSAGES.of("ai.chat.request").inc()
    metrics.PROCESS_DURATION.of("ai.chat.request", "").observe(90)
    metrics.RECONNECTS.inc()
    labels = {
        "messaging_operation_name": "process",
        "messaging_system": "nats",
        "messaging_destination_template": "ai.chat.request",
    }
    assert counted("messaging_client_consumed_messages_total", **labels) == 1
    assert counted("messaging_process_duration_seconds_bucket", **labels, error_type="", le="120.0") == 1
    assert counted("messaging_process_duration_seconds_bucket", **labels, error_type="", le="60.0") == 0
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}
    assert families["fleet_reconnects"].samples[0].value >= 1
    assert "_created" not in metrics.render().decode()


def test_a_child_is_made_once() -> None:
    family = InstrumentSet(CollectorRegistry()).counter("fleet.cancels", "{request}", "Cancels.", ("fleet.lane",))
    assert family.of("a") is family.of("a")
    assert family.of("a") is not family.of("b")


def test_a_label_that_runs_away_is_counted_together() -> None:
    instruments = InstrumentSet(CollectorRegistry())
    family = instruments.counter("fleet.refusals", "{request}", "Refusals.", ("fleet.lane", "fleet.reason"))
    for number in range(MAX_CHILDREN + 50):
        family.of(str(number), "x").inc()
    assert instruments.registry.get_sample_value("fleet_refusals_total", {"lane": OTHER, "reason": OTHER}) == 50
    (collected,) = instruments.registry.collect()
    assert len(collected.samples) == MAX_CHILDREN + 1


def test_the_wrong_number_of_labels_is_told() -> None:
    with pytest.raises(ValueError, match="label count"):
        metrics.REFUSALS.of("only one")


def test_telemetry_loads_no_opentelemetry() -> None:
    code = "import sys, handler_base.telemetry; print(*[m for m in sys.modules if re.match('opentelemetry|grpc', m)])"
    done = subprocess.run(
        [sys.executable, "-c", f"import re; {code}"], capture_output=True, text=True, check=True, timeout=20
    )
    assert re.fullmatch(r"\s*", done.stdout)
