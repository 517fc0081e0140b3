"""Alerts from the API to a team's webhook, with real Prometheus and Alertmanager.

Waits are shortened by the rules' settings, as a user would change them.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter import simulator
from exporter.simulator.calls import ApiCall
from exporter.simulator.server import serve
from exporter.simulator.world import Row
from monitoring.rendering import ALERTS, write
from monitoring.settings import read_overrides
from tests.real.alertmanagers import (
    Alertmanager,
    Notice,
    Receiver,
    alerting_prometheus,
    alertmanager,
    free_port,
    receiver,
)
from tests.real.databases import Database
from tests.real.programs import started, until
from tests.real.test_shards import is_ready

USER = simulator.User("ops@example.com", "correct horse")
MAIN = ("b1", "b2")
SLOW_EXPORTER = "20s"
"""Longer than an exporter takes to start on a busy machine."""

SHORT = {
    "exporter_down_for": SLOW_EXPORTER,
    "node_down_for": "2s",
    "account_failing_for": "2s",
    "token_expiring_for": "2s",
    "status_unknown_for": "2s",
    "bucket_failing_for": "20s",  # so that the account's alert fires first and inhibits it
    "keep_firing_for": "1s",
    "account_keep_firing_for": "20s",
    "token_expiry_seconds": 600,
}
"""The rules' settings in this test, with short waits."""

DOWN_HOST = "*-us-east-1-aws.flashback.tech"


def node_status(down: str | None) -> simulator.InjectedFault:
    """Set one node's status to `down` and all others to ONLINE, whatever the simulator says."""

    def rows(before: Sequence[Row], _call: ApiCall) -> list[Row]:
        return [
            {**row, "node_status": down if row["host"] == DOWN_HOST else "ONLINE"} for row in before
        ]

    scenario = simulator.Scenario("node-status", "one node has this status", rows=rows)
    return simulator.InjectedFault(scenario, 1.0)


CALM = node_status("ONLINE")


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs, from the simulated API to the webhook receiver."""

    api: simulator.Simulator
    exporter: RunningExporter
    database: Database
    alerts: Alertmanager
    receiver: Receiver
    token: Path  # of the account `archive`

    def play(self, scenarios: str = "", *more: simulator.InjectedFault) -> None:
        """Replace the API's faults. Without `more`, all nodes are ONLINE."""
        self.api.play([*(more or (CALM,)), *simulator.text_to_faults(scenarios)])

    def issue_token(self, lifetime: float) -> None:
        """Write a new token to the file of the account `archive`."""
        self.api.token_server.rules = simulator.TokenRules(lifetime=lifetime)
        answer = self.api.token_server.login(
            {"email": USER.email, "password": USER.password}, self.api.now()
        )
        assert answer.tokens is not None
        self.api.token_server.hand_out(answer.tokens)
        self.token.write_text(answer.tokens.access_token)

    async def polled(self) -> bool | None:
        """Whether all buckets are up in Prometheus."""
        up = await self.database.samples("sum(flashback_bucket_up)", time.time())
        return True if set(up.values()) == {3.0} else None

    async def firing_in_prometheus(self, alert: str, count: int) -> bool | None:
        """Whether `count` alerts of a name fire in Prometheus, including inhibited ones."""
        query = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
        return len(await self.database.samples(query, time.time())) == count or None

    async def over(self, alert: str) -> None:
        """Wait until the receiver is notified that an alert is resolved."""
        await self.receiver.wait_for_notification(alert, "resolved")


class RunningExporter:
    """The exporter as a process that can be stopped and started again."""

    def __init__(self, config: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._config = config
        self._running = AsyncExitStack()

    async def start(self) -> None:
        """Start it, and return once it has polled everything."""
        command = (
            *(sys.executable, "-m", "exporter", f"--config.file={self._config}"),
            f"--web.listen-address={self.address}",
        )
        log = self._config.with_name("exporter.log")
        await self._running.enter_async_context(started(*command, log=log))
        await until(lambda: is_ready(self.address))

    async def stop(self) -> None:
        """Stop it."""
        await self._running.aclose()
        self._running = AsyncExitStack()


def document(api: str) -> str:
    """A configuration with two teams, and an account whose token the exporter does not renew."""
    buckets = {"b1": ("media-eu", "media"), "b2": ("web", "web"), "b3": ("archive", "web")}
    entries = {
        bucket: {"id": bucket, "name": name, "labels": {"team": team}}
        for bucket, (name, team) in buckets.items()
    }
    accounts = [
        {
            "name": "main",
            "authorization": {"credentials": "t0"},
            "buckets": [entries[each] for each in MAIN],
        },
        {
            "name": "archive",
            "authorization": {"credentials_file": "token"},
            "buckets": [entries["b3"]],
        },
    ]
    times = {
        "poll_interval": "5s",
        "poll_timeout": "5s",
        "stale_after": "1m",
        "recheck_interval": "5s",
    }
    return json.dumps({"global": {"base_url": api, **times}, "accounts": accounts})


@asynccontextmanager
async def staged(
    directory: Path, prometheus_path: str, alertmanager_path: str
) -> AsyncIterator[Stage]:
    """Run everything from the API to the webhooks, without faults, until all buckets are up."""
    rules = directory / "rules"
    write(rules, read_overrides({"settings": SHORT}, [alert.name for alert in ALERTS]))
    api = simulator.Simulator(now=time.time, users=[USER], tokens={"t0"})
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(api))
        webhooks, heard = await stack.enter_async_context(receiver())
        alerts = await stack.enter_async_context(
            alertmanager(alertmanager_path, directory, webhooks)
        )
        config = directory / "config.yaml"
        config.write_text(document(url))
        exporter = RunningExporter(config)
        stack.push_async_callback(exporter.stop)
        database = await stack.enter_async_context(
            alerting_prometheus(
                prometheus_path,
                directory,
                {exporter.address: {}},
                rules,
                alerts.address,
                "--rules.alert.resend-delay=1s",
            )
        )
        stage = Stage(api, exporter, database, alerts, heard, directory / "token")
        stage.play()
        stage.issue_token(3600)
        await exporter.start()
        await until(stage.polled)
        yield stage


