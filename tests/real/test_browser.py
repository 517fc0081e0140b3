"""The status pages in a real Chromium: layout, filters, refresh, keyboard and accessibility."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from axe_playwright_python import async_playwright as axe  # type: ignore[import-untyped] # untyped
from playwright.async_api import Browser, Page

from exporter.config import parse
from exporter.model import Bucket, Reason
from exporter.simulator.data_faults import HOSTILE
from exporter.status.snapshot import AccountStatus, ConfigStatus
from tests.harness.fakes import NOON, after, failure, node, reading
from tests.harness.stack import all_polled, running_on_sockets
from tests.real.browser import TIMEOUTS, Complaints, chromium
from tests.real.pictures import SHOTS, document, take
from tests.real.programs import program, started
from tests.status.snapshots import PROCESS, START, FixedSnapshot
from tests.status.test_pages import held, snapshot_of
from tests.web.guarded import PASSWORD, USERS, Site, guarded
from tests.web.test_app import ENDPOINTS, browsing

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

REFRESH = 5000
"""Milliseconds between refreshes. Tests advance the page's own clock."""

PHONE, DESKTOP = 390, 1280
DAILY_RECORDING_TIMES = (
    "/",
    "/bucket?id=down",
    "/bucket?id=old",
    "/help",
    "/bucket?id=gone",
    "/?q=none",
)
NODES = (
    node("*-aws.example", status="ONLINE", uptime_ratio=1.0, latency_last_seconds=0.05),
    node("*-gcp.example", status="OFFLINE", uptime_ratio=0.5, version="1.2"),
    node("*-azure.example"),
)


def colourful() -> FixedSnapshot:
    """A snapshot with a bucket in each state, and with notices."""
    return FixedSnapshot(
        (
            held(Bucket("main", "up", "alpha", {"team": "media"}), reading(START, NODES[0])),
            held(Bucket("main", "down", "beta"), reading(START, *NODES)),
            held(Bucket("spare", "bad", "gamma"), failure(START, Reason.TLS)),
            held(Bucket("spare", "old", "delta"), reading(after(START, -900), *NODES)),
            held(Bucket("spare", "new", "epsilon")),
        ),
        process=replace(
            PROCESS, is_ready=False, config=ConfigStatus(NOON - 60, NOON, "line 3: no")
        ),
        accounts=(
            AccountStatus("main", token_expiry=NOON - 5),
            AccountStatus("spare", NOON + 20),
        ),
    )


class Visit(NamedTuple):
    """An open page, and its console messages."""

    page: Page
    complaints: Complaints

    async def said(self) -> str:
        """The visible text."""
        return " ".join((await self.page.inner_text("body")).split())

    async def sees(self, text: str) -> None:
        """Wait until a text is visible."""
        await self.page.get_by_text(text).first.wait_for()

    async def let_pass(self, milliseconds: int) -> None:
        """Advance the page's clock."""
        await self.page.clock.run_for(milliseconds)

    async def width(self) -> int:
        """The width that the content needs."""
        width: int = await self.page.evaluate("document.documentElement.scrollWidth")
        return width

    async def clipped(self) -> list[str]:
        """Elements whose content is cut off."""
        found: list[str] = await self.page.evaluate(
            "[...document.querySelectorAll('main *:not(.unseen, .unseen *, thead, thead *)')]"
            ".filter(each => getComputedStyle(each).display !== 'inline')"
            ".filter(each => each.clientWidth && each.scrollWidth > each.clientWidth + 1)"
            ".map(each => each.outerHTML.slice(0, 200))"
        )
        return found


