"""Fake inference servers on a free port, one for each kind, each in every dialect of its kind.

    async with FakeLLM(LLMScript(tokens_per_second=200, always=reset(after=3))) as server:
        ...  # point a client at server.url
    assert server.disconnects == 0

They record requests (`requests`), the requests being answered (`open_streams`), and the clients that left before the
end (`disconnects`). A `Script` says how fast they are and how they fail.
"""

from __future__ import annotations

from handler_base.testing.inference.llm import FakeLLM, LLMScript
from handler_base.testing.inference.retrieval import (
    EmbeddingsScript,
    FakeEmbeddings,
    FakeReranker,
    RerankScript,
    word_overlap,
    word_vector,
)
from handler_base.testing.inference.script import (
    Failure,
    FailureKind,
    Script,
    busy,
    error_in_stream,
    hang,
    reset,
    status,
    truncated,
)
from handler_base.testing.inference.server import FakeServer, RecordedRequest
from handler_base.testing.inference.speech import FakeSTT, FakeTTS, STTScript, TTSScript, wav_file

__all__ = [
    "EmbeddingsScript",
    "Failure",
    "FailureKind",
    "FakeEmbeddings",
    "FakeLLM",
    "FakeReranker",
    "FakeSTT",
    "FakeServer",
    "FakeTTS",
    "LLMScript",
    "RecordedRequest",
    "RerankScript",
    "STTScript",
    "Script",
    "TTSScript",
    "busy",
    "error_in_stream",
    "hang",
    "reset",
    "status",
    "truncated",
    "wav_file",
    "word_overlap",
    "word_vector",
]
