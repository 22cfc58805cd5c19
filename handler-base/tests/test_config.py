from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from handler_base import config
from handler_base.config import InferenceSettings, RagSettings, SessionSettings, Settings


class EverySetting(RagSettings, SessionSettings):
    """What a service that uses all groups reads."""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without .env, and none of our variables in the environment."""
    monkeypatch.chdir(tmp_path)
    ours = {f"{name.upper()}{ending}" for name in EverySetting.model_fields for ending in ("", "_FILE")}
    for name in os.environ:
        if name.upper() in ours:
            monkeypatch.delenv(name)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = EverySetting()
    assert settings.nats_url == "nats://localhost:4222"
    assert settings.vllm_url == "http://localhost:8000/v1"
    assert settings.milvus_port == 19530
    assert settings.collection_name == "knowledge_base"
    assert settings.log_level == "INFO"
    assert settings.streams_mode == "create"
    assert settings.max_question_age == 3600
    assert settings.session_ttl == 7 * 24 * 3600


def test_the_environment_is_read_without_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://one:4222, nats://two:4222,")
    monkeypatch.setenv("milvus_port", "1234")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    settings = RagSettings()
    assert settings.nats_servers == ["nats://one:4222", "nats://two:4222"]
    assert (settings.milvus_port, settings.log_level) == (1234, "DEBUG")


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "")
    monkeypatch.setenv("MILVUS_PORT", "")
    settings = RagSettings()
    assert (settings.nats_url, settings.milvus_port) == ("nats://localhost:4222", 19530)


def test_a_secret_is_read_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n", encoding="utf-8")
    monkeypatch.setenv("NATS_PASSWORD_FILE", str(tmp_path / "password"))
    assert Settings().nats_password.get_secret_value() == "s3cret"


def test_an_empty_file_is_a_value_that_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("\n", encoding="utf-8")
    monkeypatch.setenv("NATS_URL_FILE", str(tmp_path / "url"))
    assert Settings().nats_url == "nats://localhost:4222"


def test_a_file_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NATS_TOKEN_FILE", str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError, match="absent"):
        Settings()


def test_the_nearer_source_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NATS_USER=env-file\nNATS_TOKEN=env-file\nNATS_CREDS=env-file\n", encoding="utf-8")
    (tmp_path / "value").write_text("file", encoding="utf-8")
    monkeypatch.setenv("NATS_USER_FILE", str(tmp_path / "value"))
    monkeypatch.setenv("NATS_TOKEN_FILE", str(tmp_path / "value"))
    monkeypatch.setenv("NATS_TOKEN", "environment")
    settings = Settings()
    assert settings.nats_user == "file"
    assert settings.nats_token.get_secret_value() == "environment"
    assert settings.nats_creds == "env-file"
    assert Settings(nats_user="argument").nats_user == "argument"


@pytest.mark.parametrize(
    ("value", "subjects"),
    [("web.>", ("web.>",)), (" web.> , app.*.reply ,", ("web.>", "app.*.reply")), (",", ()), ("", ())],
)
def test_lists_are_separated_by_commas(value: str, subjects: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_RESPONSE_SUBJECTS", value)
    assert Settings().allowed_response_subjects == subjects


def test_a_list_may_be_given_in_code_and_in_an_env_file(tmp_path: Path) -> None:
    assert Settings(allowed_response_subjects=("a.>", "b")).allowed_response_subjects == ("a.>", "b")
    (tmp_path / ".env").write_text("ALLOWED_RESPONSE_SUBJECTS=a.>,b\n", encoding="utf-8")
    assert Settings().allowed_response_subjects == ("a.>", "b")


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SOMETHING_ELSE=1\n", encoding="utf-8")
    monkeypatch.setenv("NATS_URLS", "nats://elsewhere")
    assert Settings().nats_url == "nats://localhost:4222"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_CONCURRENCY", "0"),
        ("MAX_DELIVER", "0"),
        ("ACK_WAIT", "-1"),
        ("ACK_WAIT", "inf"),
        ("SESSION_TTL", "nan"),
        ("LOG_LEVEL", "LOUD"),
        ("STREAMS_MODE", "delete"),
        ("STREAM_REPLICAS", "6"),
        ("HEALTH_PORT", "70000"),
        ("MILVUS_API", "soap"),
        ("RERANK_MIN_SCORE", "2"),
        ("LLM_TEMPERATURE", "hot"),
        ("LLM_DIALECT", "tei"),
        ("EMBEDDINGS_DIALECT", "cohere"),
        ("RERANKER_DIALECT", "openai"),
        ("WHISPER_DIALECT", "OpenAI"),
        ("TTS_DIALECT", "whispercpp"),
        ("VLLM_URL", "localhost:8000"),
        ("WHISPER_URL", "http://localhost:8003,http://"),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        EverySetting()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().nats_url = "nats://elsewhere"  # type: ignore[misc]  # that it is frozen is what is tested


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [name for name, field in EverySetting.model_fields.items() if field.annotation is SecretStr]
    assert len(secrets) >= 8
    for name in secrets:
        monkeypatch.setenv(name.upper(), "s3cret")
    assert "s3cret" not in repr(EverySetting())
    assert "s3cret" not in str(EverySetting().model_dump())


@pytest.mark.parametrize("group", [Settings, InferenceSettings, RagSettings, SessionSettings])
def test_every_setting_says_what_it_is(group: Any) -> None:  # noqa: ANN401 - a settings class
    assert all(field.description for field in group.model_fields.values())
    assert group.__name__ in config.__all__