@asynccontextmanager
async def opened(browser: Browser, url: str, **settings: Any) -> AsyncIterator[Visit]:  # noqa: ANN401 - the browser's own
    """Open a page in a separate browser context."""
    async with await browser.new_context(**settings) as context:
        page = await context.new_page()
        page.set_default_timeout(TIMEOUTS)
        complaints = Complaints(page)
        await page.clock.install()
        await page.goto(url)
        yield Visit(page, complaints)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A browser, in which each visit has its own context."""
    async with chromium(program("chromium")) as running:
        yield running


@asynccontextmanager
async def visiting(
    browser: Browser,
    snapshot: FixedSnapshot,
    path: str = "/",
    **settings: Any,  # noqa: ANN401 - the browser's own
) -> AsyncIterator[Visit]:
    """Open a page that is made from a snapshot."""
    async with (
        browsing(replace(ENDPOINTS, add_routes=snapshot.add_routes)) as client,
        opened(browser, f"{client.base_url}{path}", **settings) as visit,
    ):
        yield visit


async def test_a_real_exporter_is_drawn(browser: Browser) -> None:
    """The polled buckets are on the page, and the console has no errors."""
    async with running_on_sockets("not-found/share=1/bucket=b2") as at_work:
        await at_work.scrape_when(all_polled)
        async with opened(browser, f"http://{at_work.address}/") as visit:
            said = await visit.said()
            assert await visit.page.title() == "1 failing - Flashback exporter"
            assert await visit.page.locator(".bucket").count() == 3
            assert "HTTP 404" in said
            await visit.page.get_by_role("link", name="b1", exact=True).click()
            await visit.sees("All buckets")
            assert "*-eu-central-1-aws.flashback.tech" in await visit.said()
            await visit.page.get_by_role("link", name="Glossary").click()
            await visit.sees("Glossary")
            assert visit.complaints.all == []


async def test_filters_and_search(browser: Browser) -> None:
    """The form filters the buckets, and a link shows all of them again."""
    async with visiting(browser, colourful()) as visit:
        names = visit.page.locator("h3")
        assert await names.all_inner_texts() == ["delta", "gamma", "epsilon", "beta", "alpha"]
        await visit.page.get_by_label("Search").fill("media")
        await visit.page.keyboard.press("Enter")
        await visit.sees("1 of 5")
        assert await names.all_inner_texts() == ["alpha"]
        await visit.page.get_by_role("link", name="Clear filters").click()
        await visit.page.get_by_label("State").select_option("failing")
        await visit.page.locator("select[name=account]").select_option("spare")
        await visit.page.get_by_role("button", name="Filter").click()
        await visit.sees("2 of 5")
        assert await names.all_inner_texts() == ["delta", "gamma"]
        await visit.page.get_by_role("link", name="not online").click()
        await visit.sees("1 of 5")
        assert await names.all_inner_texts() == ["beta"]
        assert visit.complaints.all == []


async def test_without_javascript(browser: Browser) -> None:
    """Without JavaScript everything but the refresh works, and no text mentions a refresh."""
    async with visiting(browser, colourful(), java_script_enabled=False) as visit:
        assert not await visit.page.get_by_role("button", name="Pause").is_visible()
        await visit.page.locator("summary").first.click()
        assert await visit.page.get_by_role("table").first.is_visible()
        await visit.page.get_by_label("Search").fill("gamma")
        await visit.page.get_by_role("button", name="Filter").click()
        await visit.sees("1 of 5")
        await visit.page.get_by_role("link", name="gamma").click()
        await visit.sees("Last polls")


async def test_refreshes_in_place(browser: Browser) -> None:
    """A refresh keeps the page, the focus, the scroll position and unfolded details."""
    snapshot = colourful()
    async with visiting(browser, snapshot, viewport={"width": DESKTOP, "height": 400}) as visit:
        page = visit.page
        await page.evaluate("window.marked = true")
        await page.locator("summary").last.click()
        await page.get_by_role("link", name="alpha").focus()
        await page.evaluate("window.scrollTo(0, 150)")
        snapshot.buckets = tuple(
            each._replace(bucket=replace(each.bucket, labels={"team": "renamed"}))
            for each in snapshot.buckets[:2]
        )
        await visit.let_pass(REFRESH)
        await visit.sees("All buckets are up, 1 of 4 nodes not online")
        assert await page.locator(".bucket").count() == 2
        assert await page.title() == "1 not online - Flashback exporter"
        assert await page.evaluate("window.marked")
        assert await page.evaluate("window.scrollY") == 150
        assert await page.evaluate("document.activeElement.textContent") == "alpha"
        opened_now = await page.locator("details").evaluate_all("all => all.map(each => each.open)")
        assert opened_now == [False, True]
        assert visit.complaints.all == []


async def test_refresh_keeps_input_and_selection(browser: Browser) -> None:
    """A refresh changes neither what the user typed into the form nor selected text."""
    snapshot = colourful()
    async with visiting(browser, snapshot) as visit:
        await visit.page.get_by_label("Search").fill("half a wo")
        await visit.page.evaluate(
            "getSelection().selectAllChildren(document.querySelector('.message'))"
        )
        snapshot.buckets = snapshot.buckets[:1]
        async with visit.page.expect_response("**/"):
            await visit.let_pass(REFRESH)
        assert await visit.page.locator(".bucket").count() == 5
        await visit.page.evaluate("getSelection().removeAllRanges()")
        await visit.let_pass(REFRESH)
        await visit.sees("The bucket is up")
        assert await visit.page.get_by_label("Search").input_value() == "half a wo"


async def test_no_refresh_while_paused_or_hidden(browser: Browser) -> None:
    """The page sends no request while paused or hidden, and one at once afterwards."""
    snapshot = colourful()
    async with visiting(browser, snapshot) as visit:
        asked: list[str] = []
        visit.page.on("request", lambda request: asked.append(request.url))
        await visit.page.get_by_role("button", name="Pause").click()
        await visit.sees("Refresh is paused.")
        asked.clear()  # a slow machine may have sent one before
        await visit.let_pass(10 * REFRESH)
        assert asked == []
        snapshot.buckets = snapshot.buckets[:1]
        await visit.page.get_by_role("button", name="Resume").click()
        await visit.let_pass(1)
        await visit.sees("The bucket is up")
        hide = "Object.defineProperty(document, 'hidden', {configurable: true, value: %s});"
        hide += "document.dispatchEvent(new Event('visibilitychange'))"
        await visit.page.evaluate(hide % "true")
        seen = len(asked)
        await visit.let_pass(10 * REFRESH)
        assert len(asked) == seen
        snapshot.buckets = snapshot.buckets[:0]
        await visit.page.evaluate(hide % "false")
        await visit.let_pass(1)
        await visit.sees("No buckets are polled")


async def test_survives_the_exporters_restart(browser: Browser, tmp_path: Path) -> None:
    """The page says that the exporter does not respond, and refreshes again when it does."""
    command = (sys.executable, "-m", "exporter", "demo", "--web.listen-address")
    log = tmp_path / "log"
    async with started(*command, "127.0.0.1:0", log=log) as demo:
        address = await demo.printed(r"^Metrics: +http://(\S+)/metrics$")
        stack = opened(browser, f"http://{address}/")
        visit = await stack.__aenter__()
        await visit.sees("demo-media-eu")
    await visit.page.evaluate("window.marked = true")
    await visit.let_pass(REFRESH)
    await visit.sees("No response since")
    assert "demo-media-eu" in await visit.said()
    async with started(*command, address, log=log) as demo:
        await demo.printed(r"^Metrics: +http://(\S+)/metrics$")
        await visit.let_pass(REFRESH)
        await visit.sees("Refreshes every 5 s.")
        assert await visit.page.evaluate("window.marked")
        await stack.__aexit__(None, None, None)


async def test_new_version_reloads_page(browser: Browser) -> None:
    """If the exporter's version has changed, a refresh reloads the whole page."""
    snapshot = colourful()
    async with visiting(browser, snapshot) as visit:
        await visit.page.evaluate("window.marked = true")
        snapshot.process = replace(PROCESS, version="9.9.9")
        await visit.let_pass(REFRESH)
        await visit.sees("Version: 9.9.9")
        assert await visit.page.evaluate("window.marked") is None


