"""Who may do what on NATS: one user a service, and no more than what it declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from deploy.manifests.declarations import Declared
from handler_base.messages.streams import AI_CHAT_STREAM, STREAMS, BucketSpec
from handler_base.messages.subjects import ALL, CLIENT, DEAD_LETTER, Subject, subject_matches
from handler_base.nats_client import ConsumerSpec

__all__ = ["CLIENT_INBOX", "OPERATOR", "OWNER", "SYSTEM", "Grant", "User", "inbox_of", "owned_by_operator", "users"]

CLIENT_INBOX: Final = "_INBOX"
"""Where clients have their answers, as every NATS library does unless told otherwise."""

OPERATOR: Final = "operator"
"""Runs the `fleet` command."""

OWNER: Final = "streams"
"""Makes streams, consumers and buckets where an operator owns them."""

SYSTEM: Final = "system"
"""Looks at the servers themselves, in the system account."""

_RESPONSES: Final = "ai.*.response.>"
_EVENT: Final = ".event."


@dataclass(frozen=True, slots=True)
class Grant:
    """Subjects somebody may publish or subscribe to, for a reason."""

    why: str
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class User:
    """A user of the server.

    Attributes:
        name: As it logs in.
        description: Who that is.
        publish: What it may publish on.
        subscribe: What it may subscribe to.
        publish_not: What it may not publish on, though `publish` has it.
        subscribe_not: What it may not subscribe to, though `subscribe` has it.
        is_service: Whether it is one of the services, which make no streams where an operator owns them.
    """

    name: str
    description: str
    publish: tuple[Grant, ...]
    subscribe: tuple[Grant, ...]
    publish_not: tuple[str, ...] = ()
    subscribe_not: tuple[str, ...] = ()
    is_service: bool = False

    @property
    def variable(self) -> str:
        """Name of the environment variable with its password."""
        return f"NATS_PASSWORD_{self.name.replace('-', '_').upper()}"


def users(services: Iterable[Declared]) -> tuple[User, ...]:
    """Return all users of the fleet's account."""
    services = tuple(services)
    return (*map(_service, services), _client(services), _operator(services), _owner(services))


def owned_by_operator(services: Iterable[Declared]) -> tuple[str, ...]:
    """Return what services may not do where an operator owns streams, consumers and buckets."""
    del services
    return (
        "$JS.API.STREAM.CREATE.>",
        "$JS.API.STREAM.UPDATE.>",
        *(f"$JS.API.CONSUMER.CREATE.{stream.name}.>" for stream in STREAMS),
    )


def inbox_of(user: str) -> str:
    """Return the prefix of a user's own inboxes."""
    return CLIENT_INBOX if user in {CLIENT, OWNER} else f"_INBOX_{user}"


def _service(service: Declared) -> User:
    grants = [
        Grant("answers in the caller's inbox", tuple(_inboxes(service))),
        Grant("what it publishes", _published(service)),
    ]
    if any("response_subject" in endpoint.schema.__struct_fields__ for endpoint in service.endpoints):
        grants.append(Grant("answers where a question asks for them", (_RESPONSES,)))
    if service.streams:
        grants.append(Grant("streams it checks, or makes", tuple(_streams_api(service))))
    grants += [Grant(f"pulls from {one.stream}", tuple(_consumer_api(one))) for one in service.consumers]
    grants += [Grant(f"keeps its state in bucket {bucket.name}", _bucket_api(bucket)) for bucket in service.buckets]
    grants += [Grant(f"reads object store {store}", _reader_api(f"OBJ_{store}")) for store in service.object_stores]
    heard = [
        Grant("its own inboxes", (f"{inbox_of(service.name)}.>",)),
        Grant("what it answers and hears", _heard(service)),
        Grant("service discovery", tuple(_discovery(service.name))),
    ]
    if service.consumers:
        subject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{0.stream}.{0.durable}"
        heard.append(Grant("what its consumers gave up", tuple(map(subject.format, service.consumers))))
    description = service.handler.description if service.handler is not None else "Not built yet."
    return User(service.name, description, _compact(grants), _compact(heard), is_service=True)


def _inboxes(service: Declared) -> Iterator[str]:
    yield from (f"{CLIENT_INBOX}.>", f"{inbox_of(OPERATOR)}.>")
    heard = set(_heard(service))
    for subject in _subjects(publisher=service.name):
        if subject.pattern in heard:
            # Its replicas ask each other.
            yield f"{inbox_of(service.name)}.>"
            return


