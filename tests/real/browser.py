"""Runs a headless Chromium and collects its errors. What pages must show is in the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

ARGUMENTS = (
    "--no-sandbox",  # tests run as root, in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUTS = 60_000.0
"""Milliseconds after which a wait in a page fails."""


@asynccontextmanager
async def chromium(path: str) -> AsyncIterator[Browser]:
    """Run a browser until the `with` block ends."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


class Complaints:
    """All errors and warnings in a page's console, including those of its security policy."""

    def __init__(self, page: Page) -> None:
        self.all: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.all.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.all.append(message.text)
