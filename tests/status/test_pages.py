"""The status pages over a real socket, made from fixed snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.model import (
    ApiError,
    Bucket,
    BucketState,
    DayStats,
    FailedPoll,
    Node,
    PollResult,
    Reason,
    Timing,
)
from exporter.simulator.data_faults import HOSTILE
from exporter.status.api import PATH
from exporter.status.snapshot import AccountStatus, BucketStatus, ConfigStatus, DiscoveryStatus
from exporter.web.server import ListenAddress
from tests.harness.fakes import NOON, after, failure, node, reading
from tests.status.snapshots import PROCESS, START, FixedSnapshot, bucket_status, history_of
from tests.web.guarded import ALICE, USERS, Site, browser, guarded
from tests.web.markup import Markup
from tests.web.raw import SCRAPE, raw
from tests.web.test_app import ENDPOINTS, browsing

PAGES = ("/", "/bucket?id=b1", "/help")
NODE = node("h1", status="ONLINE", version="7.7.7", uptime_ratio=0.5, latency_last_seconds=0.123)


def held(bucket: Bucket, *outcomes: PollResult) -> BucketStatus:
    """A bucket after polls with these results."""
    state = BucketState(START)
    for outcome in outcomes:
        state = state.after(outcome, Timing())
    return bucket_status(bucket, state)


GOOD = held(Bucket("main", "b1", "media", {"team": "studio"}), reading(START, NODE))
BAD = held(Bucket("other", "b2", "backups"), failure(START, Reason.TLS))
SNAPSHOT = FixedSnapshot((GOOD, BAD), accounts=(AccountStatus("main"), AccountStatus("other")))


@asynccontextmanager
async def visiting(
    snapshot: FixedSnapshot = SNAPSHOT, **changes: object
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the pages of a snapshot; yields an HTTP client."""
    endpoints = replace(ENDPOINTS, add_routes=snapshot.add_routes, **changes)  # type: ignore[arg-type] # by name
    async with browsing(endpoints) as client:
        yield client


async def page(path: str = "/", snapshot: FixedSnapshot = SNAPSHOT) -> Markup:
    """The parsed markup of a page."""
    async with visiting(snapshot) as client:
        response = await client.get(path)
    assert response.status_code == 200
    return Markup(response.text)


