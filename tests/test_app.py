"""The whole exporter against the simulator, in virtual time."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporter.app import SWITCH_INTERVAL, Options
from exporter.model import SECONDS_PER_DAY, Reason, stable_fraction
from exporter.polling.sharding import Shard
from exporter.simulator import Simulator
from tests.harness.fakes import MIDNIGHT, NOON
from tests.harness.scrapes import Sample, Scrape
from tests.harness.stack import ANYWHERE, BUCKETS, FIELDS, all_polled, document, running, was_served

pytestmark = pytest.mark.virtual_time


async def test_page_says_what_the_api_said() -> None:
    """Every bucket has six nodes, with exactly the values that the API returned."""
    async with running() as at_work:
        page = await at_work.scrape_when(all_polled)
        for name in FIELDS:
            samples = page.all(name)
            assert len(samples) == 6 * len(BUCKETS)
            assert all(was_served(at_work.api, sample) for sample in samples)
        statuses = page.all("flashback_node_status")
        assert sum(sample.value for sample in statuses) == 6 * len(BUCKETS)
        for bucket_id in BUCKETS:
            assert page.value("flashback_bucket_up", bucket_id=bucket_id) == 1
            assert page.value("flashback_bucket_nodes", bucket_id=bucket_id) == 6
        requests = page.value(
            "flashback_api_requests_total", account="main", call="stats", code="200"
        )
        assert requests == at_work.api.record.answers[200] >= len(BUCKETS)
        assert page.value("flashback_exporter_buckets") == len(BUCKETS)


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ("bad-request", Reason.BAD_REQUEST),
        ("unauthorized", Reason.UNAUTHORIZED),
        ("forbidden", Reason.FORBIDDEN),
        ("not-found", Reason.NOT_FOUND),
        ("429-storm", Reason.RATE_LIMITED),
        ("429-storm-date", Reason.RATE_LIMITED),
        ("5xx", Reason.SERVER_ERROR),
        ("proxy-502", Reason.SERVER_ERROR),
        ("redirect", Reason.UNEXPECTED_STATUS),
        ("unsuccessful", Reason.UNSUCCESSFUL),
        ("not-json", Reason.MALFORMED),
        ("proxy-page", Reason.MALFORMED),
        ("wrong-shape", Reason.MALFORMED),
        ("deep-json", Reason.MALFORMED),
        ("gzip-bomb", Reason.TOO_LARGE),
        ("huge-body", Reason.TOO_LARGE),
        ("hundreds-of-nodes", Reason.TOO_MANY_NODES),
        ("hang", Reason.TIMEOUT),
        ("trickle", Reason.TIMEOUT),
        ("truncated", Reason.CONNECT),
        ("disconnect", Reason.CONNECT),
    ],
)
async def test_trouble_shows_as_its_reason(scenario: str, reason: Reason) -> None:
    """Each API problem is exported as its reason, and does not affect the other buckets."""

    def text(api: str) -> str:
        return document(api, max_nodes_per_bucket=50, max_response_bytes="1MiB")

    async with running(f"{scenario}/share=1/bucket=b2", text=text) as at_work:
        page = await at_work.scrape_when(
            lambda page: page.has("flashback_bucket_failing", bucket_id="b2")
        )
        (failing,) = page.all("flashback_bucket_failing")
        assert failing.labels == {"bucket_id": "b2", "reason": reason.value}
        assert page.value("flashback_bucket_up", bucket_id="b2") == 0
        assert not page.has("flashback_node_uptime_ratio", bucket_id="b2")
        failures = "flashback_api_request_failures_total"
        assert page.value(failures, account="main", call="stats", reason=reason.value) >= 1
        if reason is not Reason.RATE_LIMITED:
            page = await at_work.scrape_when(all_polled)
            assert page.value("flashback_bucket_up", bucket_id="b1") == 1


async def test_stale_numbers_vanish_and_come_back() -> None:
    """While the API hangs, samples disappear once stale, and return when the API responds again."""
    async with running() as at_work:
        await at_work.scrape_when(lambda page: len(page.all("flashback_bucket_nodes")) == 3)
        at_work.api.play("hang/share=1")
        page = await at_work.scrape_when(lambda page: not page.has("flashback_node_uptime_ratio"))
        assert not page.has("flashback_bucket_nodes")
        assert len(page.all("flashback_bucket_failing", reason="timeout")) == len(BUCKETS)
        assert page.has("flashback_bucket_last_success_timestamp_seconds")
        at_work.api.play("")
        await at_work.scrape_when(lambda page: len(page.all("flashback_bucket_nodes")) == 3)


async def test_midnight_is_crossed_without_a_gap() -> None:
    """Yesterday's samples stay after midnight until the API has data of the new day.

    On every page, each value is one that the API returned for the day that the page exports.
    """
    days: list[float] = []
    name = "flashback_bucket_stats_day_timestamp_seconds"
    async with running("empty-new-day", wall=MIDNIGHT - 120) as at_work:
        page = await at_work.scrape_when(all_polled)
        while {sample.value for sample in page.all(name)} != {MIDNIGHT}:
            assert {sample.value for sample in page.all("flashback_bucket_up")} == {1}
            assert [sample.value for sample in page.all("flashback_bucket_nodes")] == [6] * 3
            for day in page.all(name):
                assert all_served(at_work.api, page, day)
                days.append(day.value)
            await at_work.clock.sleep(5)
            page = await at_work.scrape()
        assert all(all_served(at_work.api, page, day) for day in page.all(name))
    assert set(days) == {MIDNIGHT - SECONDS_PER_DAY, MIDNIGHT}
    assert days.count(MIDNIGHT - SECONDS_PER_DAY) > 10


def all_served(api: Simulator, page: Scrape, day: Sample) -> bool:
    """Whether the API returned each of a bucket's values for the day that the page exports."""
    bucket = day.labels["bucket_id"]
    date = datetime.fromtimestamp(day.value, UTC).date()
    answers = [served.by_identity() for served in api.record.served_to(bucket, date)]
    shown = [sample for name in FIELDS for sample in page.all(name, bucket_id=bucket)]
    return len(shown) == 6 * len(FIELDS) and all(
        sample.value
        in {
            FIELDS[sample.name][1](value)
            for rows in answers
            if (row := rows.get((sample.labels["ip"], sample.labels["host"])))
            and isinstance(value := row.get(FIELDS[sample.name][0]), int | float)
        }
        for sample in shown
    )


