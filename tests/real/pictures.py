"""Makes the README's pictures: `python -m tests.real.pictures [DIRECTORY]`.

The exporter polls a simulator that has some trouble, and a real browser looks at it. What is seen
is what the simulator said; nothing is touched up.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from playwright.async_api import Browser

from tests.harness.fakes import NOON
from tests.harness.stack import Running, running
from tests.real.browser import TIMEOUTS, chromium
from tests.real.programs import program

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SPEED = 40.0
POLLS = 28
BEGIN = NOON - 434 * 60
"""A time at which the simulator's nodes are all well, and so that it ends in `node-outage`."""

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


@asynccontextmanager
async def troubled() -> AsyncIterator[Running]:
    """An exporter that has polled for a while, lately with trouble."""
    async with running(TROUBLE_FROM_THE_START, wall=BEGIN, speed=SPEED, text=document) as at_work:
        start = at_work.clock.now().wall
        await at_work.wait_until(lambda: at_work.clock.now().wall > start + POLLS * 60 - 300)
        at_work.api.play(TROUBLE_LATER)
        await at_work.wait_until(lambda: at_work.clock.now().wall > start + POLLS * 60)
        yield at_work


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


async def make(directory: Path) -> None:
    """Take all pictures."""
    async with chromium(program("chromium")) as browser, troubled() as at_work:
        for shot in SHOTS:
            await take(browser, shot, at_work.address, directory)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else PICTURES
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(make(target))
