"""Pages and JSON of a running exporter, against the simulator, on virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from exporter import simulator
from exporter.config import parse
from exporter.metrics.self_metrics import SelfMetrics
from exporter.polling.manager import PollManager
from exporter.polling.sharding import Shard
from exporter.simulator import ACCESS_KEY_PREFIX, SECRET_PREFIX, User
from exporter.status.snapshot import AccountStatus, DiscoveryStatus, take_snapshot
from exporter.upstream.account import tls_contexts
from exporter.version import VERSION
from tests.harness.fakes import FakeClock
from tests.harness.stack import ANYWHERE, BUCKETS, FIELDS, Running, document, running
from tests.status.test_api import VALIDATOR
from tests.web.markup import Markup

pytestmark = pytest.mark.virtual_time

PASSWORD = "pa55word-s3cret"
PATHS = ("/", "/help", "/api/v1/status")
LIFECYCLE = replace(ANYWHERE, lifecycle=True)


async def status(at_work: Running, query: str = "") -> dict[str, Any]:
    """The JSON, validated against the schema."""
    response = await at_work.request("GET", f"/api/v1/status{query}")
    said: dict[str, Any] = response.json()
    VALIDATOR.validate(said)
    return said


async def status_when(at_work: Running, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first response for which a condition holds."""
    await at_work.scrape_when(lambda page: page.has("flashback_bucket_up"))
    while not holds(said := await status(at_work)):
        await at_work.clock.sleep(1)
    return said


async def page(at_work: Running, path: str = "/") -> str:
    """The text of a page."""
    return Markup((await at_work.request("GET", path)).text).said()


def polled(times: int) -> Callable[[dict[str, Any]], bool]:
    """The condition that each bucket was polled at least so many times."""
    return lambda said: all(len(bucket["polls"]) >= times for bucket in said["buckets"])


async def test_it_says_what_the_metrics_say() -> None:
    """The JSON has the same buckets, nodes and values as the metrics."""
    async with running() as at_work:
        said = await status_when(at_work, polled(1))
        scrape = await at_work.scrape()
        assert {bucket["id"] for bucket in said["buckets"]} == set(BUCKETS)
        assert said["ready"] is said["healthy"] is True
        assert said["version"] == VERSION
        for bucket in said["buckets"]:
            assert bucket["state"] == "up"
            for shown in bucket["nodes"]:
                labels = {"bucket_id": bucket["id"], "ip": shown["ip"], "host": shown["host"]}
                for name in FIELDS:
                    key = name.removeprefix("flashback_node_")
                    assert scrape.value(name, **labels) == shown[key]
        assert "All 3 buckets are up" in await page(at_work)


async def test_polls_are_remembered_and_planned() -> None:
    """The JSON has a bucket's polls in order, and its next poll is after its last one."""
    async with running() as at_work:
        said = await status_when(at_work, polled(3))
        for bucket in said["buckets"]:
            assert [poll["reason"] for poll in bucket["polls"]] == [None] * len(bucket["polls"])
            assert sorted(poll["ended"] for poll in bucket["polls"]) == [
                poll["ended"] for poll in bucket["polls"]
            ]
            assert bucket["next_poll"] > bucket["last_poll"]
        assert "all succeeded" in (await at_work.request("GET", "/bucket?id=b1")).text


async def test_failures_have_their_message() -> None:
    """The API's error, the reason and the remedy are on the pages, and the error in the JSON."""
    async with running("not-found/share=1/bucket=b2") as at_work:
        said = await status_when(at_work, polled(1))
        (bucket,) = (await status(at_work, "?bucket_id=b2"))["buckets"]
        assert bucket["reason"] == "not_found"
        assert bucket["message"].startswith("HTTP 404")
        assert said["buckets"][0]["id"] == "b2"
        for path in ("/", "/bucket?id=b2"):
            text = await page(at_work, path)
            assert (
                "not_found HTTP 404. What to do: check the bucket ID, and whether the bucket was"
                " deleted" in text
            )
            assert "HTTP 404" in text


async def test_running_polls_and_pauses() -> None:
    """A hanging poll is shown as running; after a 429, account and buckets are shown as paused."""
    async with running("hang/share=1/bucket=b1") as at_work:
        await status_when(
            at_work,
            lambda said: [each["id"] for each in said["buckets"] if each["polling"]] == ["b1"],
        )

    def one_at_a_time(api: str) -> str:
        return document(api, max_concurrent_requests=1)

    async with running("429-storm/share=1", text=one_at_a_time) as at_work:
        await at_work.scrape_when(
            lambda page: page.has("flashback_account_paused_until_timestamp_seconds")
        )
        (account,) = (await status(at_work))["accounts"]
        assert account["paused_until"] is not None
        assert "Account main is rate limited and paused" in await page(at_work)
        for bucket_id in BUCKETS:
            assert ", paused" in await page(at_work, f"/bucket?id={bucket_id}")


