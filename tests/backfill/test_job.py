"""Complete backfills in virtual time: their files, and further runs for missing data."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest
from structlog.testing import capture_logs

from exporter.backfill import Failures, OutputError, UnknownBucketsError
from exporter.backfill.fetch import Fetcher
from exporter.backfill.job import assignments
from exporter.model import SECONDS_PER_DAY, Timing
from exporter.simulator import CallKind, User
from tests.backfill.runs import (
    BEFORE,
    LAST_DAY,
    LATENCY,
    LATER,
    UPTIME,
    YESTERDAY,
    Steps,
    desk,
    document,
    truth,
    without_rows,
    without_rows_at_first,
)
from tests.harness.fakes import NOON, settle
from tests.harness.simulated_network import connect_to

pytestmark = pytest.mark.virtual_time

BUCKETS = ("b1", "b2", "b3")
BOTH = ["2024-01-12.om", "2024-01-13.om"]


def shown(day: date, bucket: str, until: float = LATER) -> list[int]:
    """The times of a past day's samples."""
    begin, end = Timing().previous_day_exposed_between(day, bucket)
    times = range(int(end - begin) + 1)
    return [int(begin) + each for each in times if _is_time(int(begin) + each, begin, end, until)]


def _is_time(at: int, begin: float, end: float, until: float) -> bool:
    return at % 240 == 0 and begin <= at < min(end, until)


async def test_account_that_logs_in_does_so_once(tmp_path: Path) -> None:
    """A backfill can use an account with login, and logs in once."""
    user = User("ops@example.com", "s3cret")

    def text(api: str) -> str:
        given = "authorization: {credentials: s3cret-token}"
        return document(api).replace(given, "login: {email: ops@example.com, password: s3cret}")

    at_work = desk(tmp_path, users=[user])
    failures = await at_work.run(BEFORE, LAST_DAY, text=text)
    assert (at_work.files(), failures.count) == (BOTH, 0)
    assert at_work.api.record.calls_by_kind[CallKind.LOGIN] == 1


async def test_each_day_has_a_file_with_the_figures_of_every_bucket(tmp_path: Path) -> None:
    """A day's file has the API's final figures at each time when live polling exports them."""
    at_work = desk(tmp_path)
    failures = await at_work.run(BEFORE, LAST_DAY)
    assert at_work.files() == BOTH
    for day, file in zip((BEFORE, LAST_DAY), BOTH, strict=True):
        expected = {
            (name, bucket, ip): dict.fromkeys(shown(day, bucket), value)
            for each in BUCKETS
            for (name, bucket, ip), value in truth(each, day).items()
        }
        assert at_work.series(file) == expected
        assert len(expected) > 30
    assert failures.count == 0
    assert at_work.failed() == []


async def test_series_carry_the_extra_labels(tmp_path: Path) -> None:
    """Extra labels are on every series, with their values escaped."""
    labels = {"job": "flash\\back", "instance": 'a "b"\nc'}
    at_work = desk(tmp_path)
    await at_work.run(LAST_DAY, LAST_DAY, labels=labels, buckets=("b1",))
    text = (at_work.output / BOTH[1]).read_text()
    series = [line for line in text.splitlines() if line.startswith("flashback_")]
    suffix = r',job="flash\\back",instance="a \"b\"\nc"} '
    assert series
    assert all(suffix in line for line in series)


async def test_second_run_asks_for_nothing(tmp_path: Path) -> None:
    """A second run requests nothing that the first got, and counts all of it as done."""
    at_work = desk(tmp_path)
    await at_work.run()
    asked, steps = at_work.asked(), Steps()
    await at_work.run(steps=steps)
    assert at_work.asked() == asked == 6
    assert at_work.files() == BOTH
    assert steps.done == steps.total == 6


