"""What pipelines may read, and what they may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from handler_base.errors import (
    FleetError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    UnsupportedFormatError,
    UpstreamError,
    UpstreamUnavailableError,
)
from handler_base.testing.nats_server import free_port
from pipeline_bridge.steps.sources import Source, Sources


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("file:///srv/docs/", "file:///srv/docs/a.md"),
        ("file:///srv/docs", "file:///srv/docs/"),
        ("file:///srv/docs", "file://localhost/srv/docs/a%20b.md"),
        ("https://docs.example.org/", "https://docs.example.org/a"),
        ("https://docs.example.org", "https://DOCS.example.org:443/a/b?c"),
        ("http://docs.example.org:8080/guide", "http://docs.example.org:8080/guide/one"),
    ],
)
async def test_what_lies_below_may_be_read(allowed: str, url: str) -> None:
    async with Sources([allowed]) as sources:
        assert sources.check(url).geturl() == url


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("file:///srv/docs/", "file:///srv/docs-private/a.md"),
        ("file:///srv/docs/", "file:///srv/docs/../secrets"),
        ("file:///srv/docs/", "file:///srv/docs/%2e%2e/secrets"),
        ("file:///srv/docs/", "https://srv/docs/"),
        ("https://docs.example.org/guide/", "https://docs.example.org/guidebook"),
        ("https://docs.example.org/guide/", "https://docs.example.org/guide/../private"),
        ("https://docs.example.org/guide/", "https://docs.example.org/guide/%2e%2e/private"),
        ("https://docs.example.org/guide/", "https://docs.example.org/guide/%252e%252e%2fprivate"),
        ("https://docs.example.org/", "http://docs.example.org/"),
        ("https://docs.example.org/", "https://docs.example.org.evil.test/"),
        ("https://docs.example.org/", "https://docs.example.org:8443/"),
        ("https://docs.example.org/", "http://169.254.169.254/latest/meta-data"),
    ],
)
async def test_nothing_else_may_be_read(allowed: str, url: str) -> None:
    async with Sources([allowed]) as sources:
        with pytest.raises(PermissionDeniedError):
            sources.check(url)
        with pytest.raises(PermissionDeniedError):
            await sources.text(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "docs",
        "s3://bucket/docs",
        "ftp://docs.example.org/",
        "file://server/share",
        "file:docs",
        "file:///a%00b",
        "https://",
        "https://user:password@docs.example.org/",
        "https://docs.example.org\\@evil.test/",
        "https://docs.example.org:0/",
        "https://docs.example.org:99999/",
        "https://[::1/",
        "https://docs.example.org/a\nb\x01",
    ],
)
async def test_what_is_no_such_url_is_refused(url: str) -> None:
    async with Sources(["file:///", "https://docs.example.org/"]) as sources:
        with pytest.raises(FleetError) as refused:
            sources.check(url)
        assert isinstance(refused.value, InvalidRequestError | PermissionDeniedError)


async def test_without_a_list_nothing_may_be_read(tmp_path: Path) -> None:
    async with Sources([]) as sources:
        with pytest.raises(PermissionDeniedError):
            sources.list_files(f"file://{tmp_path}")


def test_a_list_that_names_no_urls_is_told_as_such() -> None:
    with pytest.raises(InvalidRequestError, match="SOURCE_URLS is not valid: The URL must begin with file:"):
        Sources(["/srv/docs"])


async def test_a_link_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "secret.md").write_text("secret", "utf-8")
    (tmp_path / "docs" / "link.md").symlink_to(tmp_path / "secret.md")
    async with Sources([f"file://{tmp_path}/docs"]) as sources:
        with pytest.raises(PermissionDeniedError):
            sources.list_files(f"file://{tmp_path}/docs")


async def test_files_are_named_from_the_folder_on(tmp_path: Path) -> None:
    for name in ("docs/a b.md", "docs/deep/c.txt", "docs/.hidden/d.md", "docs/e.exe"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text", "utf-8")
    async with Sources([f"file://{tmp_path}"]) as sources:
        found = sources.list_files(f"file://{tmp_path}/docs")
        assert [source.name for source in found] == ["docs/a b.md", "docs/deep/c.txt"]
        assert [source.name for source in sources.list_files(found[0].url)] == ["a b.md"]
        with pytest.raises(NotFoundError):
            sources.list_files(f"file://{tmp_path}/nothing")


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """A small web site; the URL has no slash at its end."""

    async def page(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name == "away":
            raise web.HTTPFound("/docs/one")
        if name == "broken":
            raise web.HTTPInternalServerError
        if name == "map.xml":
            base = f"{request.scheme}://{request.host}"
            places = [f"{base}/docs/two?a=1&amp;b=2", f"{base}/docs/one", f"{base}/private", "http://evil.test/"]
            return web.Response(text="".join(f"<url><loc> {place} </loc></url>" for place in places))
        if name == "picture":
            return web.Response(body=b"\x89PNG", content_type="image/png")
        if name == "plain.md":
            return web.Response(body=b"# Plain\n\ntext", content_type="application/octet-stream")
        if name != "one":
            raise web.HTTPNotFound
        return web.Response(text="<title>One</title><p>The first ferry leaves at six.", content_type="text/html")

    app = web.Application()
    app.router.add_get("/docs/{name}", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_pages_are_read_by_their_type_or_their_name(site: str) -> None:
    async with Sources([f"{site}/docs"]) as sources:
        [one] = await sources.list_pages(f"{site}/docs/one")
        document = await sources.load_page(one)
        assert (document.source, document.title) == (f"{site}/docs/one", "One")
        assert "six" in document.text
        assert (await sources.load_page(Source("p", f"{site}/docs/plain.md"))).title == "Plain"


async def test_a_sitemap_names_pages_and_none_that_may_not_be_read(site: str) -> None:
    async with Sources([f"{site}/docs"]) as sources:
        found = await sources.list_pages(f"{site}/docs/map.xml")
        assert [source.url for source in found] == [f"{site}/docs/one", f"{site}/docs/two?a=1&b=2"]
    async with Sources([f"{site}/docs/map.xml"]) as sources:
        with pytest.raises(PermissionDeniedError):
            await sources.list_pages(f"{site}/docs/map.xml")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nothing", NotFoundError),
        ("broken", UpstreamError),
        ("away", UpstreamError),
        ("picture", UnsupportedFormatError),
    ],
)
async def test_a_page_that_cannot_be_had(site: str, name: str, error: type[FleetError]) -> None:
    async with Sources([site]) as sources:
        with pytest.raises(error):
            await sources.load_page(Source(name, f"{site}/docs/{name}"))


async def test_a_server_that_does_not_answer() -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    async with Sources([url]) as sources:
        with pytest.raises(UpstreamUnavailableError):
            await sources.text(url)
