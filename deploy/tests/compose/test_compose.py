"""The compose files: hardened, pinned, health-gated, and in step with the settings and accounts they use."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import nats
import pytest
import yaml

from chat_handler import ChatSettings
from deploy.compose.environment import EXAMPLE, make_environment, read_environment
from deploy.images.targets import APART, LOCAL, ROOT, SERVICES
from handler_base.config import Settings
from handler_base.testing.nats_server import NatsServer
from pipeline_bridge.settings import BridgeSettings
from stt_module.settings import SttSettings
from tts_module.settings import TtsSettings
from voice_assistant.settings import VoiceSettings

COMPOSE = ROOT / "deploy" / "compose"
SETTINGS: dict[str, type[Settings]] = {
    "chat-handler": ChatSettings,
    "voice-assistant": VoiceSettings,
    "stt-module": SttSettings,
    "tts-module": TtsSettings,
    "pipeline-bridge": BridgeSettings,
}
UNCHECKED = {"otel-collector", "jaeger"}
"""Images of one program, with nothing in them to ask it with; nobody waits for them."""
ENDING = {"volumes", "ingest", "ollama-model"}
"""Run once."""
VARIABLE = re.compile(r"\$\{(\w+)")


class _Loader(yaml.SafeLoader):
    """Knows the tag of compose for what takes the place of a list, and is not put to its end."""


def _replacing(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> list[Any]:
    values: list[Any] = loader.construct_sequence(node)
    return values


_Loader.add_constructor("!override", _replacing)


def _read(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.load((COMPOSE / name).read_text("utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    return read


BASE = _read("compose.yaml")["services"]
OFFLINE = _read("compose.offline.yaml")["services"]


def _image(service: dict[str, Any]) -> str:
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["image"])


@pytest.mark.parametrize("name", sorted(BASE))
def test_a_container_may_do_no_more_than_it_has_to(name: str) -> None:
    service = BASE[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in service
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", sorted(BASE))
def test_an_image_has_a_version_that_stays(name: str) -> None:
    tag = _image(BASE[name]).rpartition(":")[2]
    assert re.search(r"\d+\.\d+", tag), _image(BASE[name])
    assert "latest" not in tag


@pytest.mark.parametrize("name", sorted(BASE))
def test_health_is_asked_without_a_shell(name: str) -> None:
    check = BASE[name]["healthcheck"]
    if name in UNCHECKED | ENDING:
        assert check == {"disable": True}
    else:
        assert check["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_of_the_fleet_is_asked_whether_it_is_ready(name: str) -> None:
    service = BASE[name]
    assert service["healthcheck"]["test"] == ["CMD", "python3", "-m", "handler_base.probe", "ready"]
    assert service["user"] == "65532:65532"
    assert service["depends_on"]["nats"] == {"condition": "service_healthy"}
    assert int(service["stop_grace_period"].removesuffix("s")) > SETTINGS[name]().drain_timeout


def test_who_is_waited_for_can_be_waited_for() -> None:
    for name, service in BASE.items():
        for other, how in service.get("depends_on", {}).items():
            ends = how["condition"] == "service_completed_successfully"
            assert ends == (other in ENDING), (name, other)
            assert other not in UNCHECKED


@pytest.mark.parametrize("name", SERVICES)
def test_every_setting_exists(name: str) -> None:
    # What all are told of the model servers may be for another of them.
    known = {field.upper() for settings in SETTINGS.values() for field in settings.model_fields}
    own = {**BASE[name]["environment"], **OFFLINE.get(name, {}).get("environment", {})}
    assert set(own) - known == set()


def test_every_service_logs_in_as_itself_with_its_own_inbox() -> None:
    for name in SERVICES:
        environment = BASE[name]["environment"]
        assert environment["NATS_USER"] == name
        assert environment["NATS_INBOX_PREFIX"] == f"_INBOX_{name}"
        assert environment["NATS_PASSWORD"] == f"${{NATS_PASSWORD_{name.replace('-', '_').upper()}:?}}"


def test_the_example_names_every_variable_and_no_other() -> None:
    used = set()
    for name in ("compose.yaml", "compose.offline.yaml"):
        used |= set(VARIABLE.findall((COMPOSE / name).read_text("utf-8")))
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", EXAMPLE.read_text("utf-8"), re.MULTILINE))
    assert named == used | {"COMPOSE_PROFILES"}


def test_images_of_the_fleet_are_ones_that_are_built() -> None:
    names = {_image(service) for service in [*BASE.values(), *(one for one in OFFLINE.values() if "image" in one)]}
    own = {name.removeprefix("localhost/ai-services/").rpartition(":")[0] for name in names if "localhost" in name}
    assert own <= {*SERVICES, *APART, *LOCAL}
    assert set(SERVICES) <= own


def test_what_differs_without_a_registry_is_told_of_services_there_are() -> None:
    assert OFFLINE.keys() <= BASE.keys()
    published = [name for name, service in BASE.items() if "localhost" not in _image(service)]
    always = [name for name in published if "profiles" not in BASE[name]]
    replaced = {name for name, service in OFFLINE.items() if "image" in service or "profiles" in service}
    assert set(always) <= replaced


def test_checks_are_replaced_and_not_put_together() -> None:
    """podman-compose puts checks of two files together where Docker's compose replaces them, unless it is told.

    What it is told to replace it takes as it is, so there is no variable in it.
    """
    text = (COMPOSE / "compose.offline.yaml").read_text("utf-8")
    assert re.findall(r"^ +test: (?!!override )", text, re.MULTILINE) == []
    assert re.findall(r"!override .*\$\{", text) == []


def test_volumes_are_declared_and_files_exist() -> None:
    declared = _read("compose.yaml")["volumes"].keys() | _read("compose.offline.yaml")["volumes"].keys()
    for service in [*BASE.values(), *OFFLINE.values()]:
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (COMPOSE / source).exists() if source.startswith(".") else source in declared


def test_prometheus_asks_every_service_under_its_own_name() -> None:
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in _read("prometheus.yaml")["scrape_configs"]}
    assert jobs == {name: [f"{name}:8080"] for name in SERVICES}


def test_the_collector_passes_on_what_services_send_it() -> None:
    config = _read("otel-collector.yaml")
    port = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    assert BASE["chat-handler"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://otel-collector:{port}"
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= config[kind].keys()


@pytest.mark.parametrize("profile", ["local", "models", "gpu"])
def test_every_profile_has_all_model_servers_once(profile: str) -> None:
    aliases = [
        alias
        for service in BASE.values()
        if profile in service.get("profiles", [])
        for alias in service.get("networks", {}).get("default", {}).get("aliases", [])
    ]
    assert sorted(aliases) == ["embeddings", "llm", "reranker", "stt", "tts"]


def test_passwords_are_made_once_and_only_where_they_are_missing(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("VALKEY_PASSWORD=mine\nPOSTGRES_PASSWORD=\nLOG_LEVEL=\n", "utf-8")
    assert make_environment(path)
    made = read_environment(path)
    assert made["VALKEY_PASSWORD"] == "mine"
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]{31}", made["POSTGRES_PASSWORD"])
    assert "LOG_LEVEL" not in made
    assert not make_environment(path)
    assert read_environment(path) == made


def test_the_environment_is_made_from_the_example_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    assert make_environment(path)
    made = read_environment(path)
    passwords = [value for name, value in made.items() if "PASSWORD" in name]
    assert len(set(passwords)) == len(passwords) == 13
    assert made["COMPOSE_PROFILES"] == "local"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.nats
async def test_the_server_of_compose_lets_in_whom_it_should(tmp_path: Path) -> None:
    """Its own configuration, but for where it listens and keeps things."""
    make_environment(tmp_path / ".env")
    passwords = read_environment(tmp_path / ".env")
    accounts = (ROOT / "deploy" / "nats" / "accounts.conf").read_text("utf-8")
    environment = {name: passwords.get(name, value) for name, value in BASE["nats"]["environment"].items()}
    config = (COMPOSE / "nats.conf").read_text("utf-8").replace("/data", str(tmp_path / "data"))
    config = re.sub(r"^(listen|http|server_name):.*\n", "", config, flags=re.MULTILINE)
    assert 'include "accounts.conf"' in config
    config = config.replace('include "accounts.conf"', accounts)
    with NatsServer(config, jetstream=False, environment=environment) as server:
        for name in (*SERVICES, "operator", "client"):
            password = passwords[f"NATS_PASSWORD_{name.replace('-', '_').upper()}"]
            connection = await nats.connect(server.url, user=name, password=password)
            assert connection.is_connected
            await connection.close()