async def test_failed_bucket_holds_nobody_up_and_alone_is_asked_again(tmp_path: Path) -> None:
    """A failed bucket is reported; the next run requests only it, and writes a second file."""
    at_work = desk(tmp_path, "forbidden/share=1/bucket=b2")
    failures = await at_work.run()
    assert at_work.files() == BOTH
    assert at_work.buckets(BOTH[0]) == {"b1", "b3"}
    assert [(each["day"], each["bucket"]) for each in at_work.failed()] == [
        ("2024-01-12", "b2"),
        ("2024-01-13", "b2"),
    ]
    assert {each["account"] for each in at_work.failed()} == {"main"}
    assert {each["reason"] for each in at_work.failed()} == {"forbidden"}
    (line,) = failures.lines()
    assert line.startswith("main: b2 on 2 days from 2024-01-12 to 2024-01-13: forbidden: HTTP 403")
    at_work.api.play("")
    assert (await at_work.run()).count == 0
    assert at_work.asked() == 6 + 2
    second = ["2024-01-12.2.om", "2024-01-13.2.om"]
    assert at_work.files() == sorted(BOTH + second)
    assert [at_work.buckets(file) for file in second] == [{"b2"}, {"b2"}]
    assert at_work.failed() == []


async def test_third_part_takes_the_next_number(tmp_path: Path) -> None:
    """Each further run for a day writes a file with the next free number."""
    at_work = desk(tmp_path)
    for bucket in BUCKETS:
        await at_work.run(LAST_DAY, LAST_DAY, buckets=(bucket,))
    files = ["2024-01-13.om", "2024-01-13.2.om", "2024-01-13.3.om"]
    assert [at_work.buckets(file) for file in files] == [{"b1"}, {"b2"}, {"b3"}]


async def test_bucket_that_came_later_is_missing(tmp_path: Path) -> None:
    """A bucket added after the first run is the only one that the second run requests."""
    at_work = desk(tmp_path)
    await at_work.run(LAST_DAY, LAST_DAY, text=lambda api: document(api, buckets="[b1]"))
    await at_work.run(LAST_DAY, LAST_DAY, text=lambda api: document(api, buckets="[b1, b9]"))
    assert at_work.api.record.calls == {"b1": 1, "b9": 1}
    assert at_work.buckets("2024-01-13.2.om") == {"b9"}


async def test_day_without_nodes_has_no_file_and_is_not_asked_again(tmp_path: Path) -> None:
    """A bucket with two empty responses counts as done: no file, and no request by the next run."""
    at_work = desk(tmp_path, without_rows("b1", "b2"))
    steps = Steps()
    await at_work.run(LAST_DAY, LAST_DAY, buckets=("b1", "b2"), steps=steps)
    assert at_work.files() == []
    assert steps.done == steps.total == 2
    assert at_work.api.record.calls == {"b1": 2, "b2": 2}
    await at_work.run(LAST_DAY, LAST_DAY)
    assert at_work.api.record.calls == {"b1": 2, "b2": 2, "b3": 1}
    assert at_work.buckets("2024-01-13.om") == {"b3"}


async def test_one_empty_answer_loses_no_day(tmp_path: Path) -> None:
    """A bucket with one empty response is requested once more at the end of the run."""
    at_work = desk(tmp_path, without_rows_at_first("b1"))
    await at_work.run(LAST_DAY, LAST_DAY)
    assert at_work.buckets("2024-01-13.om") == set(BUCKETS)
    assert at_work.api.record.calls == {"b1": 2, "b2": 1, "b3": 1}


async def test_empty_day_that_is_still_shown_is_asked_for_again(tmp_path: Path) -> None:
    """An empty day that live polling still exports is requested again by the next run."""
    at_work = desk(tmp_path, without_rows("b1"))
    await at_work.run(YESTERDAY, YESTERDAY)
    at_work.api.play("")
    await at_work.run(YESTERDAY, YESTERDAY)
    assert at_work.buckets("2024-01-14.2.om") == {"b1"}


async def test_day_on_which_all_failed_has_no_file(tmp_path: Path) -> None:
    """If all requests for a day fail, it has no file."""
    at_work = desk(tmp_path, "no-past-days")
    failures = await at_work.run()
    assert at_work.files() == []
    assert failures.count == 6
    assert {each["reason"] for each in at_work.failed()} == {"bad_request"}


