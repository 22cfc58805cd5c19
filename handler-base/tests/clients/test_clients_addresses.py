from __future__ import annotations

import pytest

from handler_base.clients import HttpEndpoints, HttpPool
from handler_base.clients.addresses import base_urls

PATHS = ("/v1/rerank", "/rerank", "/openai/v1/rerank", "")


@pytest.mark.parametrize(
    ("text", "url", "path"),
    [
        ("http://host:8000", "http://host:8000", ""),
        ("http://host:8000/", "http://host:8000", ""),
        ("http://host:8000/v1", "http://host:8000", ""),
        ("http://host:8000/v1/", "http://host:8000", ""),
        ("http://host/reranker", "http://host:80/reranker", ""),
        ("http://host/reranker/v1/", "http://host:80/reranker", ""),
        ("https://host/openai/v1", "https://host:443/openai", ""),
        ("http://host:8000/v1/rerank", "http://host:8000", "/v1/rerank"),
        ("http://host:8000/a/rerank/", "http://host:8000/a", "/rerank"),
        ("http://host:8000/openai/v1/rerank", "http://host:8000", "/openai/v1/rerank"),
        ("http://[::1]:8000/v1", "http://[::1]:8000", ""),
    ],
)
def test_every_way_to_write_a_base_url_is_read(text: str, url: str, path: str) -> None:
    (found,) = base_urls(text, PATHS)
    assert (found.url, found.path) == (url, path)


def test_a_list_keeps_its_order() -> None:
    assert [base.url for base in base_urls(" http://b:1/v1 ,, http://a:2/ ")] == ["http://b:1", "http://a:2"]


def test_a_user_name_becomes_a_header_and_never_a_label() -> None:
    (found,) = base_urls("http://me:secret@host:81/v1")
    assert found.authorization == "Basic bWU6c2VjcmV0"
    assert "secret" not in found.url + found.label


@pytest.mark.parametrize("text", ["", " , ", "host:8000", "ftp://host", "file:///etc/passwd", "/v1"])
async def test_what_is_no_base_url_is_refused(pool: HttpPool, text: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        HttpEndpoints("llm", text, pool=pool)