async def test_a_bucket_that_goes(browser: Browser) -> None:
    """The page of a bucket that is not polled any more says so."""
    snapshot = colourful()
    async with visiting(browser, snapshot, "/bucket?id=up") as visit:
        snapshot.buckets = snapshot.buckets[1:]
        await visit.let_pass(REFRESH)
        await visit.sees("This exporter polls no bucket with the ID up.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
async def test_accessible(browser: Browser, scheme: str, width: int) -> None:
    """Axe finds no violation on any page with all details unfolded, and nothing overflows."""
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    async with browsing(replace(ENDPOINTS, add_routes=colourful().add_routes)) as client:
        for path in DAILY_RECORDING_TIMES:
            async with opened(browser, f"{client.base_url}{path}", **look) as visit:
                await visit.page.evaluate(
                    "document.querySelectorAll('details').forEach(each => { each.open = true; })"
                )
                results = await axe.Axe().run(visit.page)
                assert results.violations_count == 0, results.generate_report()
                assert await visit.width() <= width
                assert await visit.clipped() == []


async def test_keyboard(browser: Browser) -> None:
    """Tab reaches all controls in order, each with a visible focus, and Enter activates them."""
    async with visiting(browser, colourful()) as visit:
        page = visit.page
        expected = await page.evaluate(
            "[...document.querySelectorAll('a, button, input, select, summary')]"
            ".map(each => each.outerHTML)"
        )
        reached = []
        for _ in expected:
            await page.keyboard.press("Tab")
            here = await page.evaluate(
                "(() => { const at = document.activeElement;"
                " return [at.outerHTML, getComputedStyle(at).outlineStyle]; })()"
            )
            reached.append(here[0])
            assert here[1] != "none", here[0]
        assert reached == expected
        await page.evaluate("document.activeElement.blur()")
        await page.locator(".skip").focus()
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        await page.locator("summary").first.focus()
        await page.keyboard.press("Enter")
        assert await page.get_by_role("table").first.is_visible()


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
async def test_hostile_texts_do_nothing(browser: Browser, width: int) -> None:
    """No text can run code, load anything, send requests or break the layout."""
    texts = [*HOSTILE, "<img src=x onerror=alert(1)>", "x" * 5000, "\u202e" * 200, "م" * 300]
    snapshots = [snapshot_of(text) for text in texts]
    buckets = [
        each._replace(bucket=replace(each.bucket, id=f"{place}-{number}"))
        for place, snapshot in enumerate(snapshots)
        for number, each in enumerate(snapshot.buckets)
    ]
    snapshot = replace(snapshots[9], buckets=tuple(buckets))
    async with visiting(browser, snapshot, viewport={"width": width, "height": 800}) as visit:
        dialogs: list[str] = []
        visit.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        await visit.page.evaluate(
            "document.querySelectorAll('details').forEach(each => { each.open = true; })"
        )
        assert await visit.page.locator(".bucket").count() == len(buckets)
        assert await visit.width() <= width
        assert await visit.clipped() == []
        await visit.let_pass(REFRESH)
        await visit.sees("Refreshes every 5 s.")
        # In one step: a refresh that is in progress may replace the link under a real click.
        await visit.page.evaluate(
            "[...document.links].find(each => each.textContent.includes('alert(1)')).click()"
        )
        await visit.sees("Last polls")
        assert await visit.width() <= width
        assert (dialogs, visit.complaints.all) == ([], [])


async def test_the_policy_holds(browser: Browser) -> None:
    """The content security policy blocks inline scripts and requests to other servers."""
    async with visiting(browser, colourful()) as visit:
        await visit.page.evaluate(
            """() => {
              const script = document.createElement("script");
              script.textContent = "window.ran = true";
              document.body.append(script);
              const image = document.createElement("img");
              image.src = "http://127.0.0.1:1/x.png";
              document.body.append(image);
            }"""
        )
        assert await visit.page.evaluate("window.ran") is None
        refused = [text for text in visit.complaints.all if "Content Security Policy" in text]
        assert len(refused) == 2


async def test_behind_a_password(browser: Browser, tmp_path: Path) -> None:
    """With basic auth the page works and refreshes, even with the credentials in the URL."""
    site, snapshot = Site(tmp_path, USERS), colourful()
    async with (
        guarded(site.security(), replace(ENDPOINTS, add_routes=snapshot.add_routes)) as address,
    ):
        known = {"http_credentials": {"username": "alice", "password": PASSWORD}}
        user = f"alice:{PASSWORD.replace(' ', '%20')}@"
        for url, settings in ((f"http://{address}/", known), (f"http://{user}{address}/", {})):
            snapshot.buckets = colourful().buckets
            async with opened(browser, url, **settings) as visit:
                await visit.sees("2 of 5 buckets are failing")
                snapshot.buckets = snapshot.buckets[:1]
                await visit.let_pass(REFRESH)
                await visit.sees("The bucket is up")


async def test_pictures_can_be_taken(browser: Browser, tmp_path: Path) -> None:
    """The script for the README's pictures has a valid configuration and writes its files."""
    assert (
        len(parse(document("http://127.0.0.1:1"), path=tmp_path / "c", environ={}).buckets()) == 10
    )
    snapshot = FixedSnapshot((held(Bucket("main", "thumbnails", "thumbnails"), reading(START)),))
    async with browsing(replace(ENDPOINTS, add_routes=snapshot.add_routes)) as client:
        for shot in SHOTS:
            await take(browser, shot, client.base_url.netloc.decode(), tmp_path)
            assert (tmp_path / f"{shot.name}.png").read_bytes().startswith(b"\x89PNG")