async def test_yesterday_ends_now_and_the_rest_comes_when_it_is_over(tmp_path: Path) -> None:
    """Yesterday's samples end at the current time; a later run adds the rest."""
    at_work = desk(tmp_path)
    first = "2024-01-14.om"
    await at_work.run(YESTERDAY, YESTERDAY)
    moment = at_work.clock.now().wall
    times = set(at_work.series(first)[UPTIME, "b1", "198.51.100.11"])
    assert times == set(shown(YESTERDAY, "b1", until=max(times) + 1))
    assert NOON - 240 <= max(times) < moment
    await at_work.run(YESTERDAY, YESTERDAY)
    assert at_work.files() == [first]
    at_work.clock.jump_wall(SECONDS_PER_DAY)
    await at_work.run(YESTERDAY, YESTERDAY)
    assert at_work.files() == ["2024-01-14.2.om", first]
    whole = at_work.series(first, "2024-01-14.2.om")
    for bucket in BUCKETS:
        for key in truth(bucket, YESTERDAY):
            assert sorted(whole[key]) == shown(YESTERDAY, bucket)
    asked = at_work.asked()
    await at_work.run(YESTERDAY, YESTERDAY)
    assert at_work.asked() == asked == 6


async def test_file_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """If a file was removed, the next run requests its buckets and writes it again."""
    at_work = desk(tmp_path)
    await at_work.run()
    before = (at_work.output / BOTH[0]).read_text()
    (at_work.output / BOTH[0]).unlink()
    await at_work.run()
    assert at_work.asked() == 6 + 3
    again = (at_work.output / BOTH[0]).read_text()
    assert sorted(again.splitlines()) == sorted(before.splitlines())


async def test_interrupted_run_leaves_whole_files_and_goes_on_where_it_stopped(
    tmp_path: Path,
) -> None:
    """A run cancelled in the middle of a day keeps only complete days; the next run continues."""
    at_work = desk(tmp_path)
    job = at_work.job(BEFORE, YESTERDAY)
    hanging = "hang/share=1/bucket=b2"

    async def stop_in_the_middle() -> None:
        await at_work.until(at_work.files)
        at_work.api.play(hanging)
        await at_work.until(lambda: at_work.api.record.calls["b3"] >= 2)
        task.cancel()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(job.run())
        group.create_task(stop_in_the_middle())
    assert not job.is_finished
    assert BOTH[0] in at_work.files()
    assert at_work.failed() == []
    assert {each.name for each in at_work.output.iterdir()} == {
        "answered",
        "failed.json",
        *at_work.files(),
    }
    done = len(at_work.files())
    at_work.api.play("")
    asked = at_work.asked()
    await at_work.run(BEFORE, YESTERDAY)
    assert at_work.asked() == asked + (3 - done) * 3
    assert at_work.files() == [*BOTH, "2024-01-14.om"]


async def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    """Unfinished files of a killed run are removed, and records without their file are ignored."""
    at_work = desk(tmp_path)
    await at_work.run(LAST_DAY, LAST_DAY)
    (at_work.output / BOTH[1]).rename(tmp_path / "never appeared")
    unfinished = at_work.output / ".unfinished"
    unfinished.mkdir()
    (unfinished / UPTIME).write_text("half a f")
    await at_work.run(LAST_DAY, LAST_DAY)
    assert at_work.buckets(BOTH[1]) == set(BUCKETS)
    assert not unfinished.exists()


async def test_429_pauses_and_everything_is_had_in_the_end(tmp_path: Path) -> None:
    """After a 429 the backfill waits, and no request is lost."""
    at_work = desk(tmp_path, "429-storm/share=0.5")
    failures = await at_work.run()
    assert failures.count == 0
    assert [at_work.buckets(file) for file in BOTH] == [set(BUCKETS)] * 2
    assert at_work.api.record.answers[429] > 0


async def test_retries_are_those_of_the_polls(tmp_path: Path) -> None:
    """After a server error, a request is retried as in live polling, three attempts in all."""
    at_work = desk(tmp_path, "5xx/share=1/bucket=b1")
    await at_work.run(LAST_DAY, LAST_DAY)
    assert at_work.api.record.calls["b1"] == 3
    assert [each["reason"] for each in at_work.failed()] == ["server_error"]


