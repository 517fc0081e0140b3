"""Alerts on history, from a real Prometheus with past data to a team's webhook.

Production and staging are in one Prometheus, and have the same account, buckets and nodes.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from exporter import simulator
from exporter.simulator.calls import ApiCall
from exporter.simulator.world import Row
from monitoring.rendering import ALERTS, write
from monitoring.settings import read_overrides
from tests.harness.stack import Running, document, running_on_sockets
from tests.real.alertmanagers import (
    Alertmanager,
    Receiver,
    alerting_prometheus,
    alertmanager,
    receiver,
)
from tests.real.databases import Database, create_blocks
from tests.real.programs import until

FAILING, DOWN, CALM = ("b1", "b2"), "b3", "b4"
PRODUCTION, STAGING = ({"namespace": name} for name in ("production", "staging"))
MINUTE, HOUR = 60.0, 3600.0

SHORT = {
    "node_down_for": "2s",
    "bucket_offline_for": "2s",
    "account_failing_for": "2s",
    # Longer, so that the inhibiting alerts have reached Alertmanager before:
    "bucket_failing_for": "20s",
    "node_not_listed_for": "20s",
    "keep_firing_for": "1s",
    "account_keep_firing_for": "20s",
}
BURN = {f"FlashbackNodeErrorBudgetBurn{window}": {"for": "2s"} for window in ("1h", "6h")}

RESTARTS = ("--rules.alert.for-grace-period=20s",)
"""Prometheus restores alerts with at least this `for`, here that of failing buckets."""


def offline(*buckets: str) -> simulator.InjectedFault:
    """All nodes of these buckets are OFFLINE, and those of other buckets are ONLINE."""

    def rows(before: Sequence[Row], call: ApiCall) -> list[Row]:
        status = "OFFLINE" if call.bucket in buckets else "ONLINE"
        return [{**row, "node_status": status} for row in before]

    scenario = simulator.Scenario("offline", "all nodes of some buckets are down", rows=rows)
    return simulator.InjectedFault(scenario, 1.0)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs, from the simulated APIs to the webhook receiver."""

    production: Running
    staging: Running
    alerts: Alertmanager
    heard: Receiver
    directory: Path
    prometheus_path: str

    @asynccontextmanager
    async def prometheus(self) -> AsyncIterator[Database]:
        """Run Prometheus. After a restart it has its previous data."""
        targets = {self.production.address: PRODUCTION, self.staging.address: STAGING}
        rules = self.directory / "rules"
        async with alerting_prometheus(
            self.prometheus_path, self.directory, targets, rules, self.alerts.address, *RESTARTS
        ) as database:
            yield database


def played(text: str = "", *buckets: str) -> list[simulator.InjectedFault]:
    """Faults by name, and one that makes all nodes of these buckets OFFLINE."""
    return [offline(*buckets), *simulator.text_to_faults(text)]


@asynccontextmanager
async def staged(
    directory: Path, prometheus_path: str, alertmanager_path: str
) -> AsyncIterator[Stage]:
    """Run everything except Prometheus, with all nodes ONLINE."""
    changes = {"settings": SHORT, "alerts": BURN}
    write(directory / "rules", read_overrides(changes, [alert.name for alert in ALERTS]))
    for file in (directory / "rules").iterdir():  # evaluate all rules each second
        file.write_text(re.sub(r"interval: \d+m", "interval: 1s", file.read_text()))
    text = partial(document, buckets=(*FAILING, DOWN, CALM), poll_interval="5s", stale_after="1m")
    async with (
        running_on_sockets((offline(),), wall=time.time(), text=text) as production,
        running_on_sockets((offline(),), wall=time.time(), text=text) as staging,
        receiver() as (webhooks, heard),
        alertmanager(alertmanager_path, directory, webhooks) as alerts,
    ):
        yield Stage(production, staging, alerts, heard, directory, prometheus_path)


def samples(
    name: str, value: float, begin: float, end: float, step: float, **labels: str
) -> Iterator[str]:
    """A series as lines of OpenMetrics."""
    own = {"job": "flashback-exporter", **PRODUCTION, **labels}
    pairs = ",".join(f'{key}="{each}"' for key, each in own.items())
    for number in range(int((end - begin) / step) + 1):
        yield f"{name}{{{pairs}}} {value} {begin + step * number:.0f}"


