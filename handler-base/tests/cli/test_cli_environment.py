"""Where the settings of a command come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from handler_base.testing.nats_server import NatsServer, free_port

from .conftest import Fleet


def write_local_environment(folder: Path, url: str) -> None:
    (folder / ".local").mkdir()
    (folder / ".local" / "env").write_text(f"# written by the local stack\nNATS_URL={url}\nOTHER=1\n", encoding="utf-8")


@pytest.mark.parametrize("below", [".", "deep/er"])
async def test_the_local_stack_is_the_fallback(
    offline: Fleet, own_nats: NatsServer, folder: Path, below: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_local_environment(folder, own_nats.url)
    (folder / below).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder / below)
    assert (await offline("streams")).code == 0


async def test_a_dotenv_file_wins_over_the_local_stack(offline: Fleet, own_nats: NatsServer, folder: Path) -> None:
    write_local_environment(folder, f"nats://127.0.0.1:{free_port()}")
    (folder / ".env").write_text(f"NATS_URL={own_nats.url}\n", encoding="utf-8")
    assert (await offline("streams")).code == 0


async def test_the_environment_wins_over_files(
    offline: Fleet, own_nats: NatsServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_local_environment(folder, f"nats://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NATS_URL", own_nats.url)
    assert (await offline("streams")).code == 0


async def test_the_option_wins_over_all(
    offline: Fleet, own_nats: NatsServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", f"nats://127.0.0.1:{free_port()}")
    assert (await offline("--nats-url", own_nats.url, "streams")).code == 0


async def test_a_setting_that_is_not_valid_is_named(offline: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_REPLICAS", "many")
    run = await offline("streams")
    assert run.code == 2
    assert run.err.startswith("fleet: STREAM_REPLICAS is not valid: ")
    assert "Set it in the environment or in .env." in run.err


async def test_an_unreadable_file_is_told(offline: Fleet, folder: Path) -> None:
    (folder / ".env").write_bytes(b"NATS_URL=\xff\xfe\n")
    run = await offline("streams")
    assert run.code == 2
    assert "The settings cannot be read" in run.err


async def test_refused_credentials(offline: Fleet) -> None:
    server = NatsServer(config='authorization { token: "right" }')
    await server.start_async()
    try:
        run = await offline("--nats-url", f"nats://wrong@127.0.0.1:{server.port}", "status")
    finally:
        server.close()
    assert run.code == 3
    assert "refuses the credentials; check NATS_USER" in run.err
    assert "wrong" not in run.err


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nats://127.0.0.1:none", "nats://[::1"])
async def test_an_address_that_is_none(offline: Fleet, url: str) -> None:
    run = await offline("--nats-url", url, "status")
    assert run.code in {2, 3}
    assert run.err.count("\n") == 1