async def test_yesterday_is_not_shown_for_an_interval_after_the_grace() -> None:
    """With a one-hour interval, a bucket that kept yesterday is polled soon after the grace."""
    early = [f"b{number}" for number in range(100) if 0.01 < stable_fraction(f"b{number}") < 0.1][
        :3
    ]

    def text(api: str) -> str:
        settings = {"poll_interval": "1h", "poll_timeout": "1h", "stale_after": "4h"}
        return document(api, buckets=tuple(early), **settings)

    scenario = "empty-new-day/window=00:00-00:10"
    async with running(scenario, wall=MIDNIGHT - 1900, text=text) as at_work:
        name = "flashback_bucket_stats_day_timestamp_seconds"
        await at_work.scrape_when(
            lambda page: [each.value for each in page.all(name)] == [MIDNIGHT] * len(early)
        )
        today = [each for each in at_work.api.record.served if each.at >= MIDNIGHT + 600]
    assert {each.bucket for each in today} == set(early)
    assert all(each.at < MIDNIGHT + 3600 for each in today), "its regular poll comes after that"


async def test_ready_when_the_first_round_is_done() -> None:
    """Ready needs a poll of every bucket, even a failed one; healthy does not."""
    async with running("hang/share=1/bucket=b3") as at_work:
        await at_work.scrape_when(lambda page: len(page.all("flashback_bucket_up")) == 2)
        assert await at_work.status("/-/ready") == 503
        assert await at_work.status("/-/healthy") == 200
        await at_work.scrape_when(all_polled)
        assert await at_work.status("/-/ready") == 200


