from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from datetime import timedelta

import nats
import pytest

from handler_base.errors import UpstreamUnavailableError
from handler_base.messages.streams import STREAMS, StreamSpec
from handler_base.nats_client import ApiError, JetStreamApi, NatsConnection, StreamManager
from handler_base.testing.nats_connect import Connect
from handler_base.testing.nats_server import NatsServer


@pytest.fixture
def spec() -> StreamSpec:
    name = f"S{uuid.uuid4().hex[:12]}"
    return StreamSpec(name, (f"streams.{name}.*",), timedelta(hours=1), "file", "For a test.")


async def config_of(connection: NatsConnection, name: str) -> dict[str, object]:
    info = await JetStreamApi(connection).stream_info(name)
    assert not isinstance(info, ApiError)
    return info.config


async def test_a_stream_is_made_as_the_contract_says(connection: NatsConnection, spec: StreamSpec) -> None:
    manager = StreamManager(connection)
    assert await manager.verify([spec]) == (f"Stream {spec.name} does not exist.",)
    assert await manager.ensure([spec]) == ()
    assert await manager.verify([spec]) == ()
    config = await config_of(connection, spec.name)
    assert config["subjects"] == list(spec.subjects)
    assert config["max_age"] == 3_600_000_000_000
    assert (config["retention"], config["storage"], config["num_replicas"]) == ("limits", "file", 1)


async def test_what_differs_is_named_and_then_changed(connection: NatsConnection, spec: StreamSpec) -> None:
    manager = StreamManager(connection)
    await manager.ensure([spec])
    wanted = dataclasses.replace(
        spec,
        subjects=(f"streams.{spec.name}.>",),
        max_age=timedelta(days=1),
        duplicate_window=timedelta(minutes=5),
        description="Changed.",
    )
    assert await manager.verify([wanted]) == (
        f"Stream {spec.name}: subjects is streams.{spec.name}.*, should be streams.{spec.name}.>.",
        f"Stream {spec.name}: max_age is 3600 s, should be 86400 s.",
        f"Stream {spec.name}: duplicate_window is 120 s, should be 300 s.",
    )
    assert await manager.ensure([wanted]) == ()
    assert await manager.verify([wanted]) == ()
    assert (await config_of(connection, spec.name))["description"] == "Changed."


async def test_what_an_operator_set_besides_stays(connection: NatsConnection, spec: StreamSpec, nats_url: str) -> None:
    manager = StreamManager(connection)
    await manager.ensure([spec])
    config = {**await config_of(connection, spec.name), "max_bytes": 1_000_000}
    assert not isinstance(await JetStreamApi(connection).update_stream(config), ApiError)
    assert await manager.ensure([dataclasses.replace(spec, max_age=timedelta(hours=2))]) == ()
    assert (await config_of(connection, spec.name))["max_bytes"] == 1_000_000


async def test_what_cannot_be_changed_is_said_and_nothing_is_deleted(
    connection: NatsConnection, spec: StreamSpec
) -> None:
    manager = StreamManager(connection)
    await manager.ensure([spec])
    await connection.jetstream_publish(f"streams.{spec.name}.a", b"kept")
    [told] = await manager.ensure([dataclasses.replace(spec, storage="memory")])
    assert told.startswith(f"Stream {spec.name}: storage is file, should be memory.")
    assert "cannot be changed" in told
    info = await JetStreamApi(connection).stream_info(spec.name)
    assert not isinstance(info, ApiError)
    assert info.state.messages == 1


async def test_a_stream_in_the_way_is_named(connection: NatsConnection, spec: StreamSpec) -> None:
    manager = StreamManager(connection)
    await manager.ensure([spec])
    second = dataclasses.replace(spec, name=f"{spec.name}2", subjects=(f"streams.{spec.name}.>",))
    assert await manager.ensure([second]) == (
        f"Stream {second.name} cannot be made: {spec.name} captures some of its subjects.",
    )


async def test_replicas_that_a_lone_server_cannot_hold_are_told(connection: NatsConnection, spec: StreamSpec) -> None:
    [told] = await StreamManager(connection, replicas=3).ensure([spec])
    assert "replicas" in told


async def test_all_streams_of_the_contract_live_side_by_side(connect: Connect, own_server: NatsServer) -> None:
    connection = await connect(own_server.url)
    manager = StreamManager(connection)
    assert await manager.ensure(STREAMS) == ()
    assert await manager.ensure(STREAMS) == ()
    assert await manager.verify(STREAMS) == ()
    names = await JetStreamApi(connection).stream_names()
    assert names == sorted(spec.name for spec in STREAMS)


@pytest.fixture
def plain_server() -> Iterator[NatsServer]:
    with NatsServer(jetstream=False) as server:
        yield server


async def test_without_jetstream_it_says_so(connect: Connect, plain_server: NatsServer, spec: StreamSpec) -> None:
    connection = await connect(plain_server.url)
    with pytest.raises(UpstreamUnavailableError):
        await StreamManager(connection).ensure([spec])


async def test_a_published_message_is_acknowledged_once(connection: NatsConnection, spec: StreamSpec) -> None:
    await StreamManager(connection).ensure([spec])
    subject = f"streams.{spec.name}.a"
    first = await connection.jetstream_publish(subject, b"1", headers={"A": "b"}, message_id="x")
    again = await connection.jetstream_publish(subject, b"1", message_id="x")
    assert (first.stream, first.sequence, first.duplicate) == (spec.name, 1, False)
    assert (again.sequence, again.duplicate) == (1, True)


async def test_an_independent_client_sees_the_stream(
    connection: NatsConnection, spec: StreamSpec, nats_url: str
) -> None:
    await StreamManager(connection).ensure([spec])
    peer = await nats.connect(nats_url)
    info = await peer.jetstream().stream_info(spec.name)
    await peer.close()
    assert info.config.subjects == list(spec.subjects)
    assert info.config.max_age == 3600
