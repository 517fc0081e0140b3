"""The complete exporter: polling, discovering and renaming many buckets, or only ten."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks import fake_api
from benchmarks.running import CHECK_INTERVAL, Running, Worst, running, value
from benchmarks.table import Row

INTERVAL = 60.0
SCRAPE_INTERVAL = 15.0
FREQUENT_SCRAPES = 0.5
"""Seconds between scrapes in benchmarks of CPU time: more frequent than in practice."""

HEADROOM = 2.0
"""Allowed requests as a multiple of the steady rate: the first round ends before the second."""

SETTLING = 3.0
"""Seconds to wait after the last previous-day request, to exclude the start."""

PREVIOUS_DAYS = "flashback_node_uptime_previous_day_ratio{"
BLOCK, BLOCK_TARGET = "longest event loop block: CPU", "≤ 40 ms"
FIRST_BYTE = "slowest first byte of a scrape"

CONFIG = """\
global: {{max_requests_per_second: {rate}, base_url: "{url}"}}
accounts:
"""
ACCOUNT = """\
  - name: account-{number}
    authorization: {{credentials: e30.e30.e30}}
    poll_interval: {interval:g}s
    {source}
"""


class Figures(NamedTuple):
    """Measurements of one exporter."""

    cpu_share: float  # of a core
    memory: float  # bytes at the end
    worst: Worst
    first_byte: float  # seconds, the slowest


def steady(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """Many buckets compared with fewer, in two exporters that run at the same time."""
    sizes, seconds = ((20, 10), 1.0) if quick else ((10_000, 1_000), INTERVAL)
    with fake_api.served() as url, ExitStack() as stack:
        exporters = [stack.enter_context(started(url, size))[0] for size in sizes]
        for each, size in zip(exporters, sizes, strict=True):
            _wait_until_settled(each, size)
        many, few = _at_work(exporters, seconds)
    name, fewer = f"{sizes[0]:,} buckets", f"{sizes[1]:,} buckets"

    def row(what: str, unit: str, figure: Callable[[Figures], float], target: str) -> Row:
        return Row(name, what, unit, figure(many), fewer, figure(few), target)

    return [
        row("CPU", "% of a core", lambda its: its.cpu_share, "≤ 16 % of a core"),
        row("memory", "MB", lambda its: its.memory, "≤ 225 MB"),
        row("most delayed poll", "ms", lambda its: its.worst.late, "≤ 1 s"),
        row(BLOCK, "ms", lambda its: its.worst.block, BLOCK_TARGET),
        row(FIRST_BYTE, "ms", lambda its: its.first_byte, "≤ 50 ms"),
    ]


def discovery(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """Discovery of many buckets at the start, by one account and by many."""
    buckets, found, accounts = (20, 20, 4) if quick else (10_000, 3_000, 100)
    all_at_once = _found(buckets, 1)
    one, many = (_found(found, number, FREQUENT_SCRAPES) for number in (1, accounts))
    name, baseline = f"discovery of {buckets:,}", "one account"
    of_many = f"discovery of {found:,} in {accounts} accounts"

    return [
        Row(name, "start until all are known", "ms", all_at_once.seconds, target="≤ 2 s"),
        Row(name, BLOCK, "ms", all_at_once.block, target=BLOCK_TARGET),
        Row(of_many, "CPU until all are known", "ms", many.cpu, baseline, one.cpu, "≤ 3 s"),
        Row(of_many, BLOCK, "ms", many.block, baseline, one.block, BLOCK_TARGET),
        Row(of_many, "memory", "MB", many.memory, baseline, one.memory, "≤ 20 MB more"),
    ]


def reload(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """Rename every bucket during continuous scrapes."""
    buckets = 20 if quick else 10_000
    with (
        fake_api.served() as url,
        started(url, buckets) as (exporter, config),
        ThreadPoolExecutor(1) as thread,
    ):
        _wait_until_settled(exporter, buckets)
        config.write_text(_configuration(url, buckets, name="renamed"), "utf-8")
        exporter.worst()
        slowest, answer = 0.0, thread.submit(exporter.http.post, "/-/reload")
        while not answer.done():
            slowest = max(slowest, exporter.first_byte())
        took = answer.result().raise_for_status().elapsed
        slowest = max(slowest, exporter.first_byte())  # the turn that sent the response is over
        block = exporter.worst().block
    name = f"reload, {buckets:,} renamed"
    return [
        Row(name, "until the response", "ms", took.total_seconds(), target="≤ 1 s"),
        Row(name, BLOCK, "ms", block, target=BLOCK_TARGET),
        Row(name, FIRST_BYTE, "ms", slowest, target="≤ 100 ms"),
    ]


def small(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """Start and memory of an exporter of ten buckets."""
    seconds = 1.0 if quick else INTERVAL
    with fake_api.served() as url, started(url, 10) as (exporter, _):
        exporter.wait_until(exporter.is_ready)
        ready = time.monotonic() - exporter.started
        (figures,) = _at_work([exporter], seconds)
    return [
        Row("ten buckets", "start to ready", "ms", ready),
        Row("ten buckets", "CPU", "% of a core", figures.cpu_share),
        Row("ten buckets", "memory", "MB", figures.memory, target="≤ 52 MB"),
    ]


class _Found(NamedTuple):
    seconds: float  # from the start of the process until all buckets are known
    cpu: float  # seconds, in the same time
    block: float
    memory: float


def _found(buckets: int, accounts: int, every: float = CHECK_INTERVAL) -> _Found:
    with (
        fake_api.served(listed=buckets, workspaces=accounts) as url,
        started(url, buckets, discovering_accounts=accounts) as (exporter, _),
    ):
        exporter.wait_until(lambda: bool(exporter.page()))
        exporter.worst()  # a reset: blocking before the first scrape does not count
        known = "flashback_exporter_buckets"
        exporter.wait_until(lambda: value(exporter.page(), known) >= buckets, every)
        took, cpu = time.monotonic() - exporter.started, exporter.cpu_seconds()
        return _Found(took, cpu, exporter.worst().block, exporter.memory())


def _at_work(exporters: list[Running], seconds: float) -> list[Figures]:
    """Measure CPU time, and then, since measuring them takes CPU time, the worst values."""
    failures = [each.failures() for each in exporters]
    before, started = [each.cpu_seconds() for each in exporters], time.monotonic()
    _scrape(exporters, seconds)
    took = time.monotonic() - started
    shares = [
        (each.cpu_seconds() - cpu) / took for each, cpu in zip(exporters, before, strict=True)
    ]
    for each in exporters:
        each.worst()
    slowest = _scrape(exporters, seconds)
    if any(each.failures() > count for each, count in zip(exporters, failures, strict=True)):
        raise RuntimeError("requests to the API failed: the figures are invalid")
    return [
        Figures(share, each.memory(), each.worst(), first_byte)
        for each, share, first_byte in zip(exporters, shares, slowest, strict=True)
    ]


def _scrape(exporters: list[Running], seconds: float) -> list[float]:
    """Scrape each exporter twice per interval, as two Prometheus servers do.

    Returns the slowest first byte of each, in seconds.
    """
    slowest, started = [0.0] * len(exporters), time.monotonic()
    while True:
        for _ in range(2):
            slowest = list(map(max, slowest, map(Running.first_byte, exporters)))
        rest = started + seconds - time.monotonic()
        if rest <= 0:
            return slowest
        time.sleep(min(SCRAPE_INTERVAL, rest))


def _wait_until_settled(exporter: Running, buckets: int) -> None:
    """Wait until all buckets were polled and their previous days requested."""
    exporter.wait_until(exporter.is_ready)
    exporter.wait_until(partial(_has_previous_days, exporter, buckets), every=2)
    time.sleep(SETTLING)


def _has_previous_days(exporter: Running, buckets: int) -> bool:
    return exporter.page().count(f"\n{PREVIOUS_DAYS}") >= buckets * fake_api.NODES


@contextmanager
def started(
    url: str, buckets: int, *, discovering_accounts: int = 0
) -> Iterator[tuple[Running, Path]]:
    """An exporter and its configuration file."""
    with TemporaryDirectory() as folder:
        config = Path(folder, "config.yaml")
        config.write_text(
            _configuration(url, buckets, discovering_accounts=discovering_accounts), "utf-8"
        )
        with running(config) as exporter:
            yield exporter, config


def _configuration(
    url: str, buckets: int, *, discovering_accounts: int = 0, name: str = "bucket"
) -> str:
    """One account with all buckets, or `discovering_accounts` accounts with discovery."""
    rate = math.ceil(max(buckets / INTERVAL * HEADROOM, 10))
    entries = (
        f"\n      - {{id: {fake_api.bucket(number).id}, name: {name}-{number}}}"
        for number in range(buckets)
    )
    sources = [f'discovery: {{workspace_id: "{number}"}}' for number in range(discovering_accounts)]
    accounts = (
        ACCOUNT.format(number=number, interval=INTERVAL, source=source)
        for number, source in enumerate(sources or [f"buckets: {''.join(entries)}"])
    )
    return CONFIG.format(rate=rate, url=url) + "".join(accounts)
