"""Every dashboard query, run by a real Prometheus.

It scrapes an exporter with failures of all kinds under two jobs, as if there were two replicas.
It also has data of past days, and evaluates our rules.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from exporter.simulator import User
from monitoring.boards.colours import GOOD
from monitoring.rendering import ALERTS, write
from monitoring.settings import read_overrides
from tests.harness.scrapes import Scrape
from tests.harness.stack import running_on_sockets
from tests.monitoring.rendered import Expression, Rendered, filled, rendered
from tests.real.databases import Database, create_blocks, prometheus, victoria_metrics
from tests.real.programs import until

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

DAY = 86400
DAYS = 6
EVERY = 1200.0  # seconds between the samples of a previous day
JOBS = ("flashback-exporter", "replica")
NAMESPACE = "storage"
LABELS = {
    "relabel_configs": [
        {"target_label": "cluster", "replacement": "eu"},
        {"target_label": "namespace", "replacement": NAMESPACE},
    ]
}
"""Relabeling that adds target labels, as in Kubernetes."""

AT_ONCE = {"node_down_for": "0s", "bucket_failing_for": "0s", "account_failing_for": "0s"}
"""Settings with which alerts fire at once."""

USER = User("ops@example.com", "correct horse")
OUTAGE = 11 * 60
"""Seconds after the full hour. From then on `node-outage` has a node down for nine minutes."""

DOWN_HOST = "*-us-east-1-aws.flashback.tech"
"""The host of that node."""

UPTIME = "flashback_node_uptime_previous_day_ratio"
LATENCY = "flashback_node_latency_average_previous_day_seconds"

FORBIDDEN, BROKEN, STORMY = "foreign", "broken", "stormy"
CALM, STRANGE = "calm", "strange"
SCENARIOS = ",".join(
    [
        "node-outage",
        f"unknown-status/bucket={STRANGE}",
        f"forbidden/share=1/bucket={FORBIDDEN}",
        f"429-storm/share=1/bucket={STORMY}",
    ]
)
BREAKING = f"{SCENARIOS},5xx/share=1/bucket={BROKEN}"
"""Scenarios in which a bucket fails that was polled successfully before."""


def document(api: str) -> str:
    """Accounts with tokens, with a login and discovery, and one that gets 429."""
    buckets = {
        "main": [{"id": CALM, "name": "calm and quiet"}, STRANGE],
        "troubled": [FORBIDDEN, BROKEN],
        "paused": [STORMY],
    }
    accounts: list[dict[str, object]] = [
        {"name": name, "authorization": {"credentials": "t0"}, "buckets": entries}
        for name, entries in buckets.items()
    ]
    login = {"email": USER.email, "password": USER.password}
    accounts.append({"name": "discovered", "login": login, "discovery": {}})
    settings = {"base_url": api, "poll_interval": "5s", "max_requests_per_second": 1000}
    return json.dumps({"global": settings, "accounts": accounts})


def past(page: Scrape, now: float) -> Iterator[str]:
    """Previous-day samples for the nodes on a page, as OpenMetrics."""
    today = now - now % DAY
    shown = [(today - DAY * back + 1800, back) for back in range(DAYS, -1, -1)]
    moments = [
        (at + EVERY * step, back)
        for at, back in shown
        for step in range(int(DAY / EVERY) - 2)
        if at + EVERY * step < now
    ]
    own = f'job="{JOBS[0]}",namespace="{NAMESPACE}",cluster="eu"'
    for name, value in ((UPTIME, 1.0), (LATENCY, 0.05)):
        yield f"# TYPE {name} gauge"
        for place, node in enumerate(page.all("flashback_node_latency_last_seconds")):
            labels = ",".join(f'{key}="{each}"' for key, each in node.labels.items())
            for at, back in moments:
                worse = 0.03 * (place % 2) + 0.001 * back
                yield f"{name}{{{labels},{own}}} {value - value * worse} {at}"
    looked_at = [today - DAY * back - 120 for back in range(DAYS, -1, -1)]  # as our rules do
    nodes = page.all("flashback_node_latency_last_seconds")
    hosts = {(node.labels["ip"], node.labels["host"]) for node in nodes}
    of_nodes = [f'node:{UPTIME}:avg{{ip="{ip}",host="{host}",{own}}}' for ip, host in hosts]
    buckets = {node.labels["bucket_id"] for node in nodes}
    of_buckets = [f'bucket:{UPTIME}:avg{{bucket_id="{each}",{own}}}' for each in buckets]
    yield from (f"{each} 0.98 {at}" for each in (*of_nodes, *of_buckets) for at in looked_at)
    yield "# EOF"


@dataclass(frozen=True, slots=True)
class Watched:
    """A Prometheus that scrapes an exporter, and the exporter's page."""

    database: Database
    page: Scrape
    since: float  # Unix time at which the past data ends

    def board(self, uid: str) -> Board:
        """A dashboard by its UID, whose queries can be run."""
        (found,) = (each for each in rendered() if each.uid == uid)
        return Board(found, self.database)


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard whose variables have values."""

    rendered: Rendered
    database: Database

    def values(self, bucket: str = CALM) -> dict[str, str]:
        """A value for each variable: `All` where that can be chosen."""
        chosen = {"bucket": bucket, "host": DOWN_HOST}
        return chosen | self.rendered.all_values() | self.rendered.first_values()

    async def options(self, name: str, values: dict[str, str]) -> list[tuple[str, str]]:
        """A variable's options, text and value, found as in Grafana."""
        variable = self.rendered.variables()[name]
        query = filled(variable["query"]["query"], values)
        if found := re.fullmatch(r"label_values\((.+), (\w+)\)", query):
            offered = await self.database.get(f"label/{found[2]}/values", **{"match[]": found[1]})
            return [(each, each) for each in offered]
        asked = query.removeprefix("query_result(").removesuffix(")")
        pattern = variable["regex"].removeprefix("/").removesuffix("/g").replace("(?<", "(?P<")
        data = await self.database.get("query", query=asked)
        return [named(pattern, as_grafana_writes(each["metric"])) for each in data["result"]]

    async def results(
        self, expression: Expression, bucket: str = CALM, *, zeros: bool = False
    ) -> list[float]:
        """All finite values of an expression over its time range.

        Without `zeros`, a count whose result is empty returns nothing instead of 0.
        """
        text = expression.text if zeros else re.sub(r" or 0 \* count\(.+", "", expression.text)
        query = filled(text, self.values(bucket))
        if expression.instant:
            data = await self.database.get("query", query=query)
            points = [each["value"] for each in data["result"]]
        else:
            data = await self.database.get("query_range", query=query, **times(expression))
            points = [point for each in data["result"] for point in each["values"]]
        return [value for _, text in points if math.isfinite(value := float(text))]


