"""Runs an exporter that shows all of its metrics at once, with failures of all kinds.

When a metric is added, this exporter must expose it too.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from exporter.simulator import User
from tests.harness.stack import Running, running_on_sockets
from tests.real.programs import until

FAILING = {
    "refused": ("bad-request", "bad_request"),
    "locked": ("unauthorized", "unauthorized"),
    "foreign": ("forbidden", "forbidden"),
    "gone": ("not-found", "not_found"),
    "broken": ("5xx", "server_error"),
    "moved": ("redirect", "unexpected_status"),
    "sorry": ("unsuccessful", "unsuccessful"),
    "garbage": ("not-json", "malformed"),
    "bomb": ("gzip-bomb", "too_large"),
    "silent": ("hang", "timeout"),
    "dropped": ("disconnect", "connect"),
    "stormy": ("429-storm", "rate_limited"),
}
"""Buckets that fail, by id: the scenario and the reason."""

ODD = 'odd " \\ % <id> é'
ODD_NAME = 'name "} 1 flashback_bucket_up{bucket_id="forged'
ODD_LABELS = {"team": 'no\\newline, "\\', "site": "snow ☃, smile 😀, combining é", "empty": ""}

USER = User("ops@example.com", "correct horse")
"""The user of the account with discovery."""

_SCENARIOS = ",".join(
    [
        "unknown-status/bucket=strange",
        "hundreds-of-nodes/bucket=hostile",
        "hostile-strings/bucket=hostile",
        *(f"{scenario}/share=1/bucket={bucket}" for bucket, (scenario, _) in FAILING.items()),
    ]
)


def _document(api: str) -> str:
    odd = {"id": ODD, "name": ODD_NAME, "labels": ODD_LABELS}
    buckets = {
        "main": ["calm", "strange", "hostile", odd],
        "troubled": [bucket for bucket in FAILING if bucket != "stormy"],
        "paused": ["stormy"],
    }
    accounts: list[dict[str, object]] = [
        {"name": name, "authorization": {"credentials": "t0"}, "buckets": entries}
        for name, entries in buckets.items()
    ]
    login = {"email": USER.email, "password": USER.password}
    accounts.append({"name": "discovered", "login": login, "discovery": {}})
    settings = {
        "base_url": api,
        "poll_interval": "10m",  # so that nothing changes during the tests
        "poll_timeout": "6s",  # enough for a busy machine, because many polls start at once
        "max_requests_per_second": 1000,
    }
    return json.dumps({"global": settings, "accounts": accounts}, ensure_ascii=False)


@asynccontextmanager
async def exporter_of_everything() -> AsyncIterator[Running]:
    """Run the exporter. Call `complete` to wait for its polls."""
    async with running_on_sockets(
        _SCENARIOS, text=_document, users=[USER], tokens={"t0"}
    ) as at_work:
        yield at_work


async def complete(at_work: Running) -> None:
    """Wait until each bucket was polled, which takes some seconds."""

    async def ask() -> bool | None:
        return await at_work.status("/-/ready") == HTTPStatus.OK or None

    await until(ask)
