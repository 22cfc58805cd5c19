from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AudioEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIO_ENCODING_UNSPECIFIED: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_PCM_S16LE: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_WAV: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_OGG_OPUS: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_MP3: _ClassVar[AudioEncoding]
AUDIO_ENCODING_UNSPECIFIED: AudioEncoding
AUDIO_ENCODING_PCM_S16LE: AudioEncoding
AUDIO_ENCODING_WAV: AudioEncoding
AUDIO_ENCODING_OGG_OPUS: AudioEncoding
AUDIO_ENCODING_MP3: AudioEncoding

class ErrorResponse(_message.Message):
    __slots__ = ("error", "message", "type")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    error: bool
    message: str
    type: str
    def __init__(self, error: _Optional[bool] = ..., message: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class LoginEvent(_message.Message):
    __slots__ = ("user_id", "username", "nickname", "premium", "timestamp")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    NICKNAME_FIELD_NUMBER: _ClassVar[int]
    PREMIUM_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    username: str
    nickname: str
    premium: bool
    timestamp: int
    def __init__(self, user_id: _Optional[str] = ..., username: _Optional[str] = ..., nickname: _Optional[str] = ..., premium: _Optional[bool] = ..., timestamp: _Optional[int] = ...) -> None: ...

class GreetingRequest(_message.Message):
    __slots__ = ("user_id", "username", "nickname", "premium")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    NICKNAME_FIELD_NUMBER: _ClassVar[int]
    PREMIUM_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    username: str
    nickname: str
    premium: bool
    def __init__(self, user_id: _Optional[str] = ..., username: _Optional[str] = ..., nickname: _Optional[str] = ..., premium: _Optional[bool] = ...) -> None: ...

class GreetingResponse(_message.Message):
    __slots__ = ("user_id", "greeting")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    GREETING_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    greeting: str
    def __init__(self, user_id: _Optional[str] = ..., greeting: _Optional[str] = ...) -> None: ...

class ChatRequest(_message.Message):
    __slots__ = ("request_id", "user_id", "username", "message", "query", "premium", "enable_rag", "enable_reranker", "enable_streaming", "top_k", "collection", "enable_tts", "system_prompt", "response_subject", "session_id", "language", "rerank_top_k", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    PREMIUM_FIELD_NUMBER: _ClassVar[int]
    ENABLE_RAG_FIELD_NUMBER: _ClassVar[int]
    ENABLE_RERANKER_FIELD_NUMBER: _ClassVar[int]
    ENABLE_STREAMING_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    ENABLE_TTS_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_PROMPT_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    RERANK_TOP_K_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    user_id: str
    username: str
    message: str
    query: str
    premium: bool
    enable_rag: bool
    enable_reranker: bool
    enable_streaming: bool
    top_k: int
    collection: str
    enable_tts: bool
    system_prompt: str
    response_subject: str
    session_id: str
    language: str
    rerank_top_k: int
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, request_id: _Optional[str] = ..., user_id: _Optional[str] = ..., username: _Optional[str] = ..., message: _Optional[str] = ..., query: _Optional[str] = ..., premium: _Optional[bool] = ..., enable_rag: _Optional[bool] = ..., enable_reranker: _Optional[bool] = ..., enable_streaming: _Optional[bool] = ..., top_k: _Optional[int] = ..., collection: _Optional[str] = ..., enable_tts: _Optional[bool] = ..., system_prompt: _Optional[str] = ..., response_subject: _Optional[str] = ..., session_id: _Optional[str] = ..., language: _Optional[str] = ..., rerank_top_k: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ChatResponse(_message.Message):
    __slots__ = ("user_id", "response", "response_text", "used_rag", "rag_sources", "success", "audio", "error", "request_id", "sources", "model", "usage", "latency_ms", "timings_ms", "session_id", "audio_format")
    class TimingsMsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_TEXT_FIELD_NUMBER: _ClassVar[int]
    USED_RAG_FIELD_NUMBER: _ClassVar[int]
    RAG_SOURCES_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_MS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FORMAT_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    response: str
    response_text: str
    used_rag: bool
    rag_sources: _containers.RepeatedScalarFieldContainer[str]
    success: bool
    audio: bytes
    error: str
    request_id: str
    sources: _containers.RepeatedCompositeFieldContainer[DocumentSource]
    model: str
    usage: Usage
    latency_ms: float
    timings_ms: _containers.ScalarMap[str, float]
    session_id: str
    audio_format: str
    def __init__(self, user_id: _Optional[str] = ..., response: _Optional[str] = ..., response_text: _Optional[str] = ..., used_rag: _Optional[bool] = ..., rag_sources: _Optional[_Iterable[str]] = ..., success: _Optional[bool] = ..., audio: _Optional[bytes] = ..., error: _Optional[str] = ..., request_id: _Optional[str] = ..., sources: _Optional[_Iterable[_Union[DocumentSource, _Mapping]]] = ..., model: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., latency_ms: _Optional[float] = ..., timings_ms: _Optional[_Mapping[str, float]] = ..., session_id: _Optional[str] = ..., audio_format: _Optional[str] = ...) -> None: ...

class ChatStreamChunk(_message.Message):
    __slots__ = ("request_id", "type", "content", "done", "timestamp", "sequence", "error_type")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    type: str
    content: str
    done: bool
    timestamp: int
    sequence: int
    error_type: str
    def __init__(self, request_id: _Optional[str] = ..., type: _Optional[str] = ..., content: _Optional[str] = ..., done: _Optional[bool] = ..., timestamp: _Optional[int] = ..., sequence: _Optional[int] = ..., error_type: _Optional[str] = ...) -> None: ...

class VoiceRequest(_message.Message):
    __slots__ = ("request_id", "audio", "language", "collection", "user_id", "session_id", "format", "sample_rate", "premium", "enable_rag", "response_subject", "voice", "enable_streaming", "audio_ref")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_FIELD_NUMBER: _ClassVar[int]
    PREMIUM_FIELD_NUMBER: _ClassVar[int]
    ENABLE_RAG_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    VOICE_FIELD_NUMBER: _ClassVar[int]
    ENABLE_STREAMING_FIELD_NUMBER: _ClassVar[int]
    AUDIO_REF_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    audio: bytes
    language: str
    collection: str
    user_id: str
    session_id: str
    format: str
    sample_rate: int
    premium: bool
    enable_rag: bool
    response_subject: str
    voice: str
    enable_streaming: bool
    audio_ref: str
    def __init__(self, request_id: _Optional[str] = ..., audio: _Optional[bytes] = ..., language: _Optional[str] = ..., collection: _Optional[str] = ..., user_id: _Optional[str] = ..., session_id: _Optional[str] = ..., format: _Optional[str] = ..., sample_rate: _Optional[int] = ..., premium: _Optional[bool] = ..., enable_rag: _Optional[bool] = ..., response_subject: _Optional[str] = ..., voice: _Optional[str] = ..., enable_streaming: _Optional[bool] = ..., audio_ref: _Optional[str] = ...) -> None: ...

class DocumentSource(_message.Message):
    __slots__ = ("text", "score", "document_id", "chunk_id", "title", "source_url", "position", "page")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CHUNK_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    text: str
    score: float
    document_id: str
    chunk_id: str
    title: str
    source_url: str
    position: int
    page: int
    def __init__(self, text: _Optional[str] = ..., score: _Optional[float] = ..., document_id: _Optional[str] = ..., chunk_id: _Optional[str] = ..., title: _Optional[str] = ..., source_url: _Optional[str] = ..., position: _Optional[int] = ..., page: _Optional[int] = ...) -> None: ...

class VoiceResponse(_message.Message):
    __slots__ = ("request_id", "response", "audio", "transcription", "sources", "error", "audio_format", "sample_rate", "latency_ms", "timings_ms", "rag_docs_used", "session_id")
    class TimingsMsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FORMAT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_MS_FIELD_NUMBER: _ClassVar[int]
    RAG_DOCS_USED_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    response: str
    audio: bytes
    transcription: str
    sources: _containers.RepeatedCompositeFieldContainer[DocumentSource]
    error: str
    audio_format: str
    sample_rate: int
    latency_ms: float
    timings_ms: _containers.ScalarMap[str, float]
    rag_docs_used: int
    session_id: str
    def __init__(self, request_id: _Optional[str] = ..., response: _Optional[str] = ..., audio: _Optional[bytes] = ..., transcription: _Optional[str] = ..., sources: _Optional[_Iterable[_Union[DocumentSource, _Mapping]]] = ..., error: _Optional[str] = ..., audio_format: _Optional[str] = ..., sample_rate: _Optional[int] = ..., latency_ms: _Optional[float] = ..., timings_ms: _Optional[_Mapping[str, float]] = ..., rag_docs_used: _Optional[int] = ..., session_id: _Optional[str] = ...) -> None: ...

class VoiceStreamChunk(_message.Message):
    __slots__ = ("request_id", "type", "content", "audio", "sequence", "done", "timestamp", "audio_format", "sample_rate", "error_type")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FORMAT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    type: str
    content: str
    audio: bytes
    sequence: int
    done: bool
    timestamp: int
    audio_format: str
    sample_rate: int
    error_type: str
    def __init__(self, request_id: _Optional[str] = ..., type: _Optional[str] = ..., content: _Optional[str] = ..., audio: _Optional[bytes] = ..., sequence: _Optional[int] = ..., done: _Optional[bool] = ..., timestamp: _Optional[int] = ..., audio_format: _Optional[str] = ..., sample_rate: _Optional[int] = ..., error_type: _Optional[str] = ...) -> None: ...

class VoiceFloor(_message.Message):
    __slots__ = ("session_id", "position", "questions", "taken")
    class QuestionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    position: int
    questions: _containers.ScalarMap[str, str]
    taken: bool
    def __init__(self, session_id: _Optional[str] = ..., position: _Optional[int] = ..., questions: _Optional[_Mapping[str, str]] = ..., taken: _Optional[bool] = ...) -> None: ...

class TTSRequest(_message.Message):
    __slots__ = ("text", "speaker", "language", "speaker_wav_b64", "stream", "request_id", "format", "sample_rate")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_WAV_B64_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_FIELD_NUMBER: _ClassVar[int]
    text: str
    speaker: str
    language: str
    speaker_wav_b64: str
    stream: bool
    request_id: str
    format: str
    sample_rate: int
    def __init__(self, text: _Optional[str] = ..., speaker: _Optional[str] = ..., language: _Optional[str] = ..., speaker_wav_b64: _Optional[str] = ..., stream: _Optional[bool] = ..., request_id: _Optional[str] = ..., format: _Optional[str] = ..., sample_rate: _Optional[int] = ...) -> None: ...

class TTSAudioChunk(_message.Message):
    __slots__ = ("session_id", "chunk_index", "total_chunks", "audio", "is_last", "timestamp", "sample_rate", "channels", "bit_depth", "audio_encoding")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CHUNK_INDEX_FIELD_NUMBER: _ClassVar[int]
    TOTAL_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    IS_LAST_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    BIT_DEPTH_FIELD_NUMBER: _ClassVar[int]
    AUDIO_ENCODING_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    chunk_index: int
    total_chunks: int
    audio: bytes
    is_last: bool
    timestamp: int
    sample_rate: int
    channels: int
    bit_depth: int
    audio_encoding: AudioEncoding
    def __init__(self, session_id: _Optional[str] = ..., chunk_index: _Optional[int] = ..., total_chunks: _Optional[int] = ..., audio: _Optional[bytes] = ..., is_last: _Optional[bool] = ..., timestamp: _Optional[int] = ..., sample_rate: _Optional[int] = ..., channels: _Optional[int] = ..., bit_depth: _Optional[int] = ..., audio_encoding: _Optional[_Union[AudioEncoding, str]] = ...) -> None: ...

class TTSFullResponse(_message.Message):
    __slots__ = ("session_id", "audio", "timestamp", "sample_rate", "channels", "bit_depth", "audio_encoding")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    BIT_DEPTH_FIELD_NUMBER: _ClassVar[int]
    AUDIO_ENCODING_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    audio: bytes
    timestamp: int
    sample_rate: int
    channels: int
    bit_depth: int
    audio_encoding: AudioEncoding
    def __init__(self, session_id: _Optional[str] = ..., audio: _Optional[bytes] = ..., timestamp: _Optional[int] = ..., sample_rate: _Optional[int] = ..., channels: _Optional[int] = ..., bit_depth: _Optional[int] = ..., audio_encoding: _Optional[_Union[AudioEncoding, str]] = ...) -> None: ...

class TTSStatus(_message.Message):
    __slots__ = ("session_id", "status", "message", "timestamp")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    status: str
    message: str
    timestamp: int
    def __init__(self, session_id: _Optional[str] = ..., status: _Optional[str] = ..., message: _Optional[str] = ..., timestamp: _Optional[int] = ...) -> None: ...

class TTSVoiceInfo(_message.Message):
    __slots__ = ("name", "language", "model_type", "created_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    language: str
    model_type: str
    created_at: str
    def __init__(self, name: _Optional[str] = ..., language: _Optional[str] = ..., model_type: _Optional[str] = ..., created_at: _Optional[str] = ...) -> None: ...

class TTSVoiceListResponse(_message.Message):
    __slots__ = ("default_speaker", "custom_voices", "last_refresh", "timestamp", "speakers")
    DEFAULT_SPEAKER_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_VOICES_FIELD_NUMBER: _ClassVar[int]
    LAST_REFRESH_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SPEAKERS_FIELD_NUMBER: _ClassVar[int]
    default_speaker: str
    custom_voices: _containers.RepeatedCompositeFieldContainer[TTSVoiceInfo]
    last_refresh: int
    timestamp: int
    speakers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, default_speaker: _Optional[str] = ..., custom_voices: _Optional[_Iterable[_Union[TTSVoiceInfo, _Mapping]]] = ..., last_refresh: _Optional[int] = ..., timestamp: _Optional[int] = ..., speakers: _Optional[_Iterable[str]] = ...) -> None: ...

class TTSVoiceRefreshResponse(_message.Message):
    __slots__ = ("count", "custom_voices", "timestamp")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_VOICES_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    count: int
    custom_voices: _containers.RepeatedCompositeFieldContainer[TTSVoiceInfo]
    timestamp: int
    def __init__(self, count: _Optional[int] = ..., custom_voices: _Optional[_Iterable[_Union[TTSVoiceInfo, _Mapping]]] = ..., timestamp: _Optional[int] = ...) -> None: ...

class STTStreamMessage(_message.Message):
    __slots__ = ("type", "audio", "state", "speaker_id", "sample_rate", "channels", "bit_depth", "audio_encoding", "language", "sequence")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_ID_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    BIT_DEPTH_FIELD_NUMBER: _ClassVar[int]
    AUDIO_ENCODING_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    type: str
    audio: bytes
    state: str
    speaker_id: str
    sample_rate: int
    channels: int
    bit_depth: int
    audio_encoding: AudioEncoding
    language: str
    sequence: int
    def __init__(self, type: _Optional[str] = ..., audio: _Optional[bytes] = ..., state: _Optional[str] = ..., speaker_id: _Optional[str] = ..., sample_rate: _Optional[int] = ..., channels: _Optional[int] = ..., bit_depth: _Optional[int] = ..., audio_encoding: _Optional[_Union[AudioEncoding, str]] = ..., language: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class STTTranscription(_message.Message):
    __slots__ = ("session_id", "transcript", "sequence", "is_partial", "is_final", "timestamp", "speaker_id", "has_voice_activity", "state", "error_type", "audio_ms")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    IS_PARTIAL_FIELD_NUMBER: _ClassVar[int]
    IS_FINAL_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_ID_FIELD_NUMBER: _ClassVar[int]
    HAS_VOICE_ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    AUDIO_MS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    transcript: str
    sequence: int
    is_partial: bool
    is_final: bool
    timestamp: int
    speaker_id: str
    has_voice_activity: bool
    state: str
    error_type: str
    audio_ms: int
    def __init__(self, session_id: _Optional[str] = ..., transcript: _Optional[str] = ..., sequence: _Optional[int] = ..., is_partial: _Optional[bool] = ..., is_final: _Optional[bool] = ..., timestamp: _Optional[int] = ..., speaker_id: _Optional[str] = ..., has_voice_activity: _Optional[bool] = ..., state: _Optional[str] = ..., error_type: _Optional[str] = ..., audio_ms: _Optional[int] = ...) -> None: ...

class STTInterrupt(_message.Message):
    __slots__ = ("session_id", "type", "timestamp", "speaker_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    type: str
    timestamp: int
    speaker_id: str
    def __init__(self, session_id: _Optional[str] = ..., type: _Optional[str] = ..., timestamp: _Optional[int] = ..., speaker_id: _Optional[str] = ...) -> None: ...

class PipelineTrigger(_message.Message):
    __slots__ = ("request_id", "pipeline", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pipeline: str
    parameters: _containers.ScalarMap[str, str]
    def __init__(self, request_id: _Optional[str] = ..., pipeline: _Optional[str] = ..., parameters: _Optional[_Mapping[str, str]] = ...) -> None: ...

class PipelineStatus(_message.Message):
    __slots__ = ("request_id", "status", "run_id", "engine", "pipeline", "submitted_at", "error", "available_pipelines", "message", "timestamp", "progress", "artifacts", "finished_at")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_PIPELINES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    status: str
    run_id: str
    engine: str
    pipeline: str
    submitted_at: str
    error: str
    available_pipelines: _containers.RepeatedScalarFieldContainer[str]
    message: str
    timestamp: str
    progress: str
    artifacts: _containers.RepeatedCompositeFieldContainer[Artifact]
    finished_at: str
    def __init__(self, request_id: _Optional[str] = ..., status: _Optional[str] = ..., run_id: _Optional[str] = ..., engine: _Optional[str] = ..., pipeline: _Optional[str] = ..., submitted_at: _Optional[str] = ..., error: _Optional[str] = ..., available_pipelines: _Optional[_Iterable[str]] = ..., message: _Optional[str] = ..., timestamp: _Optional[str] = ..., progress: _Optional[str] = ..., artifacts: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ..., finished_at: _Optional[str] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("request_id", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens", "total_tokens")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., total_tokens: _Optional[int] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("id", "run_id", "name", "type", "uri")
    ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    id: str
    run_id: str
    name: str
    type: str
    uri: str
    def __init__(self, id: _Optional[str] = ..., run_id: _Optional[str] = ..., name: _Optional[str] = ..., type: _Optional[str] = ..., uri: _Optional[str] = ...) -> None: ...

class DomainEvent(_message.Message):
    __slots__ = ("id", "name", "occurred_at", "user_id", "session_id", "request_id", "data")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    occurred_at: str
    user_id: str
    session_id: str
    request_id: str
    data: bytes
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., occurred_at: _Optional[str] = ..., user_id: _Optional[str] = ..., session_id: _Optional[str] = ..., request_id: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...