@pytest.mark.parametrize("path", PAGES)
async def test_headers_forbid_everything_from_elsewhere(path: str) -> None:
    """The headers forbid content from other servers, framing, caching and referrers."""
    async with visiting() as client:
        response = await client.get(path)
    policy = dict(
        each.strip().split(" ", 1)
        for each in response.headers["Content-Security-Policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "script-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", [*PAGES, "/bucket?id=gone", "/?state=failing&q=x"])
async def test_nothing_is_loaded_from_elsewhere(path: str) -> None:
    """Every URL on a page is relative, so that pages also work below a proxy's path prefix."""
    async with visiting() as client:
        markup = Markup((await client.get(path)).text)
    assert markup.addresses()
    assert all(address.startswith(("./", "#")) for address in markup.addresses())


@pytest.mark.parametrize("path", PAGES)
async def test_every_link_leads_somewhere(path: str) -> None:
    """Each link and resource of a page gets a 200 response."""
    async with visiting(is_ready=lambda: True) as client:
        for address in Markup((await client.get(path)).text).addresses():
            if not address.startswith("#"):
                assert (await client.get(address.removeprefix("."))).status_code == 200, address


@pytest.mark.parametrize("path", PAGES)
async def test_head_and_other_methods(path: str) -> None:
    """HEAD gets the headers without a body, and POST gets 405."""
    async with visiting() as client:
        head, post = await client.head(path), await client.post(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == "text/html; charset=utf-8"
    assert (post.status_code, post.headers["Allow"]) == (405, "GET,HEAD")


async def test_overview_says_how_everything_is() -> None:
    """The overview has a headline, counts, and each bucket with reason and remedy, worst first."""
    markup = await page()
    said = markup.said()
    assert "1 of 2 buckets is failing" in said
    assert "1 failing 0 pending 0 degraded 1 up 0 of 1 node not online" in said
    assert (
        "tls the TLS connection failed, or the certificate is not trusted. What to do: check the CA"
        in said
    )
    assert "Last error because of tls" in said
    assert "Next poll in 30 s" in said
    assert "7.7.7" in said
    assert "50 %" in said
    assert "123 ms" in said
    assert said.index("backups") < said.index("media")
    assert f"Version: {PROCESS.version}" in said
    assert "As of 2024-01-15 12:00:00 UTC" in said
    (sparkline, _) = markup.all("svg")
    assert (sparkline["role"], sparkline["aria-label"]) == ("img", "Last 1 poll: all succeeded")


async def test_bucket_page_says_all_of_it() -> None:
    """A bucket's page has its labels, times, nodes and previous day, and no other bucket's."""
    yesterday = DayStats(after(START, -86400).day, (node("gone", uptime_ratio=0.25),))
    state = replace(GOOD.state, previous_day=yesterday)
    past = history_of(FailedPoll(ApiError(Reason.TIMEOUT, ""), START, 10.0))
    snapshot = FixedSnapshot((GOOD._replace(state=state, history=past), BAD))
    said = (await page("/bucket?id=b1", snapshot)).said()
    for each in (
        "media",
        "studio",
        "b1",
        "7.7.7",
        "gone",
        "2024-01-14",
        "25 %",
        "now, took 250 ms",
    ):
        assert each in said
    assert "2024-01-15 12:00:00 UTC failed (timeout) after 10 s" in said
    assert "backups" not in said


async def test_stale_values_are_not_shown() -> None:
    """Pages drop a stale bucket's nodes when the metrics do, and say why."""
    fresh, stale = SNAPSHOT.later(299.9), SNAPSHOT.later(300)
    for path in ("/", "/bucket?id=b1"):
        assert "123 ms" in (await page(path, fresh)).said()
        said = (await page(path, stale)).said()
        assert "7.7.7" not in said
        assert "123 ms" not in said
        assert "Stale: the last successful poll is older than 5 min" in said
        assert "overdue stale although no poll failed" in said


async def test_waiting_buckets() -> None:
    """Before the first poll, the pages say that the bucket was not polled yet."""
    snapshot = FixedSnapshot((held(Bucket("main", "b1", "b1"))._replace(history=b""),))
    snapshot.process = replace(PROCESS, is_ready=False)
    said = (await page("/", snapshot)).said()
    assert "1 of 1 bucket is waiting for the first poll" in said
    assert "The first round of polls is running: 0 of 1 bucket polled so far." in said
    assert "Last success never" in said
    said = (await page("/bucket?id=b1", snapshot)).said()
    assert "No successful poll yet." in said
    assert "Latest poll none yet" in said


async def test_no_buckets() -> None:
    """If the exporter has no buckets, the page says so."""
    assert "No buckets are polled" in (await page("/", FixedSnapshot())).said()


async def test_empty_answers() -> None:
    """If a successful poll returns no nodes, the bucket's page says so."""
    snapshot = FixedSnapshot((held(Bucket("main", "b1", "b1"), reading(START)),))
    assert "All buckets" not in (await page("/", snapshot)).said()
    assert "The API lists no nodes for this day." in (await page("/bucket?id=b1", snapshot)).said()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"due": START.monotonic + 90}, "in 1 min"),
        ({"due": START.monotonic - 5}, "due"),
        ({"is_running": True}, "running"),
        ({"is_running": True, "paused_until": NOON + 20}, "running"),
        ({"due": START.monotonic + 5, "paused_until": NOON + 20}, "in 20 s, paused"),
        ({"due": START.monotonic + 50, "paused_until": NOON + 20}, "in 50 s, paused"),
    ],
)
async def test_next_polls(changes: dict[str, Any], words: str) -> None:
    """The page says when a bucket is polled next, or that its poll is running, due or paused."""
    snapshot = FixedSnapshot((GOOD._replace(**changes), BAD))
    assert f"Next poll {words} " in (await page("/bucket?id=b1", snapshot)).said()


