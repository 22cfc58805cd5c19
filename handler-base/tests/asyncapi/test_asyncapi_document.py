from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from handler_base.asyncapi import document, to_yaml
from handler_base.messages import MESSAGES
from handler_base.messages.streams import STREAMS
from handler_base.messages.subjects import ALL

ROOT = Path(__file__).parents[3]
SERVICES = {"chat-handler", "voice-assistant", "stt-module", "tts-module", "pipeline-bridge"}


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return document()


def test_the_file_that_is_checked_in_is_current() -> None:
    assert (ROOT / "docs" / "asyncapi.yaml").read_text(encoding="utf-8") == to_yaml(document()), "run `make docs`"


def test_yaml_says_what_the_document_says(whole: dict[str, Any]) -> None:
    assert yaml.safe_load(to_yaml(whole)) == whole


def test_the_command_writes_the_file(tmp_path: Path, whole: dict[str, Any]) -> None:
    path = tmp_path / "asyncapi.yaml"
    subprocess.run([sys.executable, "-m", "handler_base.asyncapi", str(path)], check=True)
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == whole


def test_the_command_writes_to_standard_output(whole: dict[str, Any]) -> None:
    done = subprocess.run([sys.executable, "-m", "handler_base.asyncapi"], check=True, capture_output=True)
    assert yaml.safe_load(done.stdout) == whole


def test_every_subject_is_a_channel(whole: dict[str, Any]) -> None:
    addresses = [channel["address"] for channel in whole["channels"].values() if channel["address"] is not None]
    assert sorted(addresses) == sorted(subject.template for subject in ALL)
    for channel in whole["channels"].values():
        names = set(channel.get("parameters", {}))
        assert all(f"{{{name}}}" in channel["address"] for name in names)


def test_every_message_has_a_schema_and_both_encodings(whole: dict[str, Any]) -> None:
    for schema in MESSAGES:
        message = whole["components"]["messages"][schema.__name__]
        assert message["name"] == schema.schema_name
        assert message["x-content-types"] == ["application/msgpack", "application/x-protobuf"]
        properties = whole["components"]["schemas"][schema.__name__]["properties"]
        assert list(properties) == list(schema.__struct_fields__)


def test_every_stream_is_there(whole: dict[str, Any]) -> None:
    assert list(whole["x-jetstream-streams"]) == [stream.name for stream in STREAMS]
    named = {channel.get("x-jetstream-stream") for channel in whole["channels"].values()}
    assert named - {None} == set(whole["x-jetstream-streams"])


def test_every_service_receives_and_sends(whole: dict[str, Any]) -> None:
    seen = {(operation["tags"][0]["name"], operation["action"]) for operation in whole["operations"].values()}
    assert seen == {(service, action) for service in SERVICES for action in ("send", "receive")}


def test_requests_have_a_reply(whole: dict[str, Any]) -> None:
    replies = {
        name: [message["$ref"].rpartition("/")[2] for message in operation["reply"]["messages"]]
        for name, operation in whole["operations"].items()
        if "reply" in operation
    }
    assert replies == {
        "chat_handler_receives_chat_request": ["ChatResponse", "ErrorResponse"],
        "voice_assistant_receives_voice_request_legacy": ["VoiceResponse", "ErrorResponse"],
        "voice_assistant_receives_voice_request": ["VoiceResponse", "ErrorResponse"],
        "tts_module_receives_tts_voices_list": ["TTSVoiceListResponse", "ErrorResponse"],
        "tts_module_receives_tts_voices_refresh": ["TTSVoiceRefreshResponse", "ErrorResponse"],
        "pipeline_bridge_receives_pipeline_trigger": ["PipelineStatus", "ErrorResponse"],
    }


def test_every_reference_leads_somewhere(whole: dict[str, Any]) -> None:
    for reference in _references(whole):
        found: Any = whole
        for part in reference.removeprefix("#/").split("/"):
            assert part in found, reference
            found = found[part]


def test_bytes_are_binary(whole: dict[str, Any]) -> None:
    audio = whole["components"]["schemas"]["VoiceRequest"]["properties"]["audio"]
    assert audio == {"type": "string", "format": "binary"}


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
