"""Renews the README's pictures: `python -m tests.real.pictures [DIRECTORY]`.

The exporter polls a simulator with faults, and a real browser shows its pages. The pictures are not
edited.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

import httpx
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser

from tests.harness.fakes import NOON
from tests.harness.stack import running
from tests.harness.virtual_loop import VirtualLoop
from tests.real.browser import TIMEOUTS, chromium
from tests.real.programs import program

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
POLLS = 28
BEGIN = NOON - 434 * 60
"""A start at which all simulated nodes are up. The end is within an outage of `node-outage`."""

TEAMS = {
    "media": ("media-eu", "media-us", "thumbnails", "transcoded"),
    "data": ("events-raw", "events-daily", "models", "notebooks"),
    "ops": ("backups", "logs-archive"),
}
TROUBLE_FROM_THE_START = "5xx/share=0.9/bucket=thumbnails,not-found/share=1/bucket=notebooks"
TROUBLE_LATER = f"{TROUBLE_FROM_THE_START},hang/share=1/bucket=backups"
TROUBLE_LATER += ",node-outage/bucket=models,node-outage/bucket=events-raw"


class Shot(NamedTuple):
    """A picture to take."""

    name: str
    path: str
    width: int
    height: int
    scheme: str


SHOTS = (
    Shot("status-light", "/", 1200, 900, "light"),
    Shot("status-dark", "/", 1200, 900, "dark"),
    Shot("status-phone", "/", 390, 844, "dark"),
    Shot("bucket-light", "/bucket?id=thumbnails", 1200, 900, "light"),
)


def document(api: str) -> str:
    """Ten buckets of three teams in two accounts."""
    text = f"global: {{base_url: '{api}', stale_after: 3m}}\naccounts:\n"
    for account, teams in (("studio", ("media",)), ("platform", ("data", "ops"))):
        text += f"  - name: {account}\n    authorization: {{credentials: t0}}\n    buckets:\n"
        for team in teams:
            for name in TEAMS[team]:
                text += f"      - {{id: {name}, labels: {{team: {team}}}}}\n"
    return text


Saved: TypeAlias = dict[str, httpx.Response]
"""Responses of an exporter, by path."""


async def troubled_pages() -> Saved:
    """The pages of an exporter after a while on virtual time, with some recent failures."""
    async with running(TROUBLE_FROM_THE_START, wall=BEGIN, text=document) as at_work:
        await at_work.clock.sleep((POLLS - 5) * 60)
        at_work.api.play(TROUBLE_LATER)
        await at_work.clock.sleep(5 * 60)
        saved = {shot.path: await at_work.request("GET", shot.path) for shot in SHOTS}
        assets = re.findall(r'"\.(/[^"?]+\.(?:css|js|svg))"', saved["/"].text)
        return saved | {path: await at_work.request("GET", path) for path in assets}


@asynccontextmanager
async def serving(saved: Saved) -> AsyncIterator[str]:
    """Serve saved responses; yields the `host:port`."""

    async def answer(request: web.Request) -> web.Response:
        found = saved.get(request.path_qs)
        if found is None:
            raise web.HTTPNotFound
        headers = {"Content-Type": found.headers["content-type"]}
        return web.Response(body=found.content, headers=headers)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        yield f"{server.host}:{server.port}"


async def take(browser: Browser, shot: Shot, address: str, directory: Path) -> None:
    """Take one picture."""
    page = await browser.new_page(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme="dark" if shot.scheme == "dark" else "light",
        device_scale_factor=1.5,
    )
    page.set_default_timeout(TIMEOUTS)
    await page.goto(f"http://{address}{shot.path}")
    await page.screenshot(path=directory / f"{shot.name}.png")
    await page.close()


async def make(saved: Saved, directory: Path) -> None:
    """Take all pictures."""
    async with chromium(program("chromium")) as browser, serving(saved) as address:
        for shot in SHOTS:
            await take(browser, shot, address, directory)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else PICTURES
    target.mkdir(parents=True, exist_ok=True)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        pages = runner.run(troubled_pages())
    asyncio.run(make(pages, target))
