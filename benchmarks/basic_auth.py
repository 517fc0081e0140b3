"""Basic auth while one scraper uses an old password, compared with one bcrypt call per scrape."""

from __future__ import annotations

import asyncio
import base64

import bcrypt

from benchmarks.processes import cpu_seconds
from benchmarks.table import Row
from exporter.clock import SystemClock
from exporter.web.basic_auth import BasicAuth

RIGHT, WRONG = b"the right password", b"the one of last year"


def compare(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """CPU time of scrapes, half with the right password and half with a wrong one."""
    scrapes, cost_factor, rounds = (5, 4, 1) if quick else (150, 10, 3)
    hashed = bcrypt.hashpw(RIGHT, bcrypt.gensalt(cost_factor))
    total = {
        "ours": lambda: asyncio.run(_all_answered(hashed, scrapes)) and 1,
        "bcrypt": lambda: bcrypt.checkpw(RIGHT, hashed) and 1,
    }
    cost = cpu_seconds(total, rounds)
    what = f"{scrapes} right and {scrapes} wrong passwords"
    base = cost["bcrypt"] * scrapes * 2
    return [Row("basic auth", what, "ms", cost["ours"], "bcrypt each time", base, "≤ 1/100")]


async def _all_answered(hashed: bytes, scrapes: int) -> bool:
    """Send all scrapes concurrently. Raises RuntimeError on a wrong verdict."""
    auth = BasicAuth({"prometheus": hashed.decode()}, SystemClock())
    asked = [_header(password) for _ in range(scrapes) for password in (WRONG, RIGHT)]
    answers = await asyncio.gather(*(auth.admits(each, "192.0.2.1") for each in asked))
    if answers != [False, True] * scrapes:
        raise RuntimeError("wrong result for a password")
    return True


def _header(password: bytes) -> str:
    return "Basic " + base64.b64encode(b"prometheus:" + password).decode()
