"""The routes of the web server, over a real socket."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import httpx
import pytest

from exporter.web.app import Endpoints, make_app
from exporter.web.metrics_handler import BODY_CHUNK, OPENMETRICS_TYPE, TEXT_TYPE
from exporter.web.server import ListenAddress, serve
from tests.status.snapshots import FixedSnapshot

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}
PLAIN = {"Accept-Encoding": "identity"}


def exposition(openmetrics: bool) -> Iterator[bytes]:  # noqa: FBT001 - as the exporter's
    """A page in pieces."""
    yield b"a 1\n"
    yield b""
    yield b"b 2\n" * 100_000
    yield b"# EOF\n" if openmetrics else b""


ENDPOINTS = Endpoints(
    telemetry_path="/metrics",
    max_requests=2,
    exposition=exposition,
    is_healthy=lambda: True,
    is_ready=lambda: False,
    add_routes=FixedSnapshot().add_routes,
)


@asynccontextmanager
async def browsing(endpoints: Endpoints = ENDPOINTS) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the endpoints; yields an HTTP client."""
    async with serve(make_app(endpoints), [ListenAddress("127.0.0.1", 0)]) as (address,):
        base = f"http://{address}"
        async with httpx.AsyncClient(base_url=base, headers=PLAIN, trust_env=False) as client:
            yield client


async def test_text_is_the_default() -> None:
    """A client that requests no format gets the complete page as text, uncompressed."""
    async with browsing() as client:
        response = await client.get("/metrics")
    assert response.status_code == 200
    assert (
        response.headers["Content-Type"] == TEXT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
    )
    assert "Content-Encoding" not in response.headers
    assert response.content == b"".join(exposition(openmetrics=False))


async def test_small_pages_have_a_length_and_large_ones_are_streamed() -> None:
    """A page up to 256 KiB has a Content-Length, a larger one is streamed; both are complete."""
    for pieces, length in ([b"a" * 200_000], "200000"), ([b"a" * 200_000] * 3, None):
        async with browsing(replace(ENDPOINTS, exposition=partial(_shown, pieces))) as client:
            response = await client.get("/metrics")
        assert response.headers.get("Content-Length") == length
        assert response.content == b"".join(pieces)


def _shown(pieces: list[bytes], _openmetrics: bool) -> Iterator[bytes]:  # noqa: FBT001 - positional
    return iter(pieces)


async def test_openmetrics_on_request() -> None:
    """A client that accepts OpenMetrics gets it, with its content type."""
    async with browsing() as client:
        response = await client.get("/metrics", headers=OPENMETRICS)
    assert response.headers["Content-Type"] == OPENMETRICS_TYPE
    assert response.content.endswith(b"# EOF\n")


async def test_gzip_on_request() -> None:
    """A client that accepts gzip gets the same bytes compressed."""
    async with (
        browsing() as client,
        client.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip"}) as response,
    ):
        raw = b"".join([chunk async for chunk in response.aiter_raw()])
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept, Accept-Encoding"
    assert gzip.decompress(raw) == b"".join(exposition(openmetrics=False))


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_others_run_while_a_page_is_made(coding: str) -> None:
    """Other tasks run between the pieces of a page, even if it compresses well."""
    turns: list[int] = []
    counted = 0

    def pieces(_openmetrics: bool) -> Iterator[bytes]:  # noqa: FBT001 - as the exporter's
        for _ in range(50):
            turns.append(counted)
            yield b"a" * BODY_CHUNK

    async def count() -> None:
        nonlocal counted
        while True:
            counted += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    async with browsing(replace(ENDPOINTS, exposition=pieces)) as client:
        await client.get("/metrics", headers={"Accept-Encoding": coding})
    counting.cancel()
    assert len(set(turns)) == 50


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/"])
async def test_head_has_the_headers_and_no_body(path: str) -> None:
    """HEAD gets the status and type that GET gets, without a body."""
    async with browsing() as client:
        got, head = await client.get(path), await client.head(path)
    assert head.status_code == got.status_code == 200
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert head.content == b""


@pytest.mark.parametrize(("holds", "status"), [(True, 200), (False, 503)])
async def test_probes_say_what_holds(holds: bool, status: int) -> None:  # noqa: FBT001 - a case
    """The probes respond with 200 while the exporter is healthy or ready, and else with 503."""
    async with browsing(
        replace(ENDPOINTS, is_healthy=lambda: holds, is_ready=lambda: holds)
    ) as client:
        assert (await client.get("/-/healthy")).status_code == status
        assert (await client.get("/-/ready")).status_code == status


@pytest.mark.parametrize("path", ["/metric", "/metrics/", "/favicon.ico", "/-/", "/%2e%2e/metrics"])
async def test_anything_else_is_not_found(path: str) -> None:
    """Unknown paths get 404."""
    async with browsing() as client:
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready", "/"])
async def test_wrong_method_is_not_allowed(path: str) -> None:
    """A wrong method gets 405, and the response's Allow header names the allowed ones."""
    async with browsing() as client:
        response = await client.post(path)
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET,HEAD"


async def test_metrics_may_be_the_front_page() -> None:
    """With the telemetry path /, the front page is the metrics page."""
    async with browsing(replace(ENDPOINTS, telemetry_path="/")) as client:
        assert (await client.get("/")).headers["Content-Type"] == TEXT_TYPE


async def test_too_many_scrapes_at_once_are_turned_away() -> None:
    """A scrape over the limit gets 503 at once, and scrapes that end free their places."""
    endless = replace(ENDPOINTS, exposition=lambda _: iter([b"x" * 100_000] * 1000))
    async with browsing(endless) as client, asyncio.TaskGroup() as group:
        started = [asyncio.Event(), asyncio.Event()]
        done = asyncio.Event()

        async def slow(event: asyncio.Event) -> None:
            async with client.stream("GET", "/metrics") as response:
                assert response.status_code == 200
                event.set()
                await done.wait()

        for event in started:
            group.create_task(slow(event))
        for event in started:
            await event.wait()
        refused = await client.get("/metrics")
        assert refused.status_code == 503
        assert "(2)" in refused.text
        assert (await client.get("/-/healthy")).status_code == 200
        done.set()
    async with browsing(replace(ENDPOINTS, max_requests=1)) as client:
        for _ in range(3):
            assert (await client.get("/metrics")).status_code == 200


async def test_no_limit() -> None:
    """A limit of 0 means no limit."""
    async with browsing(replace(ENDPOINTS, max_requests=0)) as client:
        assert (await client.get("/metrics")).status_code == 200