async def node_goes_down(stage: Stage) -> None:
    """A node is DISCONNECTED in both buckets of an account: one alert, which names the buckets."""
    stage.play("", limited(node_status("DISCONNECTED")))
    notice = await stage.receiver.wait_for_notification("FlashbackNodeDown")
    assert notice.receiver == "operations"
    assert notice.labels["host"] == DOWN_HOST
    assert notice.labels["account"] == "main"
    assert "is DISCONNECTED for" in notice.annotations["description"]
    assert named(notice) <= {"media-eu (media)", "web (web)"}
    stage.play()
    await stage.over("FlashbackNodeDown")


async def status_vanishes(stage: Stage) -> None:
    """A node's status is missing: one alert for the account, as no other alert detects this."""
    stage.play("", limited(node_status(None)))
    notice = await stage.receiver.wait_for_notification("FlashbackNodeStatusMissing")
    assert notice.receiver == "operations"
    assert notice.labels["account"] == "main"
    assert named(notice) <= {"media-eu (media)", "web (web)"}
    stage.play()
    await stage.over("FlashbackNodeStatusMissing")


async def bucket_is_forbidden(stage: Stage) -> None:
    """The API responds with 403 for one bucket: its team is notified, with name and reason."""
    stage.play("forbidden/share=1/bucket=b1")
    notice = await stage.receiver.wait_for_notification("FlashbackBucketFailing")
    assert notice.receiver == "team-media"
    assert (notice.labels["bucket_id"], notice.labels["team"]) == ("b1", "media")
    assert notice.annotations["summary"] == "Polls of bucket media-eu fail"
    assert "Reason: forbidden." in notice.annotations["description"]
    stage.play()
    await stage.over("FlashbackBucketFailing")


async def account_is_forbidden(stage: Stage) -> None:
    """All buckets of an account get 403: the account's alert fires and inhibits the buckets'."""
    stage.play("forbidden/share=1/bucket=b1/bucket=b2")
    notice = await stage.receiver.wait_for_notification("FlashbackAccountFailing")
    assert notice.receiver == "operations"
    assert notice.labels["account"] == "main"
    assert named(notice) == {"media-eu (media)", "web (web)"}
    await until(lambda: stage.firing_in_prometheus("FlashbackBucketFailing", 2))

    async def all_inhibited() -> bool | None:
        return await stage.alerts.inhibited("FlashbackBucketFailing") == len(MAIN) or None

    await until(all_inhibited)
    stage.play()
    await stage.over("FlashbackAccountFailing")
    await until(lambda: stage.firing_in_prometheus("FlashbackBucketFailing", 0))


async def exporter_is_killed(stage: Stage) -> None:
    """The exporter does not respond: one alert, which is resolved when it runs again."""
    await stage.exporter.stop()
    notice = await stage.receiver.wait_for_notification("FlashbackExporterDown")
    assert notice.receiver == "operations"
    await stage.exporter.start()
    await stage.over("FlashbackExporterDown")


async def token_expires(stage: Stage) -> None:
    """A token is not renewed: one alert before it expires, and one when the API refuses it."""
    stage.issue_token(30)
    notice = await stage.receiver.wait_for_notification("FlashbackTokenExpiring")
    assert notice.receiver == "operations"
    assert notice.labels["account"] == "archive"
    notice = await stage.receiver.wait_for_notification("FlashbackAccountUnauthorized")
    assert notice.labels["account"] == "archive"
    assert named(notice) == {"archive (web)"}
    stage.issue_token(3600)
    await stage.over("FlashbackTokenExpiring")
    await stage.over("FlashbackAccountUnauthorized")


def limited(trouble: simulator.InjectedFault) -> simulator.InjectedFault:
    """Limit a fault to the buckets of the account `main`; nodes of other buckets are ONLINE."""
    rows = trouble.scenario.rows

    def altered(before: Sequence[Row], call: ApiCall) -> list[Row]:
        return rows(before, call) if call.bucket in MAIN else CALM.scenario.rows(before, call)

    scenario = simulator.Scenario("limited", trouble.scenario.description, rows=altered)
    return simulator.InjectedFault(scenario, 1.0)


def named(notice: Notice) -> set[str]:
    """The buckets that a notification's description names."""
    description = notice.annotations["description"]
    _, buckets = re.split("(?:Among them|Some buckets): ", description)
    return set(buckets.removesuffix(".").split(", "))


@pytest.mark.long
async def test_each_fault_notifies_its_receiver_once(
    prometheus_path: str, alertmanager_path: str, tmp_path: Path
) -> None:
    """Each fault sends one firing and one resolved notification to its receiver, and no others."""
    async with staged(tmp_path, prometheus_path, alertmanager_path) as stage:
        assert stage.receiver.notices == []
        for trouble in (
            node_goes_down,
            status_vanishes,
            bucket_is_forbidden,
            account_is_forbidden,
            exporter_is_killed,
            token_expires,
        ):
            await trouble(stage)
        told = [(each.alert, each.status) for each in stage.receiver.notices]
    alerts = ["NodeDown", "NodeStatusMissing", "BucketFailing", "AccountFailing", "ExporterDown"]
    alerts += ["TokenExpiring", "AccountUnauthorized"]
    expected = [
        (f"Flashback{each}", status) for each in alerts for status in ("firing", "resolved")
    ]
    assert sorted(told) == sorted(expected)
