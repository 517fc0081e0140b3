"""Backfill files, imported into real databases."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import httpx
import pytest
import yaml

from exporter.backfill import available_from
from exporter.metrics.families import PREVIOUS_DAY
from exporter.model import Timing, midnight
from exporter.simulator import World
from monitoring.rendering import write
from monitoring.settings import read_overrides
from tests.harness.stack import Running, document, running_on_sockets
from tests.real.databases import Database, Series
from tests.real.programs import TIMEOUTS, started, until

BUCKETS = ("b1", "b2", "b3")
DAYS = 30
STEP = 240
UPTIME, LATENCY = (figure.name for figure in PREVIOUS_DAY)
JOB = "flashback"
LATER = 1e11
TIMING = Timing()


def newest_day(now: float) -> date:
    """The newest day that can be backfilled."""
    today = datetime.fromtimestamp(now, UTC).date()
    days = (today - timedelta(days=number) for number in range(1, 3))
    return next(day for day in days if available_from(day, TIMING.rollover_grace) <= now)


def truth(day: date) -> dict[Series, float]:
    """The simulator's own figures of a past day."""
    found = {}
    for bucket in BUCKETS:
        for node in World(0).stats(bucket, day, LATER):
            labels = {"bucket_id": bucket, "ip": node.ip, "host": node.host}
            found[Series.of(UPTIME, labels)] = node.uptime_percent / 100
            if node.latency_average is not None:
                found[Series.of(LATENCY, labels)] = node.latency_average / 1000
    return found