def past(now: float) -> Iterator[str]:
    """Past data: two nodes not listed for three hours, and two with a burning error budget.

    For one of the latter, FlashbackNodeDown fired until an hour ago.
    """
    gone = now - 3 * HOUR
    for host, down in (("was-up", 0), ("was-down", 1)):
        node = {"bucket_id": CALM, "ip": "192.0.2.91", "host": host}
        listed = "bucket_node:flashback_node_down:max"
        yield from samples(listed, down, gone - HOUR, gone, 2 * MINUTE, **node)
        since = "bucket_node:flashback_node_not_listed:since"
        yield from samples(since, gone, gone, now, 2 * MINUTE, **node)
    nodes = {host: {"account": "main", "ip": "192.0.2.92", "host": host} for host in ("on", "off")}
    for node in nodes.values():
        # Down for six minutes of each hour: ten times too often.
        yield from samples("node:flashback_node_down:avg4m", 0.1, now - 6 * HOUR, now, 240, **node)
        yield from samples("node:flashback_node_down:avg", 0.1, now - HOUR, now, MINUTE, **node)
        yield from samples("node:flashback_node_down:avg6h", 0.1, now - HOUR, now, MINUTE, **node)
        yield from samples("node:flashback_node_down:avg30m", 0.1, now - HOUR, now, MINUTE, **node)
    told = {"alertname": "FlashbackNodeDown", "alertstate": "firing", "severity": "warning"}
    yield from samples("ALERTS", 1, now - 2 * HOUR, now - HOUR, MINUTE, **nodes["off"], **told)
    yield "# EOF"


async def firing(database: Database, alert: str, count: int) -> bool | None:
    """Whether `count` alerts of a name fire in production."""
    query = f'ALERTS{{alertname="{alert}",alertstate="firing",namespace="production"}}'
    return len(await database.samples(query, time.time())) == count or None


async def unlisted_nodes_alert(stage: Stage) -> None:
    """Nodes that are no longer listed cause alerts; error budget burn after NodeDown does not."""
    gone = await stage.heard.wait_for_notification("FlashbackNodeNotListed")
    assert gone.labels["host"] == "was-up"
    assert gone.annotations["description"].endswith("it was listed for 1 bucket. Among them: b4.")
    down = await stage.heard.wait_for_notification("FlashbackNodeDown")
    assert down.labels["host"] == "was-down"
    assert "is no longer listed, but was down when last listed," in down.annotations["description"]
    burning = await stage.heard.wait_for_notification("FlashbackNodeErrorBudgetBurn6h")
    assert burning.labels["host"] == "on"
    for alert in ("FlashbackNodeNotListed", "FlashbackNodeDown", "FlashbackNodeErrorBudgetBurn6h"):
        assert len(stage.heard.told(alert)) == 1
    stage.heard.notices.clear()


async def half_of_account_fails(stage: Stage, database: Database) -> None:
    """Half of an account fails: its alert inhibits those of its failing buckets, and no others."""
    stage.staging.api.play(played("not-found/share=1/bucket=b1"))
    stage.production.api.play(played("forbidden/share=1/bucket=b1/bucket=b2", DOWN))
    account = await stage.heard.wait_for_notification("FlashbackAccountFailing")
    assert account.labels["namespace"] == "production"
    assert "Reasons: forbidden. Some buckets: b1, b2." in account.annotations["description"]
    offline = await stage.heard.wait_for_notification("FlashbackBucketWithoutOnlineNodes")
    assert (offline.labels["bucket_id"], offline.labels["namespace"]) == (DOWN, "production")
    await until(partial(firing, database, "FlashbackBucketFailing", len(FAILING)))
    staging = await stage.heard.wait_for_notification(
        "FlashbackBucketFailing"
    )  # production's are inhibited
    assert staging.labels["namespace"] == "staging"
    assert staging.annotations["description"].endswith("Reason: not_found.")


@pytest.mark.long
async def test_alerts_on_history(
    prometheus_path: str, promtool_path: str, alertmanager_path: str, tmp_path: Path
) -> None:
    """Alerts on past data fire once, inhibition is per namespace, restarts resolve nothing."""
    now = time.time()
    await create_blocks(promtool_path, tmp_path / "prometheus", past(now))
    async with staged(tmp_path, prometheus_path, alertmanager_path) as stage:
        async with stage.prometheus() as database:
            await unlisted_nodes_alert(stage)
            await half_of_account_fails(stage, database)
            fired = {each.alert for each in stage.heard.notices if each.status == "firing"}
        async with stage.prometheus() as database:
            for alert, count in (
                ("FlashbackAccountFailing", 1),
                ("FlashbackBucketFailing", len(FAILING)),
                ("FlashbackBucketWithoutOnlineNodes", 1),
            ):
                await until(partial(firing, database, alert, count))
            assert [each for each in stage.heard.notices if each.status == "resolved"] == []
            stage.production.api.play(played())
            stage.staging.api.play(played())
            for alert in fired:
                await stage.heard.wait_for_notification(alert, "resolved")
