"""What is set is used in place of the local part; ports move, and are told when they are taken."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.environment import PORTS, StackSettings, read_settings, write_environment
from deploy.local.ingest import CORPUS, fingerprint
from deploy.local.parts import INFERENCE_URLS, embedded, infrastructure, services
from deploy.local.ports import PortClaim, conflicts
from deploy.local.screen import without_password
from handler_base.errors import InvalidRequestError
from handler_base.testing.nats_server import free_port


def settings(root: Path, **environment: str) -> StackSettings:
    return read_settings(root, environment)


def started(told: StackSettings) -> list[str]:
    return [part.spec.name for part in infrastructure(told)[0]]


def offered(told: StackSettings) -> dict[str, str]:
    return {name: value for part in infrastructure(told)[0] for name, value in part.offers.items()}


def test_without_settings_everything_is_local(tmp_path: Path) -> None:
    told = settings(tmp_path)

    assert started(told) == ["nats-server", "milvus-lite", "redis-server", "inference"]
    assert offered(told) == {
        "NATS_URL": "nats://127.0.0.1:4222",
        "MILVUS_HOST": "127.0.0.1",
        "MILVUS_PORT": "19530",
        "MILVUS_API": "grpc",
        "REDIS_URL": "redis://127.0.0.1:6379/0",
        "VLLM_URL": "http://127.0.0.1:8000/v1",
        "EMBEDDINGS_URL": "http://127.0.0.1:8000",
        "RERANKER_URL": "http://127.0.0.1:8000",
        "RERANK_MIN_SCORE": "0.03",
        "WHISPER_URL": "http://127.0.0.1:8000",
        "TTS_URL": "http://127.0.0.1:8000",
    }
    assert told.state == tmp_path / ".local"


@pytest.mark.parametrize(
    ("variable", "part"), [("NATS_URL", "nats-server"), ("MILVUS_HOST", "milvus-lite"), ("REDIS_URL", "redis-server")]
)
def test_what_is_set_takes_the_place_of_the_local_part(tmp_path: Path, variable: str, part: str) -> None:
    told = settings(tmp_path, **{variable: "elsewhere"})

    assert part not in started(told)
    assert variable not in offered(told)
    assert [server.variable for server in infrastructure(told)[1]] == [variable]


def test_a_file_with_the_setting_counts_as_set(tmp_path: Path) -> None:
    assert "nats-server" not in started(settings(tmp_path, NATS_URL_FILE="/run/secrets/nats"))


def test_an_empty_value_counts_as_not_set(tmp_path: Path) -> None:
    assert "redis-server" in started(settings(tmp_path, REDIS_URL=""))


def test_the_archive_is_a_file_of_the_stack_unless_it_is_set(tmp_path: Path) -> None:
    assert embedded(settings(tmp_path))["ARCHIVE_URL"] == f"sqlite:///{tmp_path}/.local/archive.db"
    assert "ARCHIVE_URL" not in embedded(settings(tmp_path, ARCHIVE_URL="postgresql://db/fleet"))


def test_pipelines_read_what_the_user_may_and_write_beside_the_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ann b")
    given = embedded(settings(tmp_path))
    assert given["ARTIFACTS_DIR"] == f"{tmp_path}/.local/artifacts"
    assert given["SOURCE_URLS"].split(",")[:2] == [f"file://{tmp_path}/", "file:///home/ann%20b/"]
    assert "SOURCE_URLS" not in embedded(settings(tmp_path, SOURCE_URLS="file:///srv/docs/"))


def test_a_partly_set_group_leaves_the_rest_to_the_local_server(tmp_path: Path) -> None:
    told = settings(tmp_path, VLLM_URL="http://llm:11434", RERANK_MIN_SCORE="0.2")

    assert "inference" in started(told)
    found = offered(told)
    assert "VLLM_URL" not in found
    assert "RERANK_MIN_SCORE" not in found
    assert found["EMBEDDINGS_URL"] == found["RERANKER_URL"] == "http://127.0.0.1:8000"


def test_a_reranker_of_ones_own_keeps_its_bound(tmp_path: Path) -> None:
    assert "RERANK_MIN_SCORE" not in offered(settings(tmp_path, RERANKER_URL="http://reranker"))


def test_all_inference_urls_set_leave_out_the_local_server(tmp_path: Path) -> None:
    told = settings(tmp_path, **dict.fromkeys(INFERENCE_URLS, "http://a"))

    assert "inference" not in started(told)


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NATS_URL=nats://file:4222\nREDIS_PORT=7000\nNATS_PORT=\n")

    told = settings(tmp_path, NATS_URL="nats://environment:4222")

    assert told.given["NATS_URL"] == "nats://environment:4222"
    assert told.ports["REDIS_PORT"] == 7000
    assert told.ports["NATS_PORT"] == PORTS["NATS_PORT"]


@pytest.mark.parametrize("value", ["0", "65536", "-1", "many", "4222 ", "٤"])
def test_a_port_that_is_none_is_told(tmp_path: Path, value: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"NATS_PORT=.* is not a port"):
        settings(tmp_path, NATS_PORT=value)


def test_the_services_that_exist_get_health_ports_of_their_own(tmp_path: Path) -> None:
    found = services(settings(tmp_path, HEALTH_PORT_BASE="9000"), {"NATS_URL": "nats://here:1"})

    chat = found[0]
    assert chat.spec.name == "chat-handler"
    assert chat.spec.environment["HEALTH_PORT"] == "9000"
    assert chat.spec.environment["NATS_URL"] == "nats://here:1"
    ports = [part.claim.port for part in found]
    assert len(set(ports)) == len(ports)


def test_the_server_stores_in_the_state_folder(tmp_path: Path) -> None:
    infrastructure(settings(tmp_path, LOCAL_DIR="my state", NATS_PORT="5000"))

    config = (tmp_path / "my state" / "nats.conf").read_text()
    assert f'store_dir: "{tmp_path}/my state/nats"' in config
    assert 'listen: "127.0.0.1:5000"' in config
    assert "max_payload: 8MB" in config


def test_a_missing_program_is_told_and_says_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    missing = {part.spec.name: (part.missing, part.without) for part in infrastructure(settings(tmp_path))[0]}

    reason = "is not installed, or has no package for this platform"
    assert missing["nats-server"] == (f"nats-server {reason}", "")
    assert missing["milvus-lite"] == (f"milvus-lite {reason}", "answers are not grounded in documents")
    assert missing["redis-server"] == (f"redis-server {reason}", "conversations are not remembered")


# Ports.


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_a_port_in_use_names_what_needs_it_and_what_moves_it(taken: int) -> None:
    claims = [PortClaim(free_port(), "redis-server", "REDIS_PORT"), PortClaim(taken, "nats-server", "NATS_PORT")]

    assert conflicts(claims) == [f"port {taken}, which nats-server needs, is in use. Set NATS_PORT to another port."]


def test_a_port_in_use_tells_what_else_can_be_done(taken: int) -> None:
    (line,) = conflicts([PortClaim(taken, "nats-server", "NATS_PORT", "set NATS_URL")])

    assert line.endswith("Set NATS_PORT to another port, or set NATS_URL.")


def test_a_port_for_two_parts_is_told() -> None:
    port = free_port()

    (line,) = conflicts([PortClaim(port, "a", "A_PORT"), PortClaim(port, "b", "B_PORT")])

    assert line == f"port {port} is meant for both a and b; change B_PORT."


# What the command reads.


def test_the_addresses_are_written_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "env"
    write_environment(path, {"NATS_URL": "nats://old"})
    write_environment(path, {"NATS_URL": "nats://127.0.0.1:4222", "REDIS_URL": "redis://:s#cret'$x@host/0"})

    assert dotenv_values(path) == {"NATS_URL": "nats://127.0.0.1:4222", "REDIS_URL": "redis://:s#cret'$x@host/0"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "NATS_URL=nats://127.0.0.1:4222\n" in path.read_text()


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), max_size=40))
def test_any_value_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.getbasetemp() / "env"
    write_environment(path, {"VALUE": value})

    assert dotenv_values(path, interpolate=False) == {"VALUE": value}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("nats://user:secret@host:4222", "nats://host:4222"),
        ("nats://a:b@one:1,nats://two:2", "nats://one:1,nats://two:2"),
        ("redis://:secret@host/0", "redis://host/0"),
        ("milvus:19530", "milvus:19530"),
        ("http://host/path@1", "http://host/path@1"),
    ],
)
def test_passwords_are_not_shown(address: str, shown: str) -> None:
    assert without_password(address) == shown


# When the corpus is ingested again.


def corpus(root: Path) -> Path:
    document = root / CORPUS / "a.md"
    document.parent.mkdir(parents=True)
    document.write_text("One.")
    return document


def test_a_changed_document_changes_the_fingerprint(tmp_path: Path) -> None:
    document = corpus(tmp_path)
    before = fingerprint(settings(tmp_path))
    document.write_text("Two.")

    assert fingerprint(settings(tmp_path)) != before


@pytest.mark.parametrize("variable", ["EMBEDDINGS_URL", "MILVUS_HOST", "COLLECTION_NAME", "EMBEDDINGS_MODEL"])
def test_another_place_or_embedding_changes_the_fingerprint(tmp_path: Path, variable: str) -> None:
    corpus(tmp_path)

    assert fingerprint(settings(tmp_path, **{variable: "another"})) != fingerprint(settings(tmp_path))


def test_another_local_port_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    corpus(tmp_path)

    assert fingerprint(settings(tmp_path, INFERENCE_PORT="9")) == fingerprint(settings(tmp_path))
