"""A simulated week in a real Prometheus, with recorded series and alerts, after backfilled weeks.

The exporter polls the simulator on virtual time. promtool makes blocks from its pages, from
backfilled days, and from the recording rules. promtool does not evaluate alerts, so this module
does.
"""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import PIPE, STDOUT
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import yaml

from exporter import simulator
from exporter.backfill import Backfill, BackfillOptions
from exporter.config import parse
from exporter.simulator.world import unix_to_day
from monitoring.rendering import rendered
from tests.backfill.runs import Steps
from tests.harness.fakes import NOON
from tests.harness.simulated_network import API_URL, connect_to
from tests.harness.stack import running
from tests.harness.virtual_loop import VirtualClock, VirtualLoop
from tests.real.databases import Database, prometheus
from tests.real.programs import program

DAY = 86400.0
STEP = 240.0
"""Seconds between two samples: few samples, but each within Prometheus's lookback of 5 minutes."""

END = NOON + 100 * 60
"""At this time a node has been down for half an hour."""

BEGIN = END - 7 * DAY
PAST_DAYS = 35

BLOCKS = "--max-block-duration=18h"
"""A few large blocks. With the default of two hours there would be a thousand."""

LABELS = {"job": "flashback-exporter", "instance": "exporter-0:10120", "namespace": "storage"}
"""The labels that Prometheus adds to scraped series."""

TEAMS: dict[str, dict[str, tuple[str, ...]]] = {
    "studio": {"media": ("media-eu", "media-us", "thumbnails", "transcoded")},
    "platform": {
        "data": ("events-raw", "events-daily", "models", "notebooks"),
        "ops": ("backups", "logs-archive"),
    },
}

_MODELS = "node-outage/bucket=models"
SCRIPT = (
    (0.0, ""),
    (2 * DAY, "5xx/share=0.9/bucket=thumbnails"),
    (2 * DAY + 5 * 3600, _MODELS),
    (3 * DAY, ""),
    (4 * DAY, "hang/share=1/bucket=media-us,latency-spike"),
    (4 * DAY + 2 * 3600, ""),
    (7 * DAY - 5 * 3600, "not-found/share=1/bucket=notebooks"),
    (7 * DAY - 1800, "not-found/share=1/bucket=notebooks,hang/share=1/bucket=backups"),
)
"""The simulator's scenarios, by the second of the week at which they start."""

RELOADS = (1.4 * DAY, 6.3 * DAY)
"""The times at which the configuration is reloaded."""


def document(api: str) -> str:
    """Ten buckets of three teams in two accounts."""
    text = f"global: {{base_url: '{api}', poll_interval: {STEP:g}s, stale_after: 15m}}\naccounts:\n"
    for account, teams in TEAMS.items():
        text += f"  - name: {account}\n    authorization: {{credentials: t0}}\n    buckets:\n"
        for team, names in teams.items():
            for name in names:
                text += f"      - {{id: {name}, labels: {{team: {team}}}}}\n"
    return text


@asynccontextmanager
async def week(directory: Path, files: Iterable[Path]) -> AsyncIterator[Database]:
    """A Prometheus with the data of these files. Query it at `END` or before."""
    promtool = program("promtool")
    for file in files:
        await _tool(promtool, "openmetrics", file, directory / "data")
    for start, level in _levels():
        rules = directory / "level.yaml"
        rules.write_text(yaml.safe_dump(level))
        async with prometheus(program("prometheus"), directory, {}, "1m") as database:
            how = (f"--start={start:.0f}", f"--end={END:.0f}", f"--eval-interval={STEP:g}s")
            where = (f"--url={database.url}", f"--output-dir={directory / 'data'}")
            await _tool(promtool, "rules", *how, *where, rules)
    for goes_by_others in (False, True):
        async with prometheus(program("prometheus"), directory, {}, "1m") as database:
            alerts = await _alerts(database, goes_by_others=goes_by_others)
        _write(directory / "alerts.om", alerts)
        await _tool(promtool, "openmetrics", directory / "alerts.om", directory / "data")
    async with prometheus(program("prometheus"), directory, {}, "1m") as database:
        yield database


async def _tool(promtool: str, what: str, *arguments: str | Path) -> None:
    command = (promtool, "tsdb", "create-blocks-from", BLOCKS, what, *map(str, arguments))
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