class Past(NamedTuple):
    """A month's backfill files, the running exporter, and the start and end of the backfill."""

    at_work: Running
    files: list[Path]
    days: list[date]
    began: float  # Unix time
    ended: float

    def is_shown_now(self) -> bool:
        """Whether the exporter exposes the last of these days; after midnight it may be another."""
        newest = {TIMING.newest_ended_day(moment) for moment in (self.began, self.ended)}
        return newest == {self.days[-1]}

    def expected(self) -> dict[Series, dict[float, float]]:
        """All samples expected for these days before the start of the backfill."""
        found: dict[Series, dict[float, float]] = {}
        for day in self.days:
            for series, value in truth(day).items():
                begin, end = TIMING.previous_day_exposed_between(day, series.label("bucket_id"))
                first = int(-(-begin // STEP) * STEP)
                times = range(first, int(-(-min(end, self.began) // 1)), STEP)
                found.setdefault(series, {}).update(dict.fromkeys(map(float, times), value))
        return found


@asynccontextmanager
async def backfilled(directory: Path) -> AsyncIterator[Past]:
    """Run the simulator and the exporter, and backfill the month before."""
    urls: list[str] = []

    def text(url: str) -> str:
        urls.append(url)
        return document(url, buckets=BUCKETS, poll_interval="5s", max_requests_per_second="1000")

    async with running_on_sockets(wall=time.time(), text=text) as at_work:
        began = time.time()
        last = newest_day(began)
        days = [last - timedelta(days=number) for number in reversed(range(DAYS))]
        config, output = directory / "config.yaml", directory / "out"
        config.write_text(text(urls[0]))
        command = (
            *(sys.executable, "-m", "exporter", "backfill", f"--config.file={config}"),
            *(f"--label=job={JOB}", f"--label=instance={at_work.address}"),
            *(f"--to={last}", f"--output={output}"),
        )
        # Two runs, so that the last days come in two files each.
        for wanted in ((f"--from={days[-2]}", "--bucket=b1"), (f"--from={days[0]}",)):
            code, said = await finished(*command, *wanted)
            assert code == 0, said
        files = sorted(output.glob("*.om"))
        stems = {str(day) for day in days} | {f"{day}.2" for day in days[-2:]}
        assert {file.stem for file in files} == stems
        yield Past(at_work, files, days, began, time.time())


async def finished(*command: str) -> tuple[int | None, str]:
    """The exit code of a command, and its output."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    async with asyncio.timeout(2 * TIMEOUTS):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


@asynccontextmanager
async def database(log: Path, *command: str) -> AsyncIterator[tuple[Database, httpx.AsyncClient]]:
    """Run a database; yields it and an HTTP client for its other APIs."""
    async with started(*command, log=log) as server:
        url = f"http://{await server.address()}"
        async with httpx.AsyncClient(base_url=url, timeout=TIMEOUTS, trust_env=False) as client:

            async def ready() -> bool | None:
                answer = await client.get("/api/v1/query", params={"query": "1"})
                return answer.is_success or None

            await until(ready)
            yield Database(client, server), client


async def shown_live(past: Past) -> dict[Series, float]:
    """The previous day's figures on the exporter's page, once it has them for all buckets."""

    async def ask() -> dict[Series, float] | None:
        page = await past.at_work.scrape()
        found = [each for each in page if each.name in {UPTIME, LATENCY}]
        shown = {Series.of(each.name, each.labels): each.value for each in found}
        complete = {series.label("bucket_id") for series in shown} == set(BUCKETS)
        return shown if complete else None

    return await until(ask)


async def matrix(database: Database, selector: str, at: float) -> dict[Series, dict[float, float]]:
    """All stored samples of a selector up to a time. Fails if series differ in job or instance."""
    data = await database.get("query", query=f"{selector}[40d]", time=at)
    found = {}
    for each in data["result"]:
        series = Series.of(each["metric"]["__name__"], each["metric"])
        assert series not in found
        assert (each["metric"]["job"], bool(each["metric"]["instance"])) == (JOB, True)
        found[series] = {float(moment): float(value) for moment, value in each["values"]}
    return found


@pytest.mark.long
async def test_prometheus_imports_backfill_and_continues(
    prometheus_path: str, promtool_path: str, tmp_path: Path
) -> None:
    """A month's blocks have exactly the simulator's figures, and live samples continue them."""
    data = tmp_path / "data"
    async with backfilled(tmp_path) as past:
        for number, file in enumerate(past.files):
            # Without options, and with the faster ones that docs/backfill.md recommends.
            how = ("--max-block-duration=24h",) if number % 5 else ()
            blocks = ("tsdb", "create-blocks-from", "openmetrics", "--quiet", *how)
            assert await finished(promtool_path, *blocks, str(file), str(data)) == (0, "")
        live = await shown_live(past)
        job = {"job_name": JOB, "static_configs": [{"targets": [past.at_work.address]}]}
        scrape = tmp_path / "scrape.yml"
        times = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        scrape.write_text(json.dumps({"global": times, "scrape_configs": [job]}))
        async with database(
            tmp_path / "log",
            prometheus_path,
            f"--config.file={scrape}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=60d",
            "--web.listen-address=127.0.0.1:0",
            "--scrape.discovery-reload-interval=100ms",
            "--log.level=debug",
        ) as (prometheus, _):
            selector = f'{{__name__=~"{UPTIME}|{LATENCY}"}}'
            scraped = await until(partial(scraped_twice, prometheus))
            stored = await matrix(prometheus, selector, scraped)
            for day in past.days:
                noon = midnight(day) + 1.5 * 86400
                if noon < past.began:
                    assert await prometheus.samples(selector, noon) == truth(day)
            at_the_seam = await prometheus.samples(selector, past.ended)
            log = prometheus.log()
    expected = past.expected()
    assert stored.keys() == expected.keys()
    for series, history in stored.items():
        before = {at: value for at, value in history.items() if at < past.began}
        assert before == expected[series]
        after = {at: value for at, value in history.items() if at > past.ended}
        assert len(after) >= 2
        assert set(after.values()) == {live[series]}
        if past.is_shown_now():
            # Starting the database, the first scrape and one step of the grid take no longer.
            assert min(after) - max(before) < STEP + 2 * TIMEOUTS
            assert at_the_seam[series] == live[series]
    assert live == truth(TIMING.newest_ended_day(past.ended))
    assert [line for line in log.splitlines() if "level=error" in line] == []


@pytest.mark.long
async def test_rules_use_backfilled_days(
    prometheus_path: str, promtool_path: str, tmp_path: Path
) -> None:
    """Recording rules run by promtool on backfilled days give the right uptime over weeks."""
    data, rules = tmp_path / "data", tmp_path / "rules"
    write(rules, read_overrides({"settings": {"exporter_job": JOB}}, ()))
    scrape = tmp_path / "scrape.yml"
    scrape.write_text("{}")
    command = (
        prometheus_path,
        f"--config.file={scrape}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=60d",
        "--web.listen-address=127.0.0.1:0",
    )
    async with backfilled(tmp_path) as past:
        for file in past.files:
            blocks = ("tsdb", "create-blocks-from", "openmetrics", "--quiet", str(file), str(data))
            assert await finished(promtool_path, *blocks) == (0, "")
        end = midnight(past.days[-1]) + 86400
        async with database(tmp_path / "log", *command) as (prometheus, client):
            code, said = await finished(
                *(promtool_path, "tsdb", "create-blocks-from", "rules", f"--url={client.base_url}"),
                *(f"--start={midnight(past.days[0]):.0f}", f"--end={end:.0f}"),
                *(f"--output-dir={data}", str(rules / "flashback-days.yaml")),
            )
            assert code == 0, said
        async with database(tmp_path / "log", *command) as (prometheus, _):
            over_weeks = yaml.safe_load((rules / "flashback-uptime.yaml").read_text())["groups"]
            expressions = {
                rule["record"]: rule["expr"] for group in over_weeks for rule in group["rules"]
            }
            found = {
                record: await prometheus.samples(expressions[f"bucket:{UPTIME}:{record}"], end)
                for record in ("avg7d", "count7d", "avg90d", "count90d")
            }
    known = past.days[:-1]  # at the end of a day, that day's figure is not exposed yet
    for bucket, (window, days) in product(BUCKETS, {"7d": known[-7:], "90d": known}.items()):
        means = [mean_uptime(bucket, day) for day in days]
        series = Series.of("", {"bucket_id": bucket})
        assert found[f"count{window}"][series] == len(days)
        assert found[f"avg{window}"][series] == pytest.approx(fmean(means))


def mean_uptime(bucket: str, day: date) -> float:
    """A bucket's mean uptime on a day, from the simulator's figures."""
    return fmean(
        value
        for series, value in truth(day).items()
        if series.name == UPTIME and series.label("bucket_id") == bucket
    )


async def scraped_twice(prometheus: Database) -> float | None:
    """The time of the newest successful scrape, or None if there is only one."""
    ups = await prometheus.history(f'up{{job="{JOB}"}}')
    good = [at for at, value in ups.items() if value]
    return max(good) if len(good) > 1 else None


@pytest.mark.long
async def test_victoria_metrics_imports_backfill(
    victoria_metrics_path: str, tmp_path: Path
) -> None:
    """VictoriaMetrics imports the files unchanged: all samples, with timestamps in seconds."""
    async with (
        backfilled(tmp_path) as past,
        database(
            tmp_path / "log",
            victoria_metrics_path,
            f"-storageDataPath={tmp_path / 'data'}",
            "-httpListenAddr=127.0.0.1:0",
            "-retentionPeriod=1y",
            "-search.latencyOffset=1ms",
            "-search.disableCache",
            "-memory.allowedBytes=64MiB",
        ) as (victoria, client),
    ):
        for file in past.files:
            answer = await client.post("/api/v1/import/prometheus", content=file.read_bytes())
            assert answer.is_success
        await client.get("/internal/force_flush")
        stored = await matrix(victoria, f'{{__name__=~"{UPTIME}|{LATENCY}"}}', past.ended)
    expected = past.expected()
    assert stored.keys() == expected.keys()
    for series, history in stored.items():
        before = {at: value for at, value in history.items() if at < past.began}
        # VictoriaMetrics stores numbers as decimal mantissas, with twelve digits or more.
        assert before == pytest.approx(expected[series], rel=1e-11, abs=0)
