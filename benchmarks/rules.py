"""CPU time of a real Prometheus for the rules and for a viewer of the overview dashboard.

Prometheus is backfilled with data of a tenth of the buckets, each with different nodes; the results
are multiplied by ten. Requires Prometheus and promtool.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from benchmarks import fake_api
from benchmarks.table import Row
from monitoring.rendering import rendered
from tests.real.programs import installed

BUCKETS, PART = 2_000, 10
"""The number of buckets that the results are for, and the divisor for the number that is loaded."""

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
JOB = 'job="flashback-exporter"'
OVERVIEW = Path(__file__).parents[1] / "monitoring" / "dashboards" / "flashback-overview.json"
BOARD = json.loads(OVERVIEW.read_text())
LONGEST_WAIT = 180.0  # seconds
DATA = "data"
REPEATED = 5


def compare(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """CPU time of all rules and of a viewer per minute, and of long windows per evaluation."""
    prometheus, promtool = (installed(name, "current") for name in ("prometheus", "promtool"))
    if prometheus is None or promtool is None:
        return []
    buckets = 20 if quick else BUCKETS // PART
    times = BUCKETS / buckets
    now = time.time() // MINUTE * MINUTE
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        past = folder / "past.om"
        with past.open("w") as file:
            file.writelines(f"{line}\n" for line in _past(buckets, now))
        blocks = ("tsdb", "create-blocks-from", "openmetrics", "--quiet")
        command = (promtool, *blocks, "--max-block-duration=2048h", str(past), str(folder / DATA))
        subprocess.run(command, check=True)
        past.unlink()
        with _running(prometheus, folder) as queried:
            rules = {name: cost * times for name, cost in _rules(queried, now).items()}
            intervals = {group["name"]: _seconds(group) for group in _groups()}
            viewer = sum(queried.cost(**query) for query in _overview(now)) * times
            viewer /= float(BOARD["refresh"].removesuffix("m"))
    name = f"{BUCKETS:,} x {fake_api.NODES} nodes in Prometheus"
    each_minute = sum(cost * MINUTE / intervals[group] for group, cost in rules.items())
    longest = rules["flashback-previous-days-of-buckets"]
    return [
        Row(name, "all rules, per minute", "ms", each_minute, target="≤ 5,000 ms"),
        Row(name, "previous-day rules, per evaluation", "ms", longest, target="≤ 1,000 ms"),
        Row(name, "open overview dashboard, per minute", "ms", viewer, target="≤ 1,000 ms"),
    ]


class QueriedPrometheus:
    """A running Prometheus; measures the CPU seconds of queries."""

    def __init__(self, http: httpx.Client, process: psutil.Process) -> None:
        self._http = http
        self._process = process

    def cost(self, path: str, **parameters: str | float) -> float:
        """The average CPU seconds of a query, after one warm-up."""
        self._answer(path, parameters)
        before = self._process.cpu_times()
        for _ in range(REPEATED):
            self._answer(path, parameters)
        after = self._process.cpu_times()
        return (after.user + after.system - before.user - before.system) / REPEATED

    def _answer(self, path: str, parameters: Mapping[str, str | float]) -> None:
        self._http.get(f"/api/v1/{path}", params=parameters).raise_for_status()


def _rules(queried: QueriedPrometheus, now: float) -> dict[str, float]:
    """CPU seconds of an evaluation, by group. `count` avoids measuring the output of results."""
    return {
        group["name"]: sum(
            queried.cost("query", query=f"count(\n{rule['expr']}\n)", time=now)
            for rule in group["rules"]
        )
        for group in _groups()
    }


def _groups() -> list[dict[str, Any]]:
    return [group for text in rendered().values() for group in yaml.safe_load(text)["groups"]]


def _seconds(group: dict[str, Any]) -> float:
    return float(group.get("interval", "1m").removesuffix("m")) * MINUTE


def _overview(now: float) -> Iterator[dict[str, Any]]:
    """The queries of one refresh, with every variable set to all."""
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            query = re.sub(r"\$\w+", ".*", target["expr"])
            if target["instant"]:
                yield {"path": "query", "query": query, "time": now}
            else:
                step = DAY / panel["maxDataPoints"]
                yield {
                    "path": "query_range",
                    "query": query,
                    "start": now - DAY,
                    "end": now,
                    "step": step,
                }


@contextmanager
def _running(prometheus: str, folder: Path) -> Iterator[QueriedPrometheus]:
    config = folder / "prometheus.yaml"
    config.write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = (
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / DATA}",
        "--storage.tsdb.retention.time=10y",
        f"--web.listen-address={address}",
        "--log.level=error",
    )
    with (
        subprocess.Popen((prometheus, *flags), stdout=subprocess.DEVNULL) as process,
        httpx.Client(base_url=f"http://{address}", timeout=LONGEST_WAIT, trust_env=False) as http,
    ):
        try:
            end = time.monotonic() + LONGEST_WAIT
            while not _is_ready(http):
                if time.monotonic() > end:
                    raise TimeoutError("Prometheus did not become ready")
                time.sleep(0.1)
            yield QueriedPrometheus(http, psutil.Process(process.pid))
        finally:
            process.terminate()


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/-/ready").is_success
    except httpx.TransportError:
        return False


def _series(name: str, labels: str, value: float, times: Iterable[float]) -> Iterator[str]:
    """A series as lines of OpenMetrics."""
    head = f"{name}{{{JOB},{labels}}} {value}"
    return (f"{head} {at:.0f}" for at in times)


def _until(now: float, back: float, step: float) -> list[float]:
    return [now - step * number for number in range(int(back / step), -1, -1)]


def _looked_at(now: float) -> list[float]:
    """When previous-day figures are recorded, for ninety days and today."""
    today = now - now % DAY
    moments = (2 * HOUR - MINUTE, DAY - MINUTE)
    times = (today - DAY * back + moment for back in range(91, -1, -1) for moment in moments)
    return [at for at in times if at <= now]


def _past(buckets: int, now: float) -> Iterator[str]:
    """Scraped samples of some minutes, and recorded series for the rules' longest windows."""
    short = _until(now, 5 * MINUTE, MINUTE)
    ratio = "flashback_node_uptime_previous_day_ratio"
    for number in range(buckets):
        bucket = f'bucket_id="b{number}"'
        info = f'{bucket},name="bucket-{number}",account="main",team="media"'
        yield from _series("flashback_bucket_info", f'instance="a",{info}', 1, short)
        yield from _series("bucket:flashback_bucket_info:max", info, 1, _until(now, HOUR, MINUTE))
        yield from _series("flashback_bucket_last_success_timestamp_seconds", bucket, now, short)
        for name, value in (
            ("flashback_bucket_up", 1),
            ("flashback_bucket_nodes", fake_api.NODES),
            ("flashback_bucket_poll_duration_seconds", 0.1),
            ("bucket:flashback_bucket_nodes:without_status", 0),
        ):
            yield from _series(name, bucket, value, short)
        yield from _series(
            "bucket:flashback_bucket_nodes:max", bucket, 6, _until(now, 3 * HOUR, MINUTE)
        )
        yield from _series(f"bucket:{ratio}:avg", bucket, 0.999, _looked_at(now))
        for window in ("avg7d", "avg30d", "avg90d", "count30d"):
            yield from _series(f"bucket:{ratio}:{window}", bucket, 0.999, short)
        for place in range(fake_api.NODES):
            yield from _of_node(bucket, f'ip="192.0.2.1",host="node-{number}-{place}"', now)
    down = "account:flashback_node_down:count"
    yield from _series(down, 'account="main"', 0, _until(now, DAY, MINUTE))
    yield "# EOF"