def simulate(directory: Path) -> list[Path]:
    """Write the week and the days before it as OpenMetrics, one file per day; returns the files."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(_past(directory))
        pages = runner.run(_pages())
    days: defaultdict[date, list[tuple[float, str]]] = defaultdict(list)
    for at, page in pages:
        days[unix_to_day(at)].append((at, page))
    for day, found in days.items():
        _write(directory / f"week-{day}.om", _stamped(found))
    return sorted(directory.glob("*.om"))


async def _pages() -> list[tuple[float, str]]:
    pages = []
    changes = dict(SCRIPT)
    async with running(wall=BEGIN, text=document) as at_work:
        for second in range(0, int(7 * DAY) + 1, int(STEP)):
            for at in [each for each in changes if each <= second]:
                at_work.api.play(changes.pop(at))
            if any(second - STEP < each <= second for each in RELOADS):
                at_work.reload_requested.set()
            await at_work.clock.sleep(BEGIN + second - at_work.clock.wall() + 5)
            page = await at_work.request("GET", "/metrics")
            pages.append((BEGIN + second, page.text))
    return pages


async def _past(directory: Path) -> None:
    """Write the days before the week as `flashback-exporter backfill` does."""
    clock = VirtualClock(END)
    api = simulator.Simulator(now=clock.wall)
    last = unix_to_day(BEGIN) - timedelta(days=2)
    options = BackfillOptions(
        last - timedelta(days=PAST_DAYS - 8), last, frozenset(), LABELS, directory
    )
    config = parse(document(API_URL), path=Path("config.yaml"), environ={})
    await Backfill(config, options, clock, Random(0), Steps(), connect=connect_to(api)).run()


_LINE = re.compile(r"((\w+)(?:\{(.*)\})?) (\S+)")


def _stamped(pages: Iterable[tuple[float, str]]) -> Iterator[str]:
    """The samples of pages as Prometheus would store them, grouped by series."""
    own = ",".join(f'{name}="{value}"' for name, value in LABELS.items())
    series: defaultdict[str, list[str]] = defaultdict(list)
    for at, page in pages:
        for line in page.splitlines():
            if (found := _LINE.fullmatch(line)) and not found[2].startswith(
                ("python_", "process_")
            ):
                labels = f"{found[3]},{own}" if found[3] else own
                series[found[1]].append(f"{found[2]}{{{labels}}} {found[4]} {at:.0f}")
        series["up"].append(f"up{{{own}}} 1 {at:.0f}")
    for lines in (series[key] for key in sorted(series)):
        yield from lines


def _write(file: Path, lines: Iterable[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines) + "# EOF\n")


def _levels() -> Iterator[tuple[float, dict[str, Any]]]:
    """The recording rules by level, with the time of their first evaluation.

    A level needs only series of earlier levels.
    """
    files = {
        "flashback-recording.yaml": BEGIN,
        "flashback-days.yaml": BEGIN - PAST_DAYS * DAY,
        "flashback-uptime.yaml": END - 3600,
    }
    for name, start in files.items():
        groups = yaml.safe_load(rendered()[name])["groups"]
        depths: dict[str, int] = {}
        rules: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        for rule in (rule for group in groups for rule in group["rules"]):
            needs = [depths[each] for each in depths if each in rule["expr"]]
            depth = depths[rule["record"]] = max(needs, default=-1) + 1
            rules[depth].append(rule)
        for depth in sorted(rules):
            yield start, {"groups": [{"name": f"level-{depth}", "rules": rules[depth]}]}


async def _alerts(database: Database, *, goes_by_others: bool) -> list[str]:
    """ALERTS and ALERTS_FOR_STATE at the end of the week, for firing alerts.

    Alerts that depend on other alerts are evaluated in a second round.
    """
    groups = yaml.safe_load(rendered()["flashback-alerts.yaml"])["groups"]
    lines: list[str] = []
    for rule in (rule for group in groups for rule in group["rules"]):
        if ("ALERTS" in rule["expr"]) != goes_by_others:
            continue
        times = {"start": END - DAY, "end": END, "step": STEP}
        found = await database.get("query_range", query=rule["expr"], **times)
        for series in found["result"]:
            moments = [float(at) for at, _ in series["values"]]
            if moments[-1] == END and END - (since := _since(moments)) >= _seconds(rule["for"]):
                lines += _alert(rule, series["metric"], since)
    return lines


def _since(moments: list[float]) -> float:
    """The start of the last period without a gap."""
    starts = [later for earlier, later in pairwise(moments) if later - earlier > STEP]
    return starts[-1] if starts else moments[0]


def _seconds(duration: str) -> float:
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]]


def _alert(rule: Mapping[str, Any], labels: Mapping[str, str], since: float) -> Iterator[str]:
    own = {**labels, "alertname": rule["alert"], **rule["labels"]}
    text = ",".join(f'{name}="{value}"' for name, value in own.items() if name != "__name__")
    yield f'ALERTS{{{text},alertstate="firing"}} 1 {END:.0f}'
    yield f"ALERTS_FOR_STATE{{{text}}} {since:.0f} {END:.0f}"
