"""NATS for services: a connection that heals, durable work by credit, streams, dead letters, discovery."""

from __future__ import annotations

from handler_base.nats_client import headers
from handler_base.nats_client._wire import MessageCallback, Msg
from handler_base.nats_client.connection import NatsConnection
from handler_base.nats_client.consumer import PullConsumer
from handler_base.nats_client.consumer_setup import ConsumerSpec, ensure_consumer
from handler_base.nats_client.dead_letters import DeadLetter, DeadLetters
from handler_base.nats_client.delivery import Delivery
from handler_base.nats_client.event_log import EventLog, event_id
from handler_base.nats_client.jetstream_api import JetStreamApi
from handler_base.nats_client.key_value import KeyValue, KeyValueEntry
from handler_base.nats_client.key_watch import KeyWatch
from handler_base.nats_client.object_store import ObjectStore
from handler_base.nats_client.options import ConnectionOptions, options_from_settings
from handler_base.nats_client.policy import FailurePolicy
from handler_base.nats_client.publishing import ApiError, PublishAck, WrongSequenceError
from handler_base.nats_client.service import EndpointStats, ServiceResponder, discover
from handler_base.nats_client.stream_reader import StreamMessage, StreamReader
from handler_base.nats_client.streams import StreamManager
from handler_base.nats_client.subscription import Subscription

__all__ = [
    "ApiError",
    "ConnectionOptions",
    "ConsumerSpec",
    "DeadLetter",
    "DeadLetters",
    "Delivery",
    "EndpointStats",
    "EventLog",
    "FailurePolicy",
    "JetStreamApi",
    "KeyValue",
    "KeyValueEntry",
    "KeyWatch",
    "MessageCallback",
    "Msg",
    "NatsConnection",
    "ObjectStore",
    "PublishAck",
    "PullConsumer",
    "ServiceResponder",
    "StreamManager",
    "StreamMessage",
    "StreamReader",
    "Subscription",
    "WrongSequenceError",
    "discover",
    "ensure_consumer",
    "event_id",
    "headers",
    "options_from_settings",
]