def _of_node(bucket: str, node: str, now: float) -> Iterator[str]:
    short = _until(now, 5 * MINUTE, MINUTE)
    ratio = "flashback_node_uptime_previous_day_ratio"
    raw, of_account = f"{bucket},{node}", f'account="main",{node}'
    for status in ("ONLINE", "OFFLINE", "DISCONNECTED", "UNKNOWN"):
        value = int(status == "ONLINE")
        yield from _series("flashback_node_status", f'{raw},status="{status}"', value, short)
    for name in (
        "flashback_node_info",
        "flashback_node_latency_last_seconds",
        "flashback_node_last_updated_timestamp_seconds",
        ratio,
    ):
        yield from _series(name, raw, 1, short)
    yield from _series("bucket_node:flashback_node_down:max", raw, 0, _until(now, DAY, 2 * MINUTE))
    down = "node:flashback_node_down"
    yield from _series("node:flashback_node_listed:count", of_account, 1, short)
    yield from _series(f"{down}:avg", of_account, 0, _until(now, HOUR, MINUTE))
    yield from _series(f"{down}:avg4m", of_account, 0, _until(now, 3 * DAY, 4 * MINUTE))
    for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d"):
        yield from _series(f"{down}:avg{window}", of_account, 0, short)
        burn = f"node:flashback_node_error_budget:burnrate{window}"
        yield from _series(burn, of_account, 0, short)
    yield from _series(f"node:{ratio}:avg", node, 0.999, _looked_at(now))
    for window in ("avg7d", "avg30d", "avg90d", "count30d"):
        yield from _series(f"node:{ratio}:{window}", node, 0.999, short)
