"""The whole exporter: very many buckets at work, found and renamed, and a small one."""

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
from benchmarks.report import Quantity, Row, megabytes, milliseconds
from benchmarks.service_process import BETWEEN_LOOKS, Service, Worst, service, value

INTERVAL = 60.0
SCRAPE_INTERVAL = 15.0
SCRAPES_OFTEN = 0.5
"""Seconds between scrapes where their CPU time counts: more often than anybody scrapes."""

HEADROOM = 2.0
"""Requests allowed, as times the steady rate: the first round and the second must not meet."""

SETTLING = 3.0
"""Seconds after the last previous day, so that what a start leaves behind is not counted."""

POLLS = "flashback_api_request_duration_seconds_count"
FAILURES = "flashback_api_request_failures_total"
PREVIOUS_DAYS = "flashback_node_uptime_previous_day_ratio{"
HOLD, HOLD_AIM = "longest hold of the loop: CPU", "≤ 50 ms"
FIRST_BYTE = "slowest first byte of a scrape"

CONFIG = """\
global: {{max_requests_per_second: {rate}, base_url: "http://127.0.0.1:{port}"}}
accounts:
"""
ACCOUNT = """\
  - name: account-{number}
    authorization: {{credentials_file: token}}
    poll_interval: {interval:g}s
"""


class Figures(NamedTuple):
    """What a service did in a while."""

    cpu_share: float  # of a core
    memory: float  # bytes at the end
    worst: Worst
    first_byte: float  # seconds, the slowest
    polls: float
    failures: float


