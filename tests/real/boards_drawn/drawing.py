"""Bundles Grafana's components, fetched with npm, and shows a dashboard with them in a browser.

The packages are pinned in `package.json` and installed in `.venv`. No test needs them.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from playwright.async_api import Browser
from playwright.async_api import TimeoutError as PageTimeoutError

from tests.real.browser import TIMEOUTS
from tests.real.programs import program

HERE = Path(__file__).parent
SOURCES = ("package.json", "board.tsx", "shrink.mjs")
PACKAGES = HERE.parents[2] / ".venv" / "boards_drawn"

INSTALL = ("install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
BUNDLE = (
    "board.tsx",
    "--bundle",
    "--minify",
    # The packages' ES modules expect a default export that other packages lack.
    "--alias:@grafana/data=./node_modules/@grafana/data/dist/cjs/index.cjs",
    "--alias:@grafana/ui=./node_modules/@grafana/ui/dist/cjs/index.cjs",
    "--outfile=board.js",
    "--jsx=automatic",
    "--loader:.woff=dataurl",
    "--loader:.woff2=dataurl",
    "--loader:.ttf=empty",
    "--loader:.svg=dataurl",
    '--define:process.env.NODE_ENV="production"',
    "--log-level=error",
)
PAGE = '<!doctype html><meta charset="utf-8"><style>body {margin: 0}</style><div id="board"></div>'
ADDRESS = "http://board.invalid/"
"""Playwright serves this URL. A page without a URL would have no local storage."""

NO_ICON = '<svg xmlns="http://www.w3.org/2000/svg"/>'
"""The icons are only on Grafana's server, not in a package."""

WIDTH = 1440


class BoardShot(NamedTuple):
    """A picture to take of a dashboard."""

    board: str
    theme: str
    height: int

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"board-{self.board}-{self.theme}.png"


async def bundled() -> Path:
    """Bundle `board.js` and `board.css`; returns their directory, which also has the packages."""
    PACKAGES.mkdir(parents=True, exist_ok=True)
    for name in SOURCES:
        shutil.copy(HERE / name, PACKAGES / name)
    await _run(program("npm"), *INSTALL)
    await _run(str(PACKAGES / "node_modules" / ".bin" / "esbuild"), *BUNDLE)
    return PACKAGES


async def shrink(*pictures: Path) -> None:
    """Compress files without a visible change."""
    await _run(program("node"), "shrink.mjs", *map(str, pictures))


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, cwd=PACKAGES)
    if await process.wait() != 0:
        raise RuntimeError(f"{command[0]} failed; it says why above")


async def draw(
    browser: Browser, bundle: Path, shot: BoardShot, document: dict[str, Any], directory: Path
) -> None:
    """Take one picture."""
    page = await browser.new_page(viewport={"width": WIDTH, "height": shot.height})
    page.set_default_timeout(TIMEOUTS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.route("**/*.svg", lambda route: route.fulfill(body=NO_ICON))
    await page.route(ADDRESS, lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    await page.goto(ADDRESS)
    await page.add_style_tag(path=bundle / "board.css")
    await page.evaluate(
        "([theme, board]) => Object.assign(window, {THEME: theme, BOARD: board})",
        [shot.theme, document],
    )
    await page.add_script_tag(path=bundle / "board.js")
    try:
        await page.wait_for_function("window.DRAWN")
    except PageTimeoutError as error:
        raise RuntimeError("\n".join(errors)) from error
    await page.screenshot(path=directory / shot.file)
    await page.close()