async def test_nodes_not_online_are_named_at_the_top() -> None:
    """A node that is down in many buckets is listed once, with the number of buckets."""
    down = node("h9", status="OFFLINE")
    buckets = [held(Bucket("main", f"b{n}", f"b{n}"), reading(START, NODE, down)) for n in range(7)]
    said = (await page("/", FixedSnapshot(tuple(buckets)))).said()
    assert "All buckets are up, 7 of 14 nodes not online" in said
    assert "OFFLINE h9 192.0.2.1 in 7 buckets" in said


async def test_many_nodes_are_on_the_buckets_own_page() -> None:
    """The overview lists a bucket's first nodes, and the bucket's own page lists all."""
    nodes = [node(f"host-{number:03}", status="OFFLINE") for number in range(100)]
    snapshot = FixedSnapshot((held(Bucket("main", "b1", "b1"), reading(START, *nodes)),))
    said = (await page("/", snapshot)).said()
    assert "host-011" in said
    assert "host-012" not in said
    assert "88 more nodes of b1" in said
    assert "and 95 more nodes" in said
    assert "host-099" in (await page("/bucket?id=b1", snapshot)).said()


async def test_filters_choose_and_stay_chosen() -> None:
    """Filters apply to the list and stay in the form, and the summary counts all buckets."""
    markup = await page("/?state=failing&account=other&q=back&node=")
    assert "1 of 2, worst first" in markup.said()
    assert [each["href"] for each in markup.all("a") if "bucket?" in each["href"]] == [
        "./bucket?id=b2"
    ]
    chosen = [each["value"] for each in markup.all("option") if "selected" in each]
    assert chosen == ["failing", "other"]
    assert markup.all("input")[0]["value"] == "back"
    assert "1 of 2 buckets is failing" in markup.said()
    assert "No bucket matches the filters." in (await page("/?q=nonesuch")).said()


async def test_pages_of_buckets() -> None:
    """A page lists fifty buckets, and the links to other pages keep the filters."""
    buckets = [held(Bucket("main", f"b{n:03}", f"b{n:03}"), failure(START)) for n in range(120)]
    snapshot = FixedSnapshot(tuple(buckets))
    first, second = await page("/?q=b", snapshot), await page("/?q=b&page=2", snapshot)
    assert [each["href"] for each in first.all("a") if "rel" in each] == ["./?q=b&page=2"]
    assert [each["href"] for each in second.all("a") if "rel" in each] == [
        "./?q=b",
        "./?q=b&page=3",
    ]
    assert "b049" in first.said()
    assert "b050" not in first.said()
    assert second.all("ol")[0]["start"] == "51"
    assert "b119" in (await page("/?page=99", snapshot)).said()


async def test_unknown_bucket() -> None:
    """A missing ID, or that of a bucket that is not polled, gets 404; the ID is escaped."""
    async with visiting() as client:
        gone = await client.get("/bucket", params={"id": "<script>"})
        none = await client.get("/bucket")
    assert (gone.status_code, none.status_code) == (404, 404)
    assert "This exporter polls no bucket with the ID <script>." in Markup(gone.text).said()
    assert "<script>" not in gone.text
    assert "has no bucket ID" in none.text


@pytest.mark.parametrize("bucket_id", ["a/b", "50%", 'a"b', "a b?c#d&e=f", "é😀", "+", "<x>", "'"])
async def test_links_to_buckets_of_any_name(bucket_id: str) -> None:
    """The links to a bucket's page and JSON work for IDs with any characters."""
    snapshot = FixedSnapshot((held(Bucket("main", bucket_id, "odd"), failure(START)),))
    async with visiting(snapshot) as client:
        links = Markup((await client.get("/")).text).all("a")
        (link,) = (each["href"] for each in links if each["href"].startswith("./bucket"))
        response = await client.get(link.removeprefix("."))
        assert response.status_code == 200
        assert bucket_id in Markup(response.text).said()
        json = next(
            each["href"] for each in Markup(response.text).all("a") if "bucket_id" in each["href"]
        )
        answer = await client.get(json.removeprefix("."))
    assert answer.json()["buckets"][0]["id"] == bucket_id