def times(expression: Expression) -> dict[str, float]:
    """The time range of a query: four weeks by day, or the last minutes."""
    now = time.time()
    if expression.daily:
        end = now - now % DAY
        return {"start": end - 28 * DAY, "end": end, "step": DAY}
    return {"start": now - 180, "end": now, "step": 5}


def as_grafana_writes(metric: dict[str, str]) -> str:
    """A result's labels in the form that a variable's pattern is matched against."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in metric.items()) + "} 1 0"


def named(pattern: str, text: str) -> tuple[str, str]:
    """The text and the value that a pattern with both groups finds, in any order."""
    groups: dict[str, str] = {}
    for match in re.finditer(pattern, text):
        groups |= {name: found for name, found in match.groupdict().items() if found is not None}
    return groups["text"], groups["value"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(
    prometheus_path: str, promtool_path: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watched]:
    """A Prometheus with past data and rules that scrapes a failing exporter under two jobs."""
    directory = tmp_path_factory.mktemp("dashboards")
    now = time.time()
    async with AsyncExitStack() as stack:
        at_work = await stack.enter_async_context(
            running_on_sockets(
                SCENARIOS,
                wall=now - now % 3600 + OUTAGE,
                text=document,
                users=[USER],
                tokens={"t0"},
            )
        )
        await at_work.scrape_when(everything_polled)
        at_work.api.play(BREAKING)
        page = await at_work.scrape_when(broken)
        await create_blocks(promtool_path, directory / "data", past(page, now))
        targets = dict.fromkeys(JOBS, at_work.address)
        database = await stack.enter_async_context(
            prometheus(prometheus_path, directory, targets, "1s", LABELS, rules=rules(directory))
        )
        yield Watched(database, page, now)


def rules(directory: Path) -> Path:
    """Write our rules, evaluated each second and with alerts that fire at once."""
    write(
        directory / "rules", read_overrides({"settings": AT_ONCE}, [each.name for each in ALERTS])
    )
    for file in (directory / "rules").iterdir():
        file.write_text(re.sub(r"interval: \d+m", "interval: 1s", file.read_text()))
    return directory / "rules"


def everything_polled(page: Scrape) -> bool:
    """Whether each bucket was polled, including discovered ones, and an account is paused."""
    buckets = len(page.all("flashback_bucket_info"))
    return (
        page.has("flashback_account_discovery_up")
        and page.has("flashback_account_paused_until_timestamp_seconds")
        and len(page.all("flashback_bucket_up")) == buckets > 5
    )


def broken(page: Scrape) -> bool:
    """Whether the bucket BROKEN, which was polled before, fails now."""
    return page.has("flashback_bucket_failing", bucket_id=BROKEN, reason="server_error")


BOARDS = [each.uid for each in rendered()]


@pytest.mark.parametrize("uid", BOARDS)
async def test_every_expression_returns_data(watched: Watched, uid: str) -> None:
    """Each query of a dashboard returns values; a 0 in place of an empty result does not count.

    Queries about certificates are left out: the API of this test has none.
    """
    board = watched.board(uid)
    missing = [each for each in board.rendered.expressions() if "certificate" not in each.text]

    async def ask() -> bool | None:
        missing[:] = [
            each
            for each in missing
            if not await board.results(each) and not await board.results(each, BROKEN)
        ]
        return True if not missing else None

    try:
        await until(ask)
    except TimeoutError:
        pytest.fail("\n".join(f"{each.panel}: {each.text}" for each in missing))


@pytest.mark.parametrize("uid", BOARDS)
async def test_every_variable_offers_something(watched: Watched, uid: str) -> None:
    """Each query variable has options, with a text and a value each."""
    board = watched.board(uid)
    for name, variable in board.rendered.variables().items():
        if variable["type"] == "query":
            found = await until(partial(offered, board, name))
            assert all(text and value for text, value in found)


async def offered(board: Board, name: str) -> list[tuple[str, str]] | None:
    """A variable's options, or None if it has none yet."""
    return await board.options(name, board.values()) or None


