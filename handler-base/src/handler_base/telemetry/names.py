"""Names of spans, attributes and metrics, all in this one place.

They follow the OpenTelemetry semantic conventions for messaging and generative AI, which are still under
development: a rename there is one line here. What the conventions do not cover starts with ``fleet.``.
Metrics carry their OpenTelemetry name; `handler_base.telemetry.metrics` turns it into the Prometheus form.
"""

from __future__ import annotations

from typing import Final

# Attributes of the resource.
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE_ID: Final = "service.instance.id"

# Attributes of any span.
ERROR_TYPE: Final = "error.type"
EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
USER_ID: Final = "user.id"
SESSION_ID: Final = "session.id"

# Messaging attributes.
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
MESSAGING_DESTINATION_TEMPLATE: Final = "messaging.destination.template"
MESSAGING_DESTINATION_TEMPORARY: Final = "messaging.destination.temporary"
MESSAGING_SUBSCRIPTION_NAME: Final = "messaging.destination.subscription.name"
MESSAGING_CONSUMER_GROUP_NAME: Final = "messaging.consumer.group.name"
MESSAGING_CLIENT_ID: Final = "messaging.client.id"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_CONVERSATION_ID: Final = "messaging.message.conversation_id"
MESSAGING_BODY_SIZE: Final = "messaging.message.body.size"
MESSAGING_BATCH_MESSAGE_COUNT: Final = "messaging.batch.message_count"

# Messaging values.
NATS: Final = "nats"
OPERATION_PUBLISH: Final = "publish"
OPERATION_REQUEST: Final = "request"
OPERATION_RECEIVE: Final = "receive"
OPERATION_PROCESS: Final = "process"
OPERATION_ACK: Final = "ack"
OPERATION_NAK: Final = "nak"
OPERATION_TERM: Final = "term"
OPERATION_TYPE_SEND: Final = "send"
OPERATION_TYPE_RECEIVE: Final = "receive"
OPERATION_TYPE_PROCESS: Final = "process"
OPERATION_TYPE_SETTLE: Final = "settle"

# Generative AI attributes.
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_REQUEST_TOP_K: Final = "gen_ai.request.top_k"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
GEN_AI_OUTPUT_TYPE: Final = "gen_ai.output.type"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_EMBEDDINGS_DIMENSION_COUNT: Final = "gen_ai.embeddings.dimension.count"
GEN_AI_DATA_SOURCE_ID: Final = "gen_ai.data_source.id"
GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - a kind of language token

# Generative AI values. The conventions know no rerank, transcription or speech: those three are ours.
GEN_AI_CHAT: Final = "chat"
GEN_AI_EMBEDDINGS: Final = "embeddings"
GEN_AI_RETRIEVAL: Final = "retrieval"
GEN_AI_RERANK: Final = "rerank"
GEN_AI_TRANSCRIPTION: Final = "transcription"
GEN_AI_SPEECH: Final = "speech"
GEN_AI_TOKEN_INPUT: Final = "input"  # noqa: S105 - a kind of language token
GEN_AI_TOKEN_OUTPUT: Final = "output"  # noqa: S105 - a kind of language token

# Database attributes (vector search, conversation memory).
DB_SYSTEM_NAME: Final = "db.system.name"
DB_OPERATION_NAME: Final = "db.operation.name"
DB_COLLECTION_NAME: Final = "db.collection.name"

# HTTP attributes.
HTTP_REQUEST_METHOD: Final = "http.request.method"
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
HTTP_RESEND_COUNT: Final = "http.request.resend_count"

# Attributes of our own.
FLEET_REQUEST_ID: Final = "fleet.request_id"
FLEET_ATTEMPT: Final = "fleet.attempt"
FLEET_STAGE: Final = "fleet.stage"
FLEET_USED_RAG: Final = "fleet.used_rag"
FLEET_LANE: Final = "fleet.lane"
FLEET_REASON: Final = "fleet.reason"
FLEET_STREAM: Final = "fleet.stream"
FLEET_CONSUMER: Final = "fleet.consumer"
FLEET_CLIENT: Final = "fleet.client"
FLEET_ENDPOINT: Final = "fleet.endpoint"
FLEET_DEPENDENCY: Final = "fleet.dependency"
FLEET_WHERE: Final = "fleet.where"

# Metrics of the conventions.
MESSAGING_PROCESS_DURATION: Final = "messaging.process.duration"
MESSAGING_CLIENT_CONSUMED_MESSAGES: Final = "messaging.client.consumed.messages"
GEN_AI_CLIENT_OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
GEN_AI_CLIENT_TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - a metric
GEN_AI_CLIENT_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
GEN_AI_CLIENT_TIME_PER_OUTPUT_CHUNK: Final = "gen_ai.client.operation.time_per_output_chunk"

# Metrics of our own.
FLEET_READY: Final = "fleet.ready"
FLEET_QUEUE_WAIT: Final = "fleet.queue.wait"
FLEET_QUEUE_DEPTH: Final = "fleet.queue.depth"
FLEET_REQUESTS_IN_FLIGHT: Final = "fleet.requests.in_flight"
FLEET_REFUSALS: Final = "fleet.refusals"
FLEET_CANCELS: Final = "fleet.cancels"
FLEET_DEADLINE_EXCEEDED: Final = "fleet.deadline_exceeded"
FLEET_STAGE_DURATION: Final = "fleet.stage.duration"
FLEET_REDELIVERIES: Final = "fleet.redeliveries"
FLEET_HEARTBEATS_SENT: Final = "fleet.heartbeats_sent"
FLEET_DEAD_LETTERS: Final = "fleet.dead_letters"
FLEET_ARCHIVED_MESSAGES: Final = "fleet.archived_messages"
FLEET_CONSUMER_LAG: Final = "fleet.consumer.lag"
FLEET_OWNERSHIP_LOST: Final = "fleet.ownership_lost"
FLEET_LIVE_SESSIONS: Final = "fleet.live.sessions"
FLEET_LIVE_TAKEOVERS: Final = "fleet.live.takeovers"
FLEET_LIVE_GAPS: Final = "fleet.live.gaps"
FLEET_RECONNECTS: Final = "fleet.reconnects"
FLEET_PERMISSION_VIOLATIONS: Final = "fleet.permission_violations"
FLEET_CIRCUIT_BREAKER_STATE: Final = "fleet.circuit_breaker.state"
FLEET_RETRIES: Final = "fleet.retries"
FLEET_DEGRADED_DEPENDENCIES: Final = "fleet.degraded_dependencies"
FLEET_SWALLOWED_ERRORS: Final = "fleet.swallowed_errors"
FLEET_EVENT_LOOP_LAG: Final = "fleet.event_loop.lag"
FLEET_EXPORTED_SPANS: Final = "fleet.exported_spans"
FLEET_DROPPED_SPANS: Final = "fleet.dropped_spans"
FLEET_DROPPED_METRIC_PUSHES: Final = "fleet.dropped_metric_pushes"