async def test_notices_are_shown() -> None:
    """Failed reloads, pauses and failing discovery are shown, and texts in them are escaped."""
    refused = ConfigStatus(NOON - 60, NOON - 5, "config.yaml:3: <b>&\nsecond line")
    fault = ApiError(Reason.FORBIDDEN, "HTTP 403")
    accounts = (
        AccountStatus("main", NOON + 20, NOON - 5, DiscoveryStatus(was_tried=True, error=fault)),
        AccountStatus("new", discovery=DiscoveryStatus(was_tried=False)),
        AccountStatus(
            "fine", None, NOON + 60, DiscoveryStatus(was_tried=True, found=3, last_success=START)
        ),
    )
    snapshot = replace(SNAPSHOT, process=replace(PROCESS, config=refused), accounts=accounts)
    said = (await page("/", snapshot)).said()
    assert "The configuration reload failed 5 s ago" in said
    assert "config.yaml:3: <b>& second line" in said
    assert (
        "Account main is rate limited and paused: polls resume in 20 s. What to do: poll fewer"
        in said
    )
    assert "Discovery of account main is failing: forbidden." in said
    assert "paused, resumes in 20 s" in said
    assert "expired 5 s ago" in said
    assert "not run yet" in said
    assert "expires in 1 min 3 buckets found now" in said


async def test_very_many_accounts() -> None:
    """With more than 100 accounts, 100 are listed, and the account filter is a text field."""
    accounts = tuple(AccountStatus(f"a{number}") for number in range(101))
    markup = await page("/?account=a100", replace(SNAPSHOT, accounts=accounts))
    assert "1 more account, see the JSON" in markup.said()
    assert [each["value"] for each in markup.all("input") if each["name"] == "account"] == ["a100"]


def snapshot_of(text: str) -> FixedSnapshot:
    """A snapshot in which every text from the API or the configuration is this one."""
    text = text[:256] or "x"
    bucket = Bucket("a", "b1", text, {"label": text}, text, text, text)
    nodes = reading(START, Node(text, text, text, text))
    fault = ApiError(Reason.TLS, text)
    return FixedSnapshot(
        (
            held(bucket, nodes, FailedPoll(fault, START, 0.5)),
            held(replace(bucket, id=text, account=text), nodes),
        ),
        process=replace(PROCESS, config=ConfigStatus(NOON, NOON, text), known_statuses=(text,)),
        accounts=(
            AccountStatus(text, discovery=DiscoveryStatus(was_tried=True, error=fault)),
            AccountStatus("a"),
        ),
    )


@pytest.mark.parametrize("path", ["/", "/bucket?id=b1"])
@pytest.mark.parametrize("text", [*HOSTILE, "' onload=x \"", "`x`", "</title></textarea></pre>"])
async def test_hostile_texts_stay_texts(path: str, text: str) -> None:
    """No text from the API or the configuration can add elements or attributes to a page."""
    markup, harmless = (
        await page(path, snapshot_of(text)),
        await page(path, snapshot_of("harmless")),
    )
    known = {(each.name, *sorted(each.attributes)) for each in harmless.elements}
    for element in markup.elements:
        shape = (element.name, *sorted(set(element.attributes) - {"title"}))
        assert shape in known or (*shape, "title") in known, element
    assert len(markup.all("script")) == 1


@pytest.mark.parametrize("field", ["q", "account", "state", "node", "page", "id"])
async def test_hostile_queries_stay_texts(field: str) -> None:
    """Markup in a query parameter is escaped or not shown."""
    for path in ("/", "/bucket", PATH):
        async with visiting() as client:
            response = await client.get(path, params={field: "\"'><script>alert(1)</script>"})
        assert "<script>" not in response.text


async def test_long_and_turned_texts_are_spelt_out() -> None:
    """Characters that change the text direction are shown escaped, and long texts are cut."""
    bucket = Bucket("main", "b1", "abc\u202etxt.exe", {"long": "x" * 5000})
    async with visiting(FixedSnapshot((held(bucket, failure(START)),))) as client:
        text = (await client.get("/")).text
    assert "abc\\u202etxt.exe" in text
    assert "\u202e" not in text
    assert "x" * 301 not in text


