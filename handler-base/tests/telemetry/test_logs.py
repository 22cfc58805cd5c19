from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from handler_base.config import InferenceSettings, Settings
from handler_base.telemetry import configure_logging, span
from handler_base.telemetry.logs import MAX_TEXT, JsonFormatter, Redactor
from handler_base.telemetry.spans import RecordingSpan

Output = Callable[[], str]
Lines = Callable[[], list[dict[str, Any]]]

logger = logging.getLogger("handler_base.test")


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return lambda: capsys.readouterr().err


@pytest.fixture
def lines(output: Output) -> Lines:
    configure_logging(Settings(log_level="DEBUG"), "chat-handler")
    return lambda: [json.loads(line) for line in output().splitlines()]


def test_a_line_is_one_json_object(lines: Lines) -> None:
    logger.info("handled %d\nof them", 3, extra={"subject": "ai.chat.request", "attempt": 2})
    (line,) = lines()
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "INFO",
        "logger": "handler_base.test",
        "message": "handled 3\nof them",
        "service": "chat-handler",
        "subject": "ai.chat.request",
        "attempt": 2,
    }


def test_a_line_has_the_ids_of_the_trace(lines: Lines, ended: list[RecordingSpan]) -> None:
    with span("process"):
        logger.info("inside")
    logger.info("outside")
    inside, outside = lines()
    assert (inside["trace_id"], inside["span_id"]) == (ended[0].trace_id, ended[0].span_id)
    assert "trace_id" not in outside


def test_a_traceback_is_a_field(lines: Lines) -> None:
    try:
        raise KeyError("k")
    except KeyError:
        logger.exception("failed")
    assert lines()[0]["exception"].endswith("KeyError: 'k'")


def test_fields_of_a_caller_do_not_replace_ours(lines: Lines) -> None:
    logger.info("m", extra={"level": "nonsense", "ts": 0})
    (line,) = lines()
    assert line["level"] == "INFO"
    assert line["level_"] == "nonsense"
    assert line["ts_"] == 0


def test_odd_values_still_give_a_line(lines: Lines) -> None:
    circle: list[object] = []
    circle.append(circle)
    logger.info("lone \ud800", extra={"thing": object(), "not_a_number": float("nan")})
    logger.info("circle", extra={"circle": circle})
    first, second = lines()
    assert first["message"] == r"'lone \ud800'"
    assert second["circle"] == "'[[...]]'" or second["circle"] == "[[...]]"


def test_long_texts_are_cut(lines: Lines) -> None:
    logger.info("x" * 100_000, extra={"body": "y" * 100_000})
    (line,) = lines()
    assert len(line["message"]) == len(line["body"]) == MAX_TEXT


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.dictionaries(st.text(min_size=1).filter(lambda key: key != "message"), st.text()))
def test_any_record_is_one_line_of_json(message: str, extra: dict[str, str]) -> None:
    record = logging.makeLogRecord({"msg": message, "name": "n", "levelname": "INFO"})
    for key, value in extra.items():
        record.__dict__.setdefault(key, value)
    line = JsonFormatter("s", Redactor([])).format(record)
    assert "\n" not in line
    assert json.loads(line)["level"] == "INFO"


def test_secrets_are_masked(output: Output) -> None:
    configure_logging(
        InferenceSettings(
            nats_url="nats://fleet:pass-in-url@nats:4222",
            nats_password=SecretStr('quo"ted-secret'),
            vllm_api_key=SecretStr("sk-secret-key"),
            otel_exporter_otlp_headers=SecretStr("x-api-key=header-secret,b=two%20words"),
        ),
        "chat-handler",
    )
    secrets = ['quo"ted-secret', "sk-secret-key", "header-secret", "two words", "pass-in-url", "tok.en"]
    try:
        raise ConnectionError("nats://fleet:pass-in-url@nats:4222 said no to sk-secret-key")
    except ConnectionError:
        logger.exception("url nats://fleet:pass-in-url@nats:4222", extra={"headers": {"k": secrets[:4]}})
    logger.error("Authorization: Bearer tok.en")
    written = output()
    assert "@nats:4222" in written
    for secret in secrets:
        assert secret not in written
        assert json.dumps(secret)[1:-1] not in written
    assert len(written.splitlines()) == len([json.loads(line) for line in written.splitlines()]) == 2


def test_a_secret_within_another_leaves_no_rest() -> None:
    assert Redactor(["abcd", "abcd-efgh"])("key abcd-efgh abcd") == "key *** ***"


def test_a_very_short_secret_does_not_shred_the_log() -> None:
    assert Redactor(["a", ""])("a banana") == "a banana"


def test_an_address_without_credentials_is_left_alone() -> None:
    line = "see http://host:80/path?a=b@c and mail me@example.org"
    assert Redactor([])(line) == line


def test_text_form_is_for_people_and_cannot_be_forged(output: Output, ended: list[RecordingSpan]) -> None:
    configure_logging(Settings(log_format="text"), "chat-handler")
    with span("process"):
        logger.warning("hello\n2026 INFO forged", extra={"subject": "a\x1b[31m"})
    try:
        raise ValueError("v")
    except ValueError:
        logger.exception("failed")
    first, second, *rest = output().splitlines()
    assert "WARNING handler_base.test: hello\\n2026 INFO forged subject=a\\x1b[31m trace_id=" in first
    assert ended[0].trace_id in first
    assert "ERROR" in second
    assert rest[-1] == "ValueError: v"


def test_the_level_counts_and_third_parties_are_tamed(output: Output) -> None:
    configure_logging(Settings(log_level="DEBUG"), "s")
    logger.debug("ours")
    logging.getLogger("nats").error("theirs")
    logging.getLogger("pymilvus.decorators").error("theirs")
    logging.getLogger("aiohttp.access").info("theirs")
    logging.getLogger("aiohttp.server").error("worth a line")
    messages = [json.loads(line)["message"] for line in output().splitlines()]
    assert messages == ["ours", "worth a line"]
    configure_logging(Settings(log_level="ERROR"), "s")
    logger.warning("too low")
    assert "too low" not in output()


def test_configuring_again_replaces_our_handler_and_leaves_others(output: Output) -> None:
    other = logging.NullHandler()
    root = logging.getLogger()
    root.addHandler(other)
    configure_logging(Settings(), "a")
    before = len(root.handlers)
    configure_logging(Settings(), "b")
    assert other in root.handlers
    assert len(root.handlers) == before
    logger.info("once")
    assert [json.loads(line)["service"] for line in output().splitlines()] == ["b"]


def test_a_line_that_cannot_be_made_costs_nothing_but_itself(
    output: Output, monkeypatch: pytest.MonkeyPatch, counted: Callable[..., float]
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    configure_logging(Settings(), "s")
    broken = logging.makeLogRecord({"name": "x", "levelno": logging.INFO, "msg": "%d", "args": ("no number",)})
    for handler in logging.getLogger().handlers:
        if type(handler).__module__.startswith("handler_base"):
            handler.handle(broken)
    logger.info("next")
    assert [json.loads(line)["message"] for line in output().splitlines()] == ["next"]
    assert counted("fleet_swallowed_errors_total", where="logging") == 1