async def test_account_whose_token_is_refused_is_given_up(tmp_path: Path) -> None:
    """An account whose token is refused a few times is given up, and all its days are reported."""

    def text(api: str) -> str:
        return document(api).replace("2h", "30s").replace("1h", "30s")

    at_work = desk(tmp_path, tokens=())
    failures = await at_work.run(LAST_DAY - timedelta(days=29), LAST_DAY, text=text)
    assert failures.count == len(at_work.failed()) == 90
    assert {each["reason"] for each in at_work.failed()} == {"unauthorized"}
    assert 3 <= at_work.api.record.answers[401] <= 3 + 2
    assert str(at_work.failed()[-1]["message"]).startswith("not requested")
    assert "s3cret" not in (at_work.output / "failed.json").read_text()


async def test_refused_login_is_tried_in_each_round(tmp_path: Path) -> None:
    """A refused login is retried in every round, as the rounds are far enough apart."""
    user = User("ops@example.com", "another")

    def text(api: str) -> str:
        given = "authorization: {credentials: s3cret-token}"
        login = "login: {email: ops@example.com, password: s3cret}"
        changed = document(api).replace(given, login)
        return changed.replace("2h", "30s").replace("1h", "30s")

    at_work = desk(tmp_path, users=[user])
    failures = await at_work.run(BEFORE, LAST_DAY, text=text)
    assert failures.count == 6
    assert {each["reason"] for each in at_work.failed()} == {"unauthorized"}
    assert at_work.api.record.calls_by_kind[CallKind.LOGIN] == 3
    assert at_work.asked() == 0


async def test_hanging_account_does_not_hold_up_another(tmp_path: Path) -> None:
    """Request slots that a hanging account frees go to another account that holds fewer."""
    hanging = [f"h{number}" for number in range(20)]
    healthy = {f"b{number}" for number in range(20)}

    def text(api: str) -> str:
        one, other = (
            document(api, buckets=f"[{', '.join(names)}]").replace("1h", "10s")
            for names in (hanging, sorted(healthy))
        )
        accounts = one + "\n" + other.split("accounts:\n")[1].replace("main", "other")
        return accounts.replace("global:", "global:\n  max_concurrent_requests: 4", 1).replace(
            "max_requests_per_second: 1000", "max_requests_per_second: 1e6"
        )

    trouble = ",".join(f"hang/share=1/bucket={name}" for name in hanging)
    at_work = desk(tmp_path, trouble)
    calls = at_work.api.record.calls
    job = at_work.job(LAST_DAY, LAST_DAY, text=text)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(job.run())
        await at_work.until(lambda: at_work.asked() == 4)
        await at_work.clock.sleep(10)
        await at_work.until(lambda: calls.keys() >= healthy)
        task.cancel()
    assert sum(calls[name] for name in hanging) <= 5


async def test_no_more_at_once_than_allowed(tmp_path: Path) -> None:
    """max_concurrent_requests limits the concurrent requests of all accounts together."""

    def text(api: str) -> str:
        one, other = (
            document(api, buckets=str([f"{name}{number}" for number in range(20)]))
            for name in ("b", "c")
        )
        accounts = one + "\n" + other.split("accounts:\n")[1].replace("main", "other")
        return accounts.replace("global:", "global:\n  max_concurrent_requests: 4")

    at_work = desk(tmp_path, "hang/share=1")
    job = at_work.job(YESTERDAY, YESTERDAY, text=text)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(job.run())
        await at_work.until(lambda: at_work.asked() == 4)
        for _ in range(20):
            await settle()
        task.cancel()
    assert at_work.api.record.max_concurrent[CallKind.STATS] == at_work.asked() == 4


async def test_rate_is_held(tmp_path: Path) -> None:
    """max_requests_per_second limits the request rate."""

    def text(api: str) -> str:
        return document(api).replace("1000", "0.1")

    at_work = desk(tmp_path)
    began = at_work.clock.monotonic()
    await at_work.run(BEFORE, LAST_DAY, text=text)
    assert at_work.clock.monotonic() - began > 5 * 10 - 1