async def test_buckets_are_chosen_by_name(watched: Watched) -> None:
    """Options for buckets show the name and use the ID, and two replicas do not duplicate them."""
    board = watched.board("flashback-bucket")
    found = await until(partial(offered, board, "bucket"))
    assert ("calm and quiet", CALM) in found
    assert (STRANGE, STRANGE) in found
    assert len(set(found)) == len(found)


async def stat(watched: Watched, uid: str, panel: str) -> float:
    """The number that a panel shows."""
    board = watched.board(uid)
    (expression,) = (
        each for each in board.rendered.expressions() if each.panel == panel and each.instant
    )
    (value,) = await until(partial(some, board, expression))
    return value


async def some(board: Board, expression: Expression) -> list[float] | None:
    """The values of an expression, or None if it has none yet."""
    return await board.results(expression) or None


async def test_replicas_do_not_double(watched: Watched) -> None:
    """With two jobs that expose the same data, buckets, nodes and failures are counted once."""
    page = watched.page
    buckets = page.all("flashback_bucket_info")
    nodes = {(each.labels["ip"], each.labels["host"]) for each in page.all("flashback_node_info")}
    failing = [each for each in page.all("flashback_bucket_up") if each.value == 0]
    both = partial(watched.database.get, "query", query='count(up{job=~".+"}) == 2')

    async def twice() -> bool | None:
        return bool((await both())["result"]) or None

    await until(twice)
    assert await stat(watched, "flashback-overview", "Buckets") == len(buckets)
    assert await stat(watched, "flashback-overview", "Nodes") == len(nodes)
    assert await stat(watched, "flashback-overview", "Failing buckets") == len(failing) == 3