def steady(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """What very many buckets cost, beside fewer, both at work at the same time."""
    sizes, seconds = ((20, 10), 1.0) if quick else ((10_000, 1_000), INTERVAL)
    with ExitStack() as stack:
        port = stack.enter_context(fake_api.served())
        running = [stack.enter_context(_with_buckets(size, port)) for size in sizes]
        for each, size in zip(running, sizes, strict=True):
            each.wait_until(each.is_ready)
            each.wait_until(partial(_has_previous_days, each, size), every=2)
        time.sleep(SETTLING)
        many, few = _at_work(running, seconds)
    name, fewer = f"{sizes[0]:,} buckets", f"{sizes[1]:,} buckets"

    def row(what: str, shown: Callable[[Figures], Quantity], aim: str = "") -> Row:
        return Row(name, what, shown(many), fewer, shown(few), aim)

    return [
        row("CPU", _share, "≤ 20 % of a core"),
        row("memory", lambda its: megabytes(its.memory), "≤ 250 MB"),
        row("latest poll", lambda its: milliseconds(its.worst.late), "≤ 1 s"),
        row("failures", lambda its: Quantity(its.failures, f"of {its.polls:,.0f}"), "0"),
        row(HOLD, lambda its: milliseconds(its.worst.held), HOLD_AIM),
        row(FIRST_BYTE, lambda its: milliseconds(its.first_byte), "≤ 50 ms"),
    ]


def discovery(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """Very many buckets found at the start, by one account and by many."""
    buckets, found, accounts = (20, 20, 4) if quick else (10_000, 3_000, 100)
    all_at_once = _found(buckets, 1)
    one, many = (_found(found, number, SCRAPES_OFTEN) for number in (1, accounts))
    name, beside = f"discovery of {buckets:,}", "one account"
    of_many = f"discovery of {found:,} in {accounts} accounts"

    def row(what: str, shown: Callable[[_Found], Quantity], aim: str) -> Row:
        return Row(of_many, what, shown(many), beside, shown(one), aim)

    return [
        Row(name, "start to all known", milliseconds(all_at_once.seconds), aim="≤ 2 s"),
        Row(name, HOLD, milliseconds(all_at_once.held), aim=HOLD_AIM),
        row("CPU until all are known", lambda its: milliseconds(its.cpu_seconds), "≤ 3 s"),
        row(HOLD, lambda its: milliseconds(its.held), HOLD_AIM),
        row("memory", lambda its: megabytes(its.memory), "≤ 20 MB more"),
    ]


def reload(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """Each bucket gets another name while one scrape follows the other."""
    buckets = 20 if quick else 10_000
    with fake_api.served() as port, TemporaryDirectory() as folder:
        config = _written(Path(folder), buckets, port)
        with service(config) as running, ThreadPoolExecutor(1) as thread:
            running.wait_until(lambda: running.first_byte() > 0)
            _written(Path(folder), buckets, port, name="renamed")
            running.worst()
            slowest, answer = 0.0, thread.submit(running.http.post, "/-/reload")
            while not answer.done():
                slowest = max(slowest, running.first_byte())
            took = answer.result().raise_for_status().elapsed
            held = running.worst().held
    name = f"reload, {buckets:,} renamed"
    return [
        Row(name, "until it is answered", milliseconds(took.total_seconds()), aim="≤ 1 s"),
        Row(name, HOLD, milliseconds(held), aim=HOLD_AIM),
        Row(name, FIRST_BYTE, milliseconds(slowest)),
    ]


def small(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """Start and memory of an exporter of ten buckets."""
    buckets, seconds = 10, 1.0 if quick else INTERVAL
    with fake_api.served() as port, _with_buckets(buckets, port) as running:
        running.wait_until(running.is_ready)
        ready = time.monotonic() - running.started
        (figures,) = _at_work([running], seconds)
    return [
        Row("ten buckets", "start to ready", milliseconds(ready)),
        Row("ten buckets", "CPU", _share(figures)),
        Row("ten buckets", "memory", megabytes(figures.memory)),
    ]


class _Found(NamedTuple):
    seconds: float  # from the start of the process until all buckets are known
    cpu_seconds: float  # likewise
    held: float
    memory: float


def _found(buckets: int, accounts: int, every: float = BETWEEN_LOOKS) -> _Found:
    with (
        fake_api.served(listed=buckets, workspaces=accounts) as port,
        TemporaryDirectory() as folder,
        service(_written(Path(folder), buckets, port, finders=accounts)) as running,
    ):
        running.wait_until(lambda: bool(running.page()))
        running.worst()  # nobody is held up before it serves
        known = "flashback_exporter_buckets"
        running.wait_until(lambda: value(running.page(), known) >= buckets, every)
        took, cpu = time.monotonic() - running.started, running.cpu_seconds()
        return _Found(took, cpu, running.worst().held, running.memory())


@contextmanager
def _with_buckets(buckets: int, port: int) -> Iterator[Service]:
    with TemporaryDirectory() as folder, service(_written(Path(folder), buckets, port)) as running:
        yield running


def _at_work(running: list[Service], seconds: float) -> list[Figures]:
    """Scrape all again and again, twice each, as two servers do."""
    before = [(each.page(), each.worst(), each.cpu_seconds()) for each in running]
    slowest = [0.0] * len(running)
    started = time.monotonic()
    while True:
        for _ in range(2):
            firsts = map(Service.first_byte, running)
            slowest = [max(pair) for pair in zip(slowest, firsts, strict=True)]
        rest = started + seconds - time.monotonic()
        if rest <= 0:
            break
        time.sleep(min(SCRAPE_INTERVAL, rest))
    return [
        _figures(each, page, cpu, time.monotonic() - started, first_byte)
        for each, (page, _, cpu), first_byte in zip(running, before, slowest, strict=True)
    ]


def _figures(
    running: Service, page: str, cpu_before: float, seconds: float, first_byte: float
) -> Figures:
    cpu, memory, worst = running.cpu_seconds() - cpu_before, running.memory(), running.worst()
    after = running.page()
    polls = value(after, POLLS) - value(page, POLLS)
    failures = value(after, FAILURES) - value(page, FAILURES)
    return Figures(cpu / seconds, memory, worst, first_byte, polls, failures)


def _has_previous_days(running: Service, buckets: int) -> bool:
    return running.page().count(f"\n{PREVIOUS_DAYS}") >= buckets * fake_api.NODES


def _share(figures: Figures) -> Quantity:
    return Quantity(100 * figures.cpu_share, "% of a core")


def _written(
    folder: Path, buckets: int, port: int, *, name: str = "bucket", finders: int = 0
) -> Path:
    """A configuration that lists the buckets, or has them found by so many accounts."""
    (folder / "token").write_text("e30.e30.e30", "utf-8")
    rate = math.ceil(max(buckets / INTERVAL * HEADROOM, 10))
    entries = (
        f"\n      - {{id: {fake_api.bucket(number).id}, name: {name}-{number}}}"
        for number in range(buckets)
    )
    sources = [f'discovery: {{workspace_id: "{number}"}}' for number in range(finders)]
    accounts = (
        f"{ACCOUNT.format(number=number, interval=INTERVAL)}    {source}\n"
        for number, source in enumerate(sources or [f"buckets: {''.join(entries)}"])
    )
    file = folder / "config.yaml"
    file.write_text(CONFIG.format(rate=rate, port=port) + "".join(accounts), "utf-8")
    return file