async def test_paused_account_does_not_hold_up_another(tmp_path: Path) -> None:
    """While one account is paused, another account's buckets are requested."""

    def text(api: str) -> str:
        other = document(api).split("accounts:\n")[1].replace("main", "other")
        return document(api, buckets="[p1, p2, p3]") + "\n" + other

    trouble = "429-storm/share=1/bucket=p1,429-storm/share=1/bucket=p2,429-storm/share=1/bucket=p3"
    at_work = desk(tmp_path, trouble)
    job = at_work.job(LAST_DAY, LAST_DAY, text=text)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(job.run())
        await at_work.until(lambda: at_work.api.record.calls.keys() >= set(BUCKETS))
        at_work.api.play("")
    assert task.done()
    assert at_work.buckets(BOTH[1]) == {*BUCKETS, "p1", "p2", "p3"}


async def test_found_buckets_are_asked_for(tmp_path: Path) -> None:
    """Discovered buckets are backfilled, except those that the filters exclude."""

    def text(api: str) -> str:
        return document(api, buckets="[]", discovery="{exclude: [skip.*]}")

    at_work = desk(tmp_path, buckets=["one", "two", "skipped"])
    await at_work.run(LAST_DAY, LAST_DAY, text=text)
    assert at_work.buckets(BOTH[1]) == {"one", "two"}


async def test_listing_that_fails_is_listed_and_holds_nobody_up(tmp_path: Path) -> None:
    """If discovery fails, it is reported, and configured buckets are backfilled anyway."""

    def text(api: str) -> str:
        return document(api, discovery="{}")

    at_work = desk(tmp_path, "forbidden/share=1/call=list")
    failures = await at_work.run(LAST_DAY, LAST_DAY, text=text)
    assert at_work.buckets(BOTH[1]) == set(BUCKETS)
    (entry,) = at_work.failed()
    assert (entry["day"], entry["bucket"], entry["account"]) == (None, None, "main")
    (line,) = failures.lines()
    assert line.startswith("main: bucket discovery: forbidden: ")


async def test_empty_listing_is_asked_for_once_more(tmp_path: Path) -> None:
    """An empty list response is requested once more before it is accepted."""

    def text(api: str) -> str:
        return document(api, buckets="[]", discovery="{}")

    at_work = desk(tmp_path, buckets=[])
    assert (await at_work.run(LAST_DAY, LAST_DAY, text=text)).count == 0
    assert at_work.api.record.calls_by_kind[CallKind.LIST] == 2
    assert at_work.files() == []


async def test_chosen_buckets_alone_are_asked_for(tmp_path: Path) -> None:
    """With --bucket only those buckets are requested, and discovery is skipped if not needed."""

    def text(api: str) -> str:
        return document(api, discovery="{}")

    at_work = desk(tmp_path)
    await at_work.run(LAST_DAY, LAST_DAY, buckets=("b2",), text=text)
    assert at_work.api.record.calls == {"b2": 1}
    assert not at_work.api.record.calls_by_kind[CallKind.LIST]


async def test_unknown_buckets_are_all_named_and_nothing_is_asked(tmp_path: Path) -> None:
    """All unknown buckets are reported before any request."""
    at_work = desk(tmp_path)
    with pytest.raises(UnknownBucketsError) as told:
        await at_work.run(buckets=("b1", "nope", "neither"))
    assert str(told.value).splitlines() == [
        "--bucket: no account polls a bucket 'neither'",
        "--bucket: no account polls a bucket 'nope'",
    ]
    assert not told.value.may_exist
    assert at_work.asked() == 0


async def test_unknown_bucket_may_be_one_that_could_not_be_found(tmp_path: Path) -> None:
    """If discovery failed, the error for an unknown bucket says so."""

    def text(api: str) -> str:
        return document(api, discovery="{}")

    at_work = desk(tmp_path, "forbidden/share=1/call=list")
    with pytest.raises(UnknownBucketsError, match="discovery failed for some accounts") as told:
        await at_work.run(buckets=("nope",), text=text)
    assert told.value.may_exist