def _published(service: Declared) -> tuple[str, ...]:
    events = service.handler.events if service.handler is not None else None
    found = [
        subject.pattern
        for subject in _subjects(publisher=service.name)
        if subject is not DEAD_LETTER and (_EVENT not in subject.pattern or subject is events)
    ]
    dead = [DEAD_LETTER.format(stream=one.stream, consumer=one.durable) for one in service.consumers]
    return (*found, *service.publishes, *dead)


def _heard(service: Declared) -> tuple[str, ...]:
    """Return the subjects it subscribes to; what it pulls from streams is not among them."""
    core = {subject.pattern for endpoint in service.endpoints for subject in endpoint.core}
    core |= {subject.pattern for subject in service.listens}
    pulled = [pattern for consumer in service.consumers for pattern in consumer.filter_subjects]
    return tuple(
        subject.pattern
        for subject in _subjects(receiver=service.name)
        if subject.pattern in core or not any(subject_matches(subject.pattern, pattern) for pattern in pulled)
    )


def _discovery(name: str) -> Iterator[str]:
    for verb in ("PING", "INFO", "STATS"):
        yield from (f"$SRV.{verb}", f"$SRV.{verb}.{name}", f"$SRV.{verb}.{name}.*")


def _streams_api(service: Declared) -> Iterator[str]:
    for stream in service.streams:
        yield from (f"$JS.API.STREAM.{verb}.{stream.name}" for verb in ("INFO", "CREATE", "UPDATE"))
    # Names the stream in the way, where one captures a subject of ours.
    yield "$JS.API.STREAM.NAMES"


def _consumer_api(consumer: ConsumerSpec) -> Iterator[str]:
    place = f"{consumer.stream}.{consumer.durable}"
    yield f"$JS.API.CONSUMER.INFO.{place}"
    # A consumer of one subject is made on a subject that ends with it.
    single = f".{consumer.filter_subjects[0]}" if len(consumer.filter_subjects) == 1 else ""
    yield f"$JS.API.CONSUMER.CREATE.{place}{single}"
    yield f"$JS.API.CONSUMER.MSG.NEXT.{place}"
    # What was given up without a word is read by its sequence, to be kept aside.
    yield f"$JS.API.STREAM.MSG.GET.{consumer.stream}"
    yield from _acknowledgements(place)


def _acknowledgements(place: str) -> tuple[str, str]:
    """Return both forms: up to 2.14, and with domain and account, as servers send since 2.15."""
    return f"$JS.ACK.{place}.>", f"$JS.ACK.*.*.{place}.>"


def _reader_api(stream: str) -> tuple[str, ...]:
    """Return what it takes to read a stream by short-lived consumers."""
    return (
        f"$JS.API.CONSUMER.CREATE.{stream}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
        f"$JS.API.CONSUMER.DELETE.{stream}.*",
    )


def _info(stream: str) -> str:
    return f"$JS.API.STREAM.INFO.{stream}"


def _bucket_api(bucket: BucketSpec) -> tuple[str, ...]:
    stream = bucket.stream
    return (
        f"$KV.{bucket.name}.>",
        f"$JS.API.STREAM.CREATE.{stream}",
        f"$JS.API.STREAM.UPDATE.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.STREAM.PURGE.{stream}",
        _info(stream),
        *_reader_api(stream),
    )


def _writer_api(store: str) -> tuple[str, ...]:
    """Return what it takes to put objects into a store; putting one in again purges its earlier pieces."""
    stream = f"OBJ_{store}"
    verbs = ("STREAM.INFO", "STREAM.MSG.GET", "STREAM.PURGE", "DIRECT.GET")
    api = (*(f"$JS.API.{verb}.{stream}" for verb in verbs), f"$JS.API.DIRECT.GET.{stream}.>", *_reader_api(stream))
    return (f"$O.{store}.>", *dict.fromkeys(api))


def _made(store: str) -> str:
    return f"$JS.API.STREAM.CREATE.OBJ_{store}"


def _stores(services: Iterable[Declared]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(store for service in services for store in service.object_stores))