async def test_blank_names() -> None:
    """A bucket whose name is only white space is shown by its ID."""
    snapshot = FixedSnapshot((held(Bucket("main", "b1", " \u2003"), failure(START)),))
    assert "b1 main" in (await page("/", snapshot)).said()
    assert "failing: b1" in (await page("/bucket?id=b1", snapshot)).said()


async def test_assets_are_kept_for_good() -> None:
    """Assets have the right types and may be cached for ever, only under versioned names."""
    async with visiting() as client:
        for address in Markup((await client.get("/")).text).addresses():
            if "assets/" in address:
                response = await client.get(address.removeprefix("."))
                assert "immutable" in response.headers["Cache-Control"]
                kind = response.headers["Content-Type"].split(";")[0]
                assert kind in {"text/css", "text/javascript", "image/svg+xml"}
                assert b"http://" not in response.content.replace(
                    b"http://www.w3.org/2000/svg", b""
                )
        assert (await client.get("/assets/page.css")).status_code == 404
        assert (await client.get("/assets/../pages.py")).status_code == 404


async def test_no_page_where_metrics_are_the_front_page() -> None:
    """With the telemetry path /, there are no status pages, but still the JSON."""
    async with visiting(telemetry_path="/") as client:
        assert (await client.get("/")).headers["Content-Type"].startswith("text/plain")
        assert (await client.get("/bucket?id=b1")).status_code == 404
        assert (await client.get("/help")).status_code == 404
        assert (await client.get("/api/v1/status")).status_code == 200


@pytest.mark.parametrize("path", [*PAGES, "/api/v1/status"])
async def test_pages_need_authentication(tmp_path: Path, path: str) -> None:
    """With basic auth, pages and assets need a user name and password."""
    site = Site(tmp_path, USERS)
    async with (
        guarded(site.security(), replace(ENDPOINTS, add_routes=SNAPSHOT.add_routes)) as address,
        browser(address) as stranger,
        browser(address, auth=ALICE) as alice,
    ):
        refused = await stranger.get(path)
        assert refused.status_code == 401
        assert "media" not in refused.text
        assert (await alice.get(path)).status_code == 200
        (icon,) = (a for a in Markup((await alice.get("/")).text).addresses() if "icon" in a)
        assert (await stranger.get(icon.removeprefix("."))).status_code == 401


def crowd(number: int) -> FixedSnapshot:
    """A snapshot with many buckets."""
    buckets = (Bucket("main", f"b{each}", f"b{each}") for each in range(number))
    return FixedSnapshot(tuple(held(each, reading(START, NODE)) for each in buckets))


@pytest.mark.parametrize(
    ("path", "steps"), [("/", 20), ("/bucket?id=b9", 20), ("/?q=b1", 20), ("/api/v1/status", 520)]
)
async def test_pages_do_not_block_event_loop(path: str, steps: int) -> None:
    """Other tasks run while a page of thousands of buckets is made."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with visiting(crowd(5000)) as client, asyncio.TaskGroup() as group:
        task = group.create_task(others())
        response = await client.get(path)
        task.cancel()
    assert response.status_code == 200
    assert turns >= steps


async def is_served(client: httpx.AsyncClient) -> bool:
    """Whether the server has a free place, and makes the page within its time limit."""
    try:
        return (await client.get("/")).status_code == 200
    except httpx.RemoteProtocolError:
        return False


async def test_too_many_at_once_are_turned_away() -> None:
    """Requests over the limit get 503 at once; a client that reads too slowly is disconnected."""
    endpoints = replace(
        ENDPOINTS, add_routes=crowd(8000).add_routes, max_requests=1, send_timeout=3.0
    )
    async with browsing(endpoints) as client:
        address = ListenAddress(client.base_url.host, client.base_url.port or 0)
        async with raw(address, limit=1) as slow:
            slow.send(SCRAPE.replace(b"/metrics", PATH.encode()))
            await slow.reader.readexactly(1)
            for path in ("/", "/bucket?id=b1", PATH):
                turned = await client.get(path)
                assert (turned.status_code, turned.headers["Retry-After"]) == (503, "1")
            async with asyncio.timeout(60):
                while not await is_served(client):
                    pass
            await slow.rest()