async def test_full_disk_is_one_error_also_where_listings_fail(tmp_path: Path) -> None:
    """A full disk during failing discovery raises a plain OSError, not an exception group."""

    class FullDisk(io.StringIO):
        def write(self, text: str) -> int:
            if "main" in text:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(text)

    at_work = desk(tmp_path, "forbidden/share=1/call=list")
    config = at_work.config(lambda api: document(api, discovery="{}"))
    asking = Fetcher(config, at_work.clock, Random(0), lambda: None, connect_to(at_work.api))
    failures = Failures()
    async with asking.connected():
        with failures.written_to(FullDisk()), pytest.raises(OSError, match="No space"):
            await assignments(config, (), asking, failures)


async def test_other_labels_need_another_directory(tmp_path: Path) -> None:
    """All files of a day need the same labels, so other labels are an error."""
    at_work = desk(tmp_path)
    await at_work.run(labels={"job": "a"})
    with pytest.raises(OutputError, match="--label job=a"):
        await at_work.run(labels={"job": "b"})


async def test_two_runs_do_not_share_a_directory(tmp_path: Path) -> None:
    """A second backfill in the same directory is refused, and the first continues."""
    at_work = desk(tmp_path, "hang/share=1/bucket=b3")
    job = at_work.job()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(job.run())
        await at_work.until(lambda: at_work.api.record.calls["b3"])
        with pytest.raises(OutputError, match="another backfill is writing here"):
            await at_work.run()
        assert (at_work.output / ".unfinished" / UPTIME).exists()
        task.cancel()


async def test_invalid_record_is_an_error(tmp_path: Path) -> None:
    """An invalid record is an error that says to remove it."""
    at_work = desk(tmp_path)
    await at_work.run()
    (at_work.output / "answered" / "2024-01-13.json").write_text("{")
    with pytest.raises(OutputError, match=r"2024-01-13\.json: .* remove it"):
        await at_work.run()


async def test_uncreatable_directory_is_an_error(tmp_path: Path) -> None:
    """If the directory cannot be created, the error has its name and the reason."""
    (tmp_path / "out").write_text("a file")
    at_work = desk(tmp_path)
    with pytest.raises(OutputError, match=r"out.*: cannot be used: "):
        await at_work.run()


async def test_latency_that_the_api_does_not_have_leaves_no_sample(tmp_path: Path) -> None:
    """A node without a latency gets no latency sample."""
    at_work = desk(tmp_path, "missing-fields")
    await at_work.run(LAST_DAY, LAST_DAY)
    series = at_work.series(BOTH[1])
    served = {each.bucket: each.rows for each in at_work.api.record.served}
    has_latency = {
        (bucket, row.get("ip"))
        for bucket, rows in served.items()
        for row in rows
        if row.get("avg_latency_ms") is not None and (row.get("ip") or row.get("host"))
    }
    found = {(bucket, ip or None) for name, bucket, ip in series if name == LATENCY}
    assert found == has_latency
    assert 0 < len(found) < 18


async def test_bucket_of_two_accounts_is_asked_for_once(tmp_path: Path) -> None:
    """A bucket of two accounts is requested once, chosen as in live polling."""

    def text(api: str) -> str:
        other = document(api, buckets="[]", discovery="{}").split("accounts:\n")[1]
        return document(api, buckets="[one]") + "\n" + other.replace("main", "other")

    at_work = desk(tmp_path, buckets=["one", "two"])
    with capture_logs() as log:
        await at_work.run(LAST_DAY, LAST_DAY, text=text)
    assert at_work.api.record.calls == {"one": 1, "two": 1}
    assert [each for each in log if each["event"] == "buckets_in_several_accounts"] == [
        {"event": "buckets_in_several_accounts", "log_level": "warning", "count": 1}
    ]


async def test_what_was_odd_is_counted_in_the_log(tmp_path: Path) -> None:
    """Unusable values get no sample, and the log event of the day has their number."""
    at_work = desk(tmp_path, "extreme-numbers")
    with capture_logs() as log:
        await at_work.run(LAST_DAY, LAST_DAY)
    (finished,) = (each for each in log if each["event"] == "day_finished")
    assert finished["schema_drift"] > 0
    assert finished["requested"] == 3
