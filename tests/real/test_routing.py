"""The Alertmanager example: routing and inhibition."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.real.alertmanagers import EXAMPLE, alertmanager, receiver
from tests.real.programs import TIMEOUTS, until

WHERE = {"job": "flashback-exporter", "account": "main"}
NODE = {**WHERE, "ip": "192.0.2.1", "host": "h"}
BUCKET = {**WHERE, "bucket_id": "b1"}


def labels(alert: str, where: dict[str, str], **more: str) -> dict[str, str]:
    """The labels of an alert."""
    return {"alertname": f"Flashback{alert}"} | where | more


@pytest.mark.parametrize(
    ("source", "silenced", "heard"),
    [
        pytest.param(
            labels("ExporterAbsent", {"job": "flashback-exporter"}),
            [labels("ExporterDown", WHERE), labels("BucketFailing", BUCKET)],
            [
                labels("BucketFailing", BUCKET, job="another"),
                labels("BucketFailing", BUCKET, namespace="another"),
            ],
            id="no exporter",
        ),
        pytest.param(
            labels("ExporterDown", {"job": "flashback-exporter", "namespace": "one"}),
            [
                labels("NodeDown", NODE, namespace="one"),
                labels("BucketFailing", BUCKET, namespace="one"),
                labels("AccountFailing", WHERE, namespace="one"),
            ],
            [labels("NodeDown", NODE, namespace="two"), labels("NodeDown", NODE)],
            id="exporter down",
        ),
        pytest.param(
            labels("AccountUnauthorized", WHERE),
            [labels("BucketFailing", BUCKET), labels("DiscoveryFailing", WHERE)],
            [
                labels("BucketFailing", BUCKET, account="other"),
                labels("BucketWithoutOnlineNodes", BUCKET),
                labels("NodeDown", NODE),
                labels("AccountFailing", WHERE),
                labels("TokenExpiring", WHERE),
                labels("PollLag", {"job": "flashback-exporter"}),
            ],
            id="account unauthorized",
        ),
        pytest.param(
            labels("AccountFailing", WHERE),
            [labels("BucketFailing", BUCKET)],
            [
                labels("BucketFailing", BUCKET, account="other"),
                labels("BucketWithoutOnlineNodes", BUCKET),
                labels("NodeDown", NODE),
                labels("NodeStatusUnknown", NODE),
                labels("DiscoveryFailing", WHERE),
            ],
            id="account failing",
        ),
        pytest.param(
            labels("NodeDown", NODE),
            [
                labels("NodeReportOld", NODE),
                labels("NodeNotListed", NODE),
                labels("NodeErrorBudgetBurn1h", NODE),
            ],
            [labels("NodeReportOld", NODE, host="g"), labels("BucketWithoutOnlineNodes", BUCKET)],
            id="node down",
        ),
        pytest.param(
            labels("NodeErrorBudgetBurn6h", NODE),
            [labels("NodeErrorBudgetBurn1d", NODE), labels("NodeErrorBudgetBurn3d", NODE)],
            [labels("NodeErrorBudgetBurn1d", NODE, ip="192.0.2.2")],
            id="budget burning",
        ),
        pytest.param(
            labels("ShardMissing", {"job": "flashback-exporter"}),
            [labels("ExporterReplicaDown", {"job": "flashback-exporter"})],
            [labels("ExporterReplicaDown", {"job": "another"})],
            id="shard missing",
        ),
    ],
)
async def test_inhibition_mutes_only_explained_alerts(
    alertmanager_path: str,
    tmp_path: Path,
    source: dict[str, str],
    silenced: list[dict[str, str]],
    heard: list[dict[str, str]],
) -> None:
    """Alertmanager inhibits exactly the alerts that the source alert explains."""
    async with AsyncExitStack() as stack:
        webhooks, _ = await stack.enter_async_context(receiver())
        alerts = await stack.enter_async_context(
            alertmanager(alertmanager_path, tmp_path, webhooks)
        )
        # Inhibition is decided when a notification is sent, so the source alert has to come first.
        await alerts.send([source])
        await alerts.send([*silenced, *heard])

        async def settled() -> list[dict[str, str]] | None:
            known = await alerts.alerts()
            if len(known) < 1 + len(silenced) + len(heard):
                return None
            found = [each["labels"] for each in known if each["status"]["inhibitedBy"]]
            return found if len(found) == len(silenced) else None

        found = await until(settled)
    assert {frozenset(each.items()) for each in found} == {
        frozenset(each.items()) for each in silenced
    }


async def test_many_nodes_are_one_notification(alertmanager_path: str, tmp_path: Path) -> None:
    """When 300 nodes go down together, the receiver gets all alerts in one webhook message."""
    async with AsyncExitStack() as stack:
        webhooks, heard = await stack.enter_async_context(receiver())
        alerts = await stack.enter_async_context(
            alertmanager(alertmanager_path, tmp_path, webhooks)
        )
        nodes = [labels("NodeDown", NODE, host=f"node-{number}") for number in range(300)]
        await alerts.send(nodes)
        await heard.wait_for_notification("FlashbackNodeDown")
    assert {each.labels["host"] for each in heard.notices} == {node["host"] for node in nodes}
    assert heard.messages == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"alertname": "FlashbackBucketFailing", "team": "media"}, "team-media"),
        ({"alertname": "FlashbackBucketWithoutOnlineNodes", "team": "web"}, "team-web"),
        ({"alertname": "FlashbackBucketFailing", "team": "nobody"}, "operations"),
        ({"alertname": "FlashbackNodeDown", "account": "main"}, "operations"),
        ({"alertname": "FlashbackExporterDown", "severity": "critical"}, "operations"),
        ({"alertname": "FlashbackSchemaDrift", "severity": "info"}, "digest"),
    ],
)
async def test_example_routes_by_team(
    amtool_path: str, given: dict[str, str], expected: str
) -> None:
    """Alerts are routed to their team, or else to operations or digest, as tested by amtool."""
    pairs = [f"{name}={value}" for name, value in given.items()]
    command = ("config", "routes", "test", f"--config.file={EXAMPLE}", *pairs)
    assert await output_of(amtool_path, *command) == (0, expected)


async def test_example_is_a_good_configuration(amtool_path: str) -> None:
    """`amtool check-config` accepts the example."""
    code, output = await output_of(amtool_path, "check-config", str(EXAMPLE))
    assert (code, "SUCCESS" in output) == (0, True)


async def output_of(*command: str) -> tuple[int | None, str]:
    """The exit code of a program, and what it prints to standard output."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(TIMEOUTS):
        output, _ = await process.communicate()
    return process.returncode, output.decode().strip()