async def test_refused_configuration_is_shown_until_fixed() -> None:
    """A refused configuration's problems are shown, without secrets, until a reload succeeds."""
    broken = [False]

    def text(api: str) -> str:
        wrong = f"    authorisation: {{credentials: {PASSWORD}}}\n    buckets: []\n"
        return document(api) + ("  - name: 'second'\n" + wrong if broken[0] else "")

    async with running(options=LIFECYCLE, text=text) as at_work:
        assert (await status(at_work))["config"]["refused"] is None
        broken[0] = True
        await at_work.request("POST", "/-/reload")
        config = (await status(at_work))["config"]
        assert config["last_reload_successful"] is False
        assert "authorisation" in config["problems"]
        answer = await page(at_work)
        assert "The configuration reload failed" in answer
        assert "authorisation" in answer
        assert PASSWORD not in answer + str(config)
        broken[0] = False
        await at_work.request("POST", "/-/reload")
        assert (await status(at_work))["config"]["problems"] == ""
        assert "reload failed" not in await page(at_work)


async def test_reload_keeps_poll_history() -> None:
    """A reload keeps the poll history of a bucket that stays, and a new bucket has none."""
    buckets = ["b1", "b2"]

    def text(api: str) -> str:
        return document(api, buckets=tuple(buckets))

    async with running("hang/share=1/bucket=b3", options=LIFECYCLE, text=text) as at_work:
        await status_when(at_work, polled(1))
        buckets[:] = ["b1", "b3"]
        await at_work.request("POST", "/-/reload")
        past = {each["id"]: len(each["polls"]) for each in (await status(at_work))["buckets"]}
        assert past == {"b1": 1, "b3": 0}


async def test_before_first_discovery() -> None:
    """Before the first list response, discovery has no result, and does not count as failing."""
    text = "accounts: [{name: a, authorization: {credentials: t}, discovery: {}}]"
    config = parse(text, path=Path("config.yaml"), environ={})
    self_metrics = SelfMetrics("1", "2", runtime_metrics=False)
    contexts = await tls_contexts(config.accounts)
    exporter = PollManager(config, self_metrics, FakeClock(), Random(0), contexts, shard=Shard())
    (account,) = take_snapshot(exporter, FakeClock().now()).accounts
    assert account == AccountStatus("a", discovery=DiscoveryStatus(was_tried=False))


async def test_the_previous_day_is_shown() -> None:
    """The previous day's final figures are in the JSON and on the bucket's page."""
    async with running() as at_work:
        said = await status_when(
            at_work, lambda said: all(bucket["previous_day"] for bucket in said["buckets"])
        )
        assert {bucket["previous_day"]["day"] for bucket in said["buckets"]} == {"2024-01-14"}
        assert "Previous day 2024-01-14 (UTC), final" in await page(at_work, "/bucket?id=b1")


@pytest.mark.parametrize("scenario", ["", "unauthorized/share=1", "hostile-message/share=1"])
async def test_no_secret_is_on_it(scenario: str) -> None:
    """Password, tokens and the keys in list responses are neither on pages nor in the JSON."""
    lines = (
        "global: {base_url: '%s', poll_interval: 5s}\n"
        "accounts:\n"
        f"  - name: main\n    login: {{email: ops@example.com, password: {PASSWORD}}}\n"
        "    discovery: {refresh_interval: 10s}\n"
    )
    found = (
        simulator.SimulatedBucket("found-1", "found"),
        simulator.SimulatedBucket("found-2", "other"),
    )
    async with running(
        scenario,
        text=lambda api: lines % api,
        users=[User("ops@example.com", PASSWORD)],
        buckets=found,
    ) as at_work:
        said = await status_when(at_work, lambda said: bool(said["buckets"]) and polled(1)(said))
        shown = "".join(
            [(await at_work.request("GET", path)).text for path in (*PATHS, "/bucket?id=found-1")]
        )
        sent = {asked.authorization for asked in at_work.api.record.asked if asked.authorization}
        tokens = {each.removeprefix("Bearer ") for each in sent}
        assert tokens
        for secret in (PASSWORD, ACCESS_KEY_PREFIX, SECRET_PREFIX, *tokens):
            assert secret not in shown
        assert said["accounts"][0]["discovery"]["buckets"] == 2
