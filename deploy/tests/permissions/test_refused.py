"""What no user may do: each tried on a real server, which refuses it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from deploy.tests.permissions.guarded import SERVICES, GuardedServer, LogIn, refused
from handler_base.errors import PermissionDeniedError
from handler_base.messages.streams import STREAMS
from handler_base.messages.subjects import ALL, CLIENT, DEAD_LETTER, Subject, is_ingress
from handler_base.nats_client import ConnectionOptions, NatsConnection

NAMES = tuple(SERVICES)
EVENTS = [subject for subject in ALL if ".event." in subject.template]

FORBIDDEN_TO_ALL_SERVICES = (
    # Destroying, looking into and copying what is kept.
    *(f"$JS.API.STREAM.{verb}.{stream.name}" for stream in STREAMS for verb in ("DELETE", "PURGE", "MSG.DELETE")),
    *("$JS.API.STREAM.SNAPSHOT.COMPANIONS_CHAT", "$JS.API.STREAM.RESTORE.COMPANIONS_CHAT", "$JS.API.STREAM.LIST"),
    *("$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.CREATE.KV_mine", "$JS.API.STREAM.LEADER.STEPDOWN.AI_EVENTS"),
    *("$JS.API.ACCOUNT.PURGE.AI", "$JS.API.SERVER.REMOVE", "$JS.API.META.LEADER.STEPDOWN"),
    # Consumers of one's own making, and those of others.
    *(f"$JS.API.CONSUMER.CREATE.{stream.name}" for stream in STREAMS),
    *(f"$JS.API.CONSUMER.CREATE.{stream.name}.spy" for stream in STREAMS),
    *(f"$JS.API.CONSUMER.DURABLE.CREATE.{stream.name}.spy" for stream in STREAMS),
    *("$JS.API.CONSUMER.DELETE.COMPANIONS_CHAT.chat-handler", "$JS.API.CONSUMER.MSG.NEXT.AI_EVENTS.spy"),
    *("$JS.API.CONSUMER.PAUSE.COMPANIONS_CHAT.chat-handler", "$JS.API.CONSUMER.LIST.AI_EVENTS"),
    *("$JS.API.DIRECT.GET.AI_DEAD_LETTER.ai.dlq.x.y", "$JS.API.STREAM.MSG.GET.AI_DEAD_LETTER"),
    # What is not the fleet's.
    *("$KV.settings.key", "$O.audio.C.x", "$SYS.REQ.SERVER.PING", "$SRV.PING", "$SRV.STATS.chat-handler"),
    *("ai.dlq.COMPANIONS_CHAT.other", "ai.dlq.core.x", "orders.new", "ai.unknown", "_INBOX_streams.x", "voice.x"),
)
NOT_HEARD_BY_SERVICES = (
    *(">", "*", "*.>", "ai.>", "ai.*.*", "ai.chat.>", "ai.voice.>", "ai.pipeline.>", "_INBOX.>", "_INBOX.*"),
    *("$JS.>", "$JS.API.>", "$JS.ACK.>", "$JS.EVENT.ADVISORY.>", "$SYS.>", "$SRV.>", "$KV.>", "$O.>", "ai.dlq.>"),
    *("ai.chat.user.*.message", "ai.chat.user.ann.message", "ai.chat.response.*", "ai.voice.user.*.request"),
)


@pytest.fixture(scope="module")
def server() -> Iterator[GuardedServer]:
    with GuardedServer() as running:
        yield running


def filled(subject: Subject) -> str:
    """Return a concrete subject."""
    return subject.format(**dict.fromkeys(subject.placeholders, "x"))


@pytest.mark.parametrize("name", NAMES)
async def test_a_service_publishes_nothing_beyond_its_own(server: GuardedServer, log_in: LogIn, name: str) -> None:
    connection = await log_in(server, name)
    foreign = {filled(subject) for subject in ALL if name not in subject.publishers and is_ingress(filled(subject))}
    if SERVICES[name].publishes:
        foreign -= set(SERVICES[name].publishes)
    wanted = {*foreign, *FORBIDDEN_TO_ALL_SERVICES}
    assert await refused(connection, publish=sorted(wanted)) == wanted
    assert len(wanted) >= 30


@pytest.mark.parametrize("name", NAMES)
async def test_a_service_hears_nothing_beyond_its_own(server: GuardedServer, log_in: LogIn, name: str) -> None:
    connection = await log_in(server, name)
    foreign = {subject.pattern for subject in ALL if name not in subject.receivers}
    others = {f"{server.inbox(other)}.>" for other in (*NAMES, CLIENT, "operator") if other != name}
    wanted = {*foreign, *others, *NOT_HEARD_BY_SERVICES}
    assert await refused(connection, subscribe=sorted(wanted)) == wanted


@pytest.mark.parametrize("name", NAMES)
async def test_a_service_touches_no_consumer_of_another(server: GuardedServer, log_in: LogIn, name: str) -> None:
    connection = await log_in(server, name)
    own = {(one.stream, one.durable) for one in SERVICES[name].consumers}
    others = {(one.stream, one.durable) for service in SERVICES.values() for one in service.consumers} - own
    wanted = {
        subject
        for stream, durable in others
        for subject in (
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}",
            f"$JS.API.CONSUMER.INFO.{stream}.{durable}",
            f"$JS.API.CONSUMER.CREATE.{stream}.{durable}",
            f"$JS.ACK.{stream}.{durable}.1.1.1.1.0",
            f"$JS.ACK.x.y.{stream}.{durable}.1.1.1.1.0.z",
        )
    }
    assert await refused(connection, publish=sorted(wanted)) == wanted


@pytest.mark.parametrize("name", NAMES)
async def test_a_service_touches_no_stream_that_it_does_not_use(
    server: GuardedServer, log_in: LogIn, name: str
) -> None:
    connection = await log_in(server, name)
    used = {stream.name for stream in SERVICES[name].streams}
    wanted = {
        f"$JS.API.STREAM.{verb}.{stream.name}"
        for stream in STREAMS
        if stream.name not in used
        for verb in ("INFO", "CREATE", "UPDATE", "MSG.GET")
    }
    assert await refused(connection, publish=sorted(wanted)) == wanted


@pytest.mark.parametrize("name", NAMES)
async def test_a_service_keeps_out_of_the_buckets_of_others(server: GuardedServer, log_in: LogIn, name: str) -> None:
    connection = await log_in(server, name)
    others = [bucket for other, service in SERVICES.items() if other != name for bucket in service.buckets]
    wanted = {
        subject
        for bucket in others
        if bucket not in SERVICES[name].buckets
        for subject in (
            f"$KV.{bucket.name}.key",
            f"$JS.API.STREAM.MSG.GET.{bucket.stream}",
            f"$JS.API.DIRECT.GET.{bucket.stream}.$KV.{bucket.name}.key",
            f"$JS.API.STREAM.UPDATE.{bucket.stream}",
        )
    }
    assert await refused(connection, publish=sorted(wanted)) == wanted


async def test_a_client_asks_and_does_nothing_else(server: GuardedServer, log_in: LogIn) -> None:
    connection = await log_in(server, CLIENT)
    answers = {filled(subject) for subject in ALL if CLIENT not in subject.publishers}
    wanted = {*answers, *FORBIDDEN_TO_ALL_SERVICES} - {
        *("$JS.API.CONSUMER.CREATE.AI_CHAT_STREAM", "$JS.API.CONSUMER.CREATE.AI_CHAT_STREAM.spy", "$O.audio.C.x")
    }
    assert await refused(connection, publish=sorted(wanted)) == wanted
    kept = {subject.pattern for subject in (*EVENTS, DEAD_LETTER)}
    asked = {subject.pattern for subject in ALL if CLIENT not in subject.receivers}
    heard = {*kept, *asked, ">", "ai.>", "$JS.>", "$SYS.>", "_INBOX_operator.>", "_INBOX_chat-handler.>", "ai.dlq.>"}
    assert await refused(connection, subscribe=sorted(heard)) == heard


async def test_an_operator_destroys_no_stream_and_takes_no_work_away(server: GuardedServer, log_in: LogIn) -> None:
    connection = await log_in(server, "operator")
    wanted = {
        *(f"$JS.API.STREAM.{verb}.{one.name}" for one in STREAMS for verb in ("DELETE", "CREATE", "UPDATE")),
        *(
            f"$JS.API.CONSUMER.{verb}.{one.stream}.{one.durable}"
            for service in SERVICES.values()
            for one in service.consumers
            for verb in ("DELETE", "MSG.NEXT", "CREATE")
        ),
        *("$JS.ACK.COMPANIONS_CHAT.chat-handler.1.1.1.1.0", "$SYS.REQ.SERVER.PING", "$KV.settings.key", "orders.new"),
        *("ai.dlq.COMPANIONS_CHAT.chat-handler", "_INBOX.x", "_INBOX_chat-handler.x"),
    }
    assert await refused(connection, publish=sorted(wanted)) == wanted
    heard = {">", "$JS.>", "$SYS.>", "_INBOX.>", "_INBOX_chat-handler.>", "$KV.>"}
    assert await refused(connection, subscribe=sorted(heard)) == heard


async def test_what_makes_the_streams_deletes_none_and_reads_none(server: GuardedServer, log_in: LogIn) -> None:
    connection = await log_in(server, "streams")
    wanted = {
        *(f"$JS.API.STREAM.{verb}.{one.name}" for one in STREAMS for verb in ("DELETE", "PURGE", "MSG.GET")),
        *("$JS.API.CONSUMER.MSG.NEXT.COMPANIONS_CHAT.chat-handler", "ai.chat.request", "$SYS.REQ.SERVER.PING"),
        *("$JS.API.CONSUMER.DELETE.COMPANIONS_CHAT.chat-handler", "ai.chat.user.ann.message", "_INBOX.x"),
    }
    assert await refused(connection, publish=sorted(wanted)) == wanted
    heard = {">", "ai.>", "ai.chat.request", "_INBOX_chat-handler.>"}
    assert await refused(connection, subscribe=sorted(heard)) == heard


async def test_a_service_makes_no_stream_that_an_operator_owns(log_in: LogIn) -> None:
    with GuardedServer(operator_owns=True) as server:
        for name, service in SERVICES.items():
            connection = await log_in(server, name)
            made = {f"$JS.API.STREAM.{verb}.{one.name}" for one in service.streams for verb in ("CREATE", "UPDATE")}
            made |= {f"$JS.API.STREAM.CREATE.{one.stream}" for one in service.buckets}
            made |= {f"$JS.API.CONSUMER.CREATE.{one.stream}.{one.durable}" for one in service.consumers}
            made |= {
                f"$JS.API.CONSUMER.CREATE.{one.stream}.{one.durable}.{one.filter_subjects[0]}"
                for one in service.consumers
                if len(one.filter_subjects) == 1
            }
            assert await refused(connection, publish=sorted(made)) == made


async def test_nobody_gets_in_without_a_password(server: GuardedServer) -> None:
    for user, password in (("", ""), ("chat-handler", "wrong"), ("chat-handler", ""), ("root", "x")):
        options = ConnectionOptions(servers=(server.url,), user=user, password=password)
        with pytest.raises(PermissionDeniedError):
            await NatsConnection(options).connect(timeout=timedelta(seconds=5))


@pytest.mark.parametrize("name", NAMES)
async def test_everything_a_service_declares_is_allowed(server: GuardedServer, log_in: LogIn, name: str) -> None:
    connection = await log_in(server, name)
    service = SERVICES[name]
    handler = service.handler
    published = {
        filled(subject)
        for subject in ALL
        if name in subject.publishers
        and subject is not DEAD_LETTER
        and (subject not in EVENTS or (handler is not None and subject is handler.events))
    }
    published |= {*service.publishes, "_INBOX.x.1", "_INBOX_operator.x.1"}
    published |= {DEAD_LETTER.format(stream=one.stream, consumer=one.durable) for one in service.consumers}
    published |= {
        f"$JS.API.STREAM.{verb}.{one.name}" for one in service.streams for verb in ("INFO", "CREATE", "UPDATE")
    }
    heard = {filled(subject) for endpoint in service.endpoints for subject in endpoint.core}
    heard |= {filled(subject) for subject in service.listens}
    heard |= {filled(endpoint.cancel) for endpoint in service.endpoints if endpoint.cancel is not None}
    assert await refused(connection, publish=sorted(published), subscribe=sorted(heard)) == set()


async def test_every_message_of_the_contract_is_allowed_to_clients(server: GuardedServer, log_in: LogIn) -> None:
    connection = await log_in(server, CLIENT)
    asked = {filled(subject) for subject in ALL if CLIENT in subject.publishers}
    heard = {subject.pattern for subject in ALL if CLIENT in subject.receivers} - {
        *(subject.pattern for subject in EVENTS),
        DEAD_LETTER.pattern,
    }
    heard |= {"_INBOX.>", "ai.chat.response.my.own", "ai.*.response.>"}
    assert await refused(connection, publish=sorted(asked), subscribe=sorted(heard)) == set()