async def test_paused_account_is_ready_and_shown_as_paused() -> None:
    """If a 429 pauses an account in the first round, the exporter is ready and shows the pause."""
    async with running("429-storm/share=1") as at_work:
        page = await at_work.scrape_when(
            lambda page: page.has("flashback_account_paused_until_timestamp_seconds")
        )
        until = page.value("flashback_account_paused_until_timestamp_seconds", account="main")
        assert NOON + 25 < until < NOON + 60
        assert await at_work.status("/-/ready") == 200
        assert page.value("flashback_exporter_poll_lag_seconds") == 0


async def test_hostile_strings_do_no_harm() -> None:
    """Quotes, newlines, NUL and lone surrogates in a response do not break the metrics page."""
    async with running("hostile-strings,hostile-message/share=1/bucket=b2") as at_work:
        page = await at_work.scrape_when(all_polled)
        assert page.value("flashback_bucket_up", bucket_id="b1") == 1
        assert page.all("flashback_node_info", bucket_id="b1")


async def test_hostile_names_of_found_buckets_end_no_line() -> None:
    """Line separators other than LF in names of discovered buckets are replaced."""
    async with running("list-odd-entries", text=with_discovery) as at_work:
        page = await at_work.scrape_when(
            lambda page: page.has("flashback_bucket_info", bucket_id="odd-hostile-0")
        )
        names = {each.labels["name"] for each in page.all("flashback_bucket_info")}
        assert {"carriage\ufffd\nreturn", "nul\ufffdbyte", "two\nlines"} <= names
        assert page.check().ends_lines_only_at_lf()


async def test_exporter_metrics_can_be_left_out() -> None:
    """With exporter_metrics=False, the process metrics are missing from the page."""
    options = Options(ANYWHERE.listen_addresses, exporter_metrics=False)
    async with running(options=options) as at_work:
        page = await at_work.scrape()
        assert page.has("flashback_exporter_build_info")
        assert not page.has("process_open_fds")


async def test_token_file_beside_the_configuration_is_used(tmp_path: Path) -> None:
    """A token from a file is sent; without the file no request is sent and buckets fail."""
    token = tmp_path / "token"
    token.write_text("from-file\n")

    def text(api: str) -> str:
        return document(api).replace("credentials: t0", f"credentials_file: {token}")

    async with running(text=text) as at_work:
        await at_work.scrape_when(all_polled)
        assert {asked.authorization for asked in at_work.api.record.asked} == {"Bearer from-file"}
        assert all(
            (asked.user_agent or "").startswith("flashback-exporter/")
            for asked in at_work.api.record.asked
        )
    token.unlink()
    async with running(text=text) as at_work:
        page = await at_work.scrape_when(all_polled)
        assert len(page.all("flashback_bucket_failing", reason="unauthorized")) == len(BUCKETS)
        assert not at_work.api.record.asked


async def test_shards_share_the_buckets() -> None:
    """Three shards together poll every bucket exactly once, including discovered ones."""
    seen: list[str] = []
    for ordinal in range(3):
        options = replace(ANYWHERE, shard=Shard(ordinal, 3))
        async with running(options=options, text=with_discovery, buckets=SHARED) as at_work:
            page = await at_work.scrape_when(
                lambda page: page.has("flashback_account_discovery_up")
            )
            assert page.value("flashback_exporter_shard_ordinal") == ordinal
            assert page.value("flashback_account_discovered_buckets") == len(SHARED)
            seen += [sample.labels["bucket_id"] for sample in page.all("flashback_bucket_info")]
    assert sorted(seen) == sorted([*SHARED, *BUCKETS])


SHARED = tuple(f"found-{number}" for number in range(40))


def with_discovery(api: str) -> str:
    """The default buckets plus discovery."""
    return document(api) + "    discovery: {}\n"


async def test_threads_let_the_event_loop_run_soon() -> None:
    """The thread switch interval is set below Python's default, so threads block the loop less."""
    sys.setswitchinterval(0.005)
    async with running():
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL)


async def test_bug_in_the_polling_ends_the_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception in polling ends `run_app` instead of only being logged."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("exporter.polling.event_log.EventLogger.log_transition", broken)
    with pytest.raises(ExceptionGroup) as caught:
        await until_cancelled()
    assert caught.group_contains(ZeroDivisionError)


async def until_cancelled() -> None:
    """Run the exporter until it ends by itself."""
    async with running():
        await asyncio.Event().wait()