def _client(services: tuple[Declared, ...]) -> User:
    """Return the front ends: they ask, and hear answers; what the fleet keeps is not theirs."""
    kept = {DEAD_LETTER.pattern}
    heard = [one.pattern for one in _subjects(receiver=CLIENT) if _EVENT not in one.pattern]
    stream = AI_CHAT_STREAM.name
    again = (
        _info(stream),
        *_reader_api(stream),
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.INFO.{stream}.*",
        f"$JS.FC.{stream}.>",
        *_acknowledgements(f"{stream}.*"),
    )
    return User(
        CLIENT,
        "Front ends and other programs that ask questions.",
        (
            Grant("what it asks", tuple(one.pattern for one in _subjects(publisher=CLIENT))),
            Grant("reads an answer again after it was away", again),
            *(Grant(f"puts recordings into object store {store}", _writer_api(store)) for store in _stores(services)),
        ),
        (
            Grant("its inboxes", (f"{CLIENT_INBOX}.>",)),
            Grant("answers", (*(one for one in heard if one not in kept), _RESPONSES)),
        ),
    )


def _state_api(stream: str) -> tuple[str, ...]:
    """Return what it takes to look at a bucket."""
    return (_info(stream), *_reader_api(stream))


def _operator(services: tuple[Declared, ...]) -> User:
    """Return whoever runs `fleet`: it reads everything, asks everything, and makes or deletes no stream."""
    names = [stream.name for stream in STREAMS]
    durables = {(one.stream, one.durable) for service in services for one in service.consumers}
    api = [subject for name in names for subject in (_info(name), *_reader_api(name))]
    api += [f"$JS.API.STREAM.{verb}.{name}" for name in names for verb in ("MSG.GET", "MSG.DELETE", "PURGE")]
    api += ["$JS.API.STREAM.NAMES", *(f"$JS.API.CONSUMER.LIST.{name}" for name in names)]
    buckets = [subject for service in services for one in service.buckets for subject in _state_api(one.stream)]
    return User(
        OPERATOR,
        "People who run the fleet command.",
        (
            Grant("any message of the contract", tuple(one.pattern for one in ALL if one is not DEAD_LETTER)),
            Grant("streams, dead letters, events, forgetting", (*api, *buckets)),
            *(
                Grant(f"puts recordings into object store {store}", (*_writer_api(store), _made(store)))
                for store in _stores(services)
            ),
            Grant("service discovery", ("$SRV.>",)),
        ),
        (
            Grant("its own inboxes", (f"{inbox_of(OPERATOR)}.>",)),
            Grant("any message of the contract", (*(one.pattern for one in ALL), _RESPONSES)),
        ),
        publish_not=tuple(
            f"$JS.API.CONSUMER.{verb}.{stream}.{durable}"
            for stream, durable in sorted(durables)
            for verb in ("DELETE", "MSG.NEXT")
        ),
    )


def _owner(services: tuple[Declared, ...]) -> User:
    """Return the controller that makes streams, consumers and buckets from resources; it cannot delete them."""
    streams = [stream.name for stream in STREAMS]
    buckets = [bucket.stream for service in services for bucket in service.buckets]
    buckets += [f"OBJ_{store}" for store in _stores(services)]
    consumers = {one.stream: one for service in services for one in service.consumers}
    api = [f"$JS.API.STREAM.{verb}.{name}" for name in (*streams, *buckets) for verb in ("INFO", "CREATE", "UPDATE")]
    for stream in consumers:
        api += [f"$JS.API.CONSUMER.{verb}.{stream}.>" for verb in ("INFO", "CREATE", "DURABLE.CREATE")]
    return User(
        OWNER,
        "The controller that makes streams, consumers and buckets where an operator owns them.",
        (Grant("streams, consumers and buckets", ("$JS.API.INFO", "$JS.API.STREAM.NAMES", *api)),),
        # The controller has no setting for another prefix.
        (Grant("its inboxes", (f"{CLIENT_INBOX}.>",)),),
    )


def _subjects(*, publisher: str = "", receiver: str = "") -> Iterator[Subject]:
    for subject in ALL:
        if publisher in subject.publishers or receiver in subject.receivers:
            yield subject


def _compact(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """Leave out grants of nothing, and what an earlier grant has."""
    seen: set[str] = set()
    kept = []
    for grant in grants:
        new = tuple(dict.fromkeys(subject for subject in grant.subjects if subject not in seen))
        seen.update(new)
        if new:
            kept.append(Grant(grant.why, new))
    return tuple(kept)