async def test_cells_show_their_own_day(watched: Watched) -> None:
    """The cell of a day shows that day's figures, although they are exposed only the day after.

    The past data gets worse by 0.001 with each day back.
    """
    board = watched.board("flashback-bucket")
    (expression,) = (
        each for each in board.rendered.expressions() if each.daily and UPTIME in each.text
    )
    query = filled(expression.text, board.values())
    data = await watched.database.get("query_range", query=query, **times(expression))
    today = watched.since // DAY * DAY
    worst: dict[float, float] = {}
    best: dict[float, float] = {}
    for series in data["result"]:
        for at, text in series["values"]:
            best[at] = max(best.get(at, 0.0), float(text))
            worst[at] = min(worst.get(at, 1.0), float(text))
    past_days = [today - DAY * (back + 1) for back in range(1, DAYS + 1)]
    assert set(past_days) <= set(best)
    assert max(best) < time.time() // DAY * DAY
    for back, day in enumerate(past_days, 1):
        assert best[day] == pytest.approx(1.0 - 0.001 * back)
        assert worst[day] == pytest.approx(0.97 - 0.001 * back)


async def test_no_good_colour_while_exporter_is_down(
    prometheus_path: str, promtool_path: str, tmp_path: Path
) -> None:
    """While no exporter responds, no number on any dashboard has the colour for good values."""
    now = time.time()
    page = Scrape(f'flashback_node_latency_last_seconds{{bucket_id="{CALM}",ip="1",host="h"}} 1\n')
    await create_blocks(promtool_path, tmp_path / "data", past(page, now - 600))
    dead = dict.fromkeys(JOBS, "127.0.0.1:1")
    async with prometheus(
        prometheus_path, tmp_path, dead, "1s", LABELS, rules=rules(tmp_path)
    ) as database:
        overview = Watched(database, page, now).board("flashback-overview")
        (down,) = (each for each in overview.rendered.expressions() if each.panel == STOPPED)
        assert await until(partial(some, overview, down)) == [1]
        for board in (Board(each, database) for each in rendered()):
            for panel in board.rendered.panels():
                if panel["type"] in {"stat", "bargauge"}:
                    for value in await shown(board, panel):
                        assert color(panel, value) != GOOD, (board.rendered.uid, panel["title"])


STOPPED = "Exporters down"


async def shown(board: Board, panel: dict[str, Any]) -> list[float]:
    """The numbers that a panel shows."""
    titles = {panel["title"]}
    return [
        value
        for each in board.rendered.expressions()
        if each.panel in titles
        for value in await board.results(each, zeros=True)
    ]


def color(panel: dict[str, Any], value: float) -> str:
    """The colour of a number by the panel's value mappings, or else by its thresholds."""
    defaults = panel["fieldConfig"]["defaults"]
    for mapping in defaults.get("mappings", []):
        if found := mapping["options"].get(f"{value:g}"):
            return str(found["color"])
    steps = [(each["value"], each["color"]) for each in defaults["thresholds"]["steps"]]
    return [str(name) for least, name in steps if least is None or least <= value][-1]


async def test_victoria_metrics_understands_every_expression(
    victoria_metrics_path: str, tmp_path: Path
) -> None:
    """VictoriaMetrics, whose query language differs a little, accepts every query."""
    async with victoria_metrics(victoria_metrics_path, tmp_path, {}, "1s") as database:
        for board in (Board(each, database) for each in rendered()):
            for expression in board.rendered.expressions():
                await board.results(expression)
