"""Settings by environment variables, without a prefix.

`Settings` holds what every service needs; a service adds groups (`InferenceSettings`, `RagSettings`,
`SessionSettings`) and fields of its own by inheritance. A variable ``NAME_FILE`` holds the path of a file
whose content is the value of ``NAME``, the way Kubernetes mounts secrets.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

__all__ = [
    "AnsweringSettings",
    "ArchiveSettings",
    "InferenceSettings",
    "RagSettings",
    "Seconds",
    "SessionSettings",
    "Settings",
]

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A duration in seconds, as operators write it."""


class _FileSource(PydanticBaseSettingsSource):
    """Reads ``NAME`` from the file that ``NAME_FILE`` names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{field_name.upper()}_FILE")
        return (Path(path).read_text(encoding="utf-8").strip() or None if path else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class Settings(BaseSettings):
    """What every service reads."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    nats_url: str = Field("nats://localhost:4222", description="NATS servers, separated by commas.")
    nats_user: str = Field("", description="User name, where the server asks for one.")
    nats_password: SecretStr = Field(SecretStr(""), description="Password of `NATS_USER`.")
    nats_token: SecretStr = Field(SecretStr(""), description="Token, where the server asks for one.")
    nats_creds: str = Field("", description="Path of a .creds file (JWT and nkey seed).")
    nats_nkey_seed_path: str = Field("", description="Path of a file with an nkey seed.")
    nats_tls_ca: str = Field("", description="Path of a CA certificate; turns TLS on.")
    nats_tls_cert: str = Field("", description="Path of a client certificate.")
    nats_tls_key: str = Field("", description="Path of the client certificate's key.")
    nats_inbox_prefix: str = Field("", description="Prefix of reply inboxes; default `_INBOX`.")
    nats_ping_interval: Seconds = Field(10, description="Seconds between pings; two unanswered ones drop the link.")

    streams_mode: Literal["create", "verify"] = Field(
        "create", description="Create or update the streams, or only check them."
    )
    stream_replicas: int = Field(
        0, ge=0, le=5, description="Replicas of each stream; 0: one on one server, three on a cluster."
    )
    max_deliver: int = Field(5, ge=1, description="Attempts at durable work before it is dead-lettered.")
    ack_wait: Seconds = Field(30, description="Seconds the server waits for a sign of life of durable work.")
    max_question_age: Seconds = Field(
        3600, description="Seconds after which a waiting question is answered `deadline_exceeded`."
    )

    events: bool = Field(True, description="Publish the domain events.")
    max_concurrency: int = Field(64, ge=1, description="Requests handled at once.")
    queue_size: int = Field(128, ge=0, description="Requests that may wait for a slot before `overloaded`.")
    drain_timeout: Seconds = Field(25, description="Seconds running work may take to finish when the service stops.")
    allowed_response_subjects: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="More subjects that `response_subject` may name, separated by commas."
    )

    health_host: str = Field("0.0.0.0", description="Address of the health server.")  # noqa: S104 - probes come from outside the pod
    health_port: int = Field(
        8080, ge=0, le=65535, description="Port of /health, /ready and /metrics; 0 picks a free one."
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe level that is logged."
    )
    log_format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text for people.")
    otel_exporter_otlp_endpoint: str = Field(
        "", description="Base URL of an OTLP/HTTP receiver; empty: no traces are made."
    )
    otel_exporter_otlp_headers: SecretStr = Field(SecretStr(""), description="Headers for the receiver, `k=v,k=v`.")
    otel_resource_attributes: str = Field("", description="Attributes of the resource, `k=v,k=v`.")
    otel_traces_sampler_arg: float = Field(1.0, ge=0, le=1, description="Share of new traces that is kept.")
    otel_metrics_interval: Seconds = Field(
        0, description="Seconds between metric pushes to the receiver; 0: scrape only."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put ``NAME_FILE`` between the environment and ``.env``."""
        return init_settings, env_settings, _FileSource(settings_cls), dotenv_settings, file_secret_settings

    @field_validator("allowed_response_subjects", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @property
    def nats_servers(self) -> list[str]:
        """The servers of `nats_url`, one a string."""
        return [url.strip() for url in self.nats_url.split(",") if url.strip()]


class InferenceSettings(Settings):
    """Where the model servers are.

    Every URL may be a comma-separated list: the first that works is used, in the order given.
    """

    vllm_url: str = Field("http://localhost:8000/v1", description="Chat completions.")
    embeddings_url: str = Field("http://localhost:8001", description="Embeddings.")
    reranker_url: str = Field("http://localhost:8002", description="Reranker.")
    whisper_url: str = Field("http://localhost:8003", description="Speech to text.")
    tts_url: str = Field("http://localhost:8004", description="Text to speech.")
    vllm_api_key: SecretStr = Field(SecretStr(""), description="Bearer key of the chat server.")
    embeddings_api_key: SecretStr = Field(SecretStr(""), description="Bearer key of the embeddings server.")
    reranker_api_key: SecretStr = Field(SecretStr(""), description="Bearer key of the reranker.")
    whisper_api_key: SecretStr = Field(SecretStr(""), description="Bearer key of the transcription server.")
    tts_api_key: SecretStr = Field(SecretStr(""), description="Bearer key of the speech server.")
    llm_dialect: Literal["auto", "openai", "ollama"] = Field(
        "auto", description="`openai`, `ollama` or `auto` (first probe)."
    )
    embeddings_dialect: Literal["auto", "openai", "tei", "ollama"] = Field(
        "auto", description="`openai`, `tei`, `ollama` or `auto`."
    )
    reranker_dialect: Literal["auto", "tei", "cohere", "score"] = Field(
        "auto", description="`tei`, `cohere`, `score` or `auto`."
    )
    whisper_dialect: Literal["auto", "openai", "whispercpp"] = Field(
        "auto", description="`openai`, `whispercpp` or `auto`."
    )
    tts_dialect: Literal["auto", "openai", "xtts", "coqui", "rayserve"] = Field(
        "auto", description="`openai`, `xtts`, `coqui`, `rayserve` or `auto`."
    )
    llm_model: str = Field("", description="Model name; empty: the server's only or first model.")
    premium_model: str = Field("", description="Model for premium users; empty: the same.")
    embeddings_model: str = Field("", description="Model name sent to servers that want one.")
    reranker_model: str = Field("", description="Model name sent to servers that want one.")
    whisper_model: str = Field("", description="Model name sent to servers that want one.")
    tts_model: str = Field("", description="Model name sent to servers that want one.")
    tts_voice: str = Field("", description="Voice used when a request names none.")
    tts_sample_rate: int = Field(
        24_000,
        ge=8_000,
        le=192_000,
        description="Samples a second of raw speech whose rate the server does not tell; OpenAI's is 24,000.",
    )
    llm_max_tokens: int = Field(1024, ge=1, description="Most tokens an answer may have.")
    llm_temperature: float = Field(0.2, ge=0, le=2, description="Sampling temperature.")
    llm_context_tokens: int = Field(8192, ge=256, description="Context window of the model, in tokens.")

    @field_validator("vllm_url", "embeddings_url", "reranker_url", "whisper_url", "tts_url")
    @classmethod
    def _names_hosts(cls, value: str) -> str:
        for url in filter(None, map(str.strip, value.split(","))):
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("a base URL must begin with http:// or https:// and name a host")
        return value


class RagSettings(InferenceSettings):
    """Where the documents are and how they are found."""

    milvus_host: str = Field("localhost", description="Host of Milvus.")
    milvus_port: int = Field(19530, ge=1, le=65535, description="Port of Milvus (gRPC and REST v2).")
    milvus_token: SecretStr = Field(SecretStr(""), description="`user:password` or API token.")
    milvus_database: str = Field("default", description="Database of the collections.")
    milvus_api: Literal["rest", "grpc"] = Field("rest", description="REST v2, or gRPC by pymilvus (for Milvus Lite).")
    collection_name: str = Field("knowledge_base", description="Collection used when a request names none.")
    embedding_dimension: int = Field(0, ge=0, description="Dimension of the embeddings; 0: the collection's.")
    embeddings_query_prefix: str = Field("", description="Put before a question when it is embedded.")
    embeddings_passage_prefix: str = Field("", description="Put before a passage when it is embedded.")
    retrieval_timeout: Seconds = Field(5, description="Seconds search may take before the answer goes without it.")
    rerank_timeout: Seconds = Field(2, description="Seconds reranking may take before it is skipped.")
    rerank_min_score: float = Field(
        0.01, ge=0, le=1, description="Passages the reranker scores lower are taken for irrelevant and left out."
    )
    context_token_budget: int = Field(3000, ge=64, description="Most tokens of retrieved text in the prompt.")


class SessionSettings(Settings):
    """Where conversations are kept."""

    redis_url: str = Field("redis://localhost:6379/0", description="Valkey or Redis; `none`: no memory.")
    session_ttl: Seconds = Field(7 * 24 * 3600, description="Seconds a session lives after its last activity.")
    history_turns: int = Field(10, ge=0, description="Most past turns shown to the model.")
    history_token_budget: int = Field(1500, ge=0, description="Most tokens of past turns in the prompt.")
    memory_timeout: Seconds = Field(0.05, description="Seconds memory may cost before the answer goes without it.")
    summarise: bool = Field(True, description="Have the model sum up the turns that do not fit, after the answer.")
    follow_ups: Literal["context", "model", "off"] = Field(
        "context",
        description="How a question that needs its context is searched for: with words of it, rewritten, or as it is.",
    )
    follow_up_timeout: Seconds = Field(2, description="Seconds the model may take to rewrite a question.")
    quota_requests_per_minute: int = Field(0, ge=0, description="Questions a user may ask a minute; 0: no limit.")
    quota_tokens_per_day: int = Field(0, ge=0, description="Tokens a user may use a day; 0: no limit.")
    quota_premium_requests_per_minute: int = Field(0, ge=0, description="The same for premium users.")
    quota_premium_tokens_per_day: int = Field(0, ge=0, description="The same for premium users.")

    @field_validator("redis_url")
    @classmethod
    def _none(cls, value: str) -> str:
        """An empty variable counts as one that is not set, so that turning memory off takes a word."""
        return "" if value.lower() == "none" else value


class AnsweringSettings(RagSettings, SessionSettings):
    """What it takes to answer a question: models, documents and conversations."""


class ArchiveSettings(Settings):
    """Where conversations are kept for long."""

    archive_mode: Literal["inside", "only", "off"] = Field(
        "inside", description="Archive beside answering, archive and answer nothing, or leave it to another Deployment."
    )
    archive_url: SecretStr = Field(
        SecretStr("sqlite:///archive.db"), description="`postgresql://...`, or `sqlite:///path` for one replica."
    )
    archive_migrate: bool = Field(True, description="Bring the database to the current schema at the start.")
    archive_batch: int = Field(100, ge=1, le=5000, description="Most messages written in one transaction.")
    archive_flush: Seconds = Field(0.1, description="Longest time a message waits for others before it is written.")
    message_retention_days: int = Field(30, ge=1, description="Days a message is kept.")
    titles: bool = Field(True, description="Have the model name a conversation after its first answer.")
