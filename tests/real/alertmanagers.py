"""Runs Alertmanager, a Prometheus that sends alerts to it, and a receiver of its webhooks.

The routing is that of the documented example, with shorter waits and the test's receiver.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml
from aiohttp import web

from tests.real.databases import Database
from tests.real.programs import TIMEOUTS, started, until

EXAMPLE = Path(__file__).parents[2] / "monitoring" / "alertmanager.example.yaml"

_WAITS = {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "12h"}


class Notice(NamedTuple):
    """One alert in one webhook request."""

    receiver: str
    status: str  # firing or resolved
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def alert(self) -> str:
        """The alert's name."""
        return self.labels["alertname"]


class Receiver:
    """Keeps the alerts of all webhooks. The receiver's name is the last part of the path."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.messages = 0

    async def take(self, request: web.Request) -> web.Response:
        """Handle a webhook."""
        self.messages += 1
        for alert in (await request.json())["alerts"]:
            said = (alert["status"], alert["labels"], alert["annotations"])
            self.notices.append(Notice(request.match_info["receiver"], *said))
        return web.Response()

    def told(self, alert: str, status: str = "firing") -> list[Notice]:
        """The notifications about an alert with this status."""
        return [each for each in self.notices if (each.alert, each.status) == (alert, status)]

    async def wait_for_notification(self, alert: str, status: str = "firing") -> Notice:
        """Wait for the first notification about an alert with this status."""

        async def ask() -> Notice | None:
            return next(iter(self.told(alert, status)), None)

        return await until(ask)


class Alertmanager:
    """A running Alertmanager and its API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.address = client.base_url.netloc.decode()

    async def send(self, alerts: Sequence[Mapping[str, str]]) -> None:
        """Send firing alerts, given by their labels, as a Prometheus does."""
        body = [{"labels": dict(labels)} for labels in alerts]
        (await self._client.post("/api/v2/alerts", json=body)).raise_for_status()

    async def alerts(self) -> list[dict[str, Any]]:
        """All alerts that Alertmanager has."""
        answer = await self._client.get("/api/v2/alerts")
        found: list[dict[str, Any]] = answer.raise_for_status().json()
        return found

    async def inhibited(self, alert: str) -> int | None:
        """How many alerts with a name are inhibited now; None if there are none."""
        found = [each for each in await self.alerts() if each["labels"]["alertname"] == alert]
        return sum(bool(each["status"]["inhibitedBy"]) for each in found) or None


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, Receiver]]:
    """Run a webhook receiver; yields its URL and the receiver."""
    found = Receiver()
    app = web.Application()
    app.router.add_post("/{receiver}", found.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", free_port())
        await site.start()
        yield site.name, found
    finally:
        await runner.cleanup()


@asynccontextmanager
async def alertmanager(path: str, directory: Path, webhooks: str) -> AsyncIterator[Alertmanager]:
    """Run an Alertmanager with the example's routing that sends its webhooks to a URL."""
    config = yaml.safe_load(EXAMPLE.read_text())
    config["route"] |= _WAITS
    for each in config["receivers"]:
        each["webhook_configs"] = [{"url": f"{webhooks}/{each['name']}"}]
    file = directory / "alertmanager.yaml"
    file.write_text(json.dumps(config))
    command = (
        *(path, f"--config.file={file}", f"--storage.path={directory / 'alertmanager'}"),
        *("--web.listen-address=127.0.0.1:0", "--cluster.listen-address="),
    )
    async with AsyncExitStack() as stack:
        log = directory / "alertmanager.log"
        server = await stack.enter_async_context(started(*command, log=log))
        client = await stack.enter_async_context(_client(await server.address()))
        await until(lambda: _is_there(client, "/-/ready"))
        yield Alertmanager(client)


@asynccontextmanager
async def alerting_prometheus(
    path: str,
    directory: Path,
    targets: Mapping[str, Mapping[str, str]],
    rules: Path,
    alertmanager_address: str,
    *flags: str,
) -> AsyncIterator[Database]:
    """Run a Prometheus that scrapes exporters and evaluates rules every second.

    `targets` has the labels of each target, by `host:port`. The data stays in the directory, so a
    restarted Prometheus finds it again.
    """
    static = [{"targets": [address], "labels": dict(labels)} for address, labels in targets.items()]
    config = {
        "global": {
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "evaluation_interval": "1s",
        },
        "rule_files": [str(rules / "*.yaml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager_address]}]}]},
        "scrape_configs": [{"job_name": "flashback-exporter", "static_configs": static}],
    }
    file = directory / "prometheus.yaml"
    file.write_text(json.dumps(config))
    command = (
        *(path, f"--config.file={file}", f"--storage.tsdb.path={directory / 'prometheus'}"),
        *("--web.listen-address=127.0.0.1:0", *flags),
    )
    async with AsyncExitStack() as stack:
        log = directory / "prometheus.log"
        server = await stack.enter_async_context(started(*command, log=log))
        client = await stack.enter_async_context(_client(await server.address()))
        await until(lambda: _is_there(client, "/-/ready"))
        yield Database(client, server)


def free_port() -> int:
    """A port that is not in use."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _client(address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://{address}", timeout=TIMEOUTS, trust_env=False)


async def _is_there(client: httpx.AsyncClient, path: str) -> bool | None:
    try:
        answer = await client.get(path)
    except httpx.TransportError:
        return None
    return answer.is_success or None
