"""Builds a recorder and pages by hand, for tests of the checker itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

from exporter.simulator import CallKind, Served
from tests.harness.fakes import NOON
from tests.truth.checker import Checker
from tests.truth.clock import JumpingClock
from tests.truth.facts import Row, facts
from tests.truth.pages import page
from tests.truth.plan import Plan, PlannedAccount, PlannedBucket
from tests.truth.recorder import AnswerRecorder

NAMES = {
    "uptime": "flashback_node_uptime_ratio",
    "latency_average": "flashback_node_latency_average_seconds",
    "latency_last": "flashback_node_latency_last_seconds",
    "last_updated": "flashback_node_last_updated_timestamp_seconds",
}
PLAN = Plan(
    (
        PlannedAccount(
            "main",
            {"authorization": {"credentials": "t"}},
            (PlannedBucket("b1"), PlannedBucket("b2")),
            poll_interval=60,
            stale_after=180,
        ),
    )
)


class HandMadeRun:
    """Two buckets with two nodes each, polled every minute, and correct pages about them."""

    def __init__(self, wall: float = NOON) -> None:
        self.now = 1000.0  # monotonic seconds
        self.clock = JumpingClock(wall, lambda: self.now)
        self.recorder = AnswerRecorder(self.clock.monotonic)
        self.checker = Checker(self.recorder, self.clock, PLAN)
        self.lag = 0.0
        self.requests = 0
        self.shown: dict[str, tuple[list[Row], date, float]] = {}
        """By bucket: the rows, their day, and the Unix time of the response."""

    @property
    def today(self) -> date:
        """The current day."""
        return datetime.fromtimestamp(self.clock.wall(), UTC).date()

    def poll(self, bucket: str, *nodes: Row) -> None:
        """Poll a bucket; the response has these nodes."""
        self.recorder.count_call(CallKind.STATS, bucket)
        self.recorder.statuses[200] += 1
        day, rows = self.today, tuple(map(dict, nodes))
        self.recorder.served.append(Served(self.clock.wall(), bucket, day, rows))
        self.now += 0.05
        self.shown[bucket] = (list(nodes), day, self.clock.wall())
        self.requests += 1

    def poll_all(self) -> None:
        """Poll each bucket; the responses have the usual nodes."""
        for number, bucket in enumerate(("b1", "b2")):
            self.poll(bucket, node("h1", 98 + number, self.clock.wall()), node("h2", 97.5, 0))

    def look(self, edit: Callable[[str], str] = str) -> list[str]:
        """The findings for the correct page, or for the result of `edit` on it."""
        self.now += 0.05
        seen = page(edit(self.text()), openmetrics=False)
        return self.checker.findings(seen, self.now)

    def text(self) -> str:
        """The correct page."""
        families: dict[str, list[str]] = {}
        for bucket, (rows, day, success) in self.shown.items():
            self._add_bucket(families, bucket, day, success)
            if self.clock.wall() < success + 180:
                self._add_nodes(families, bucket, rows)
        families["flashback_exporter_buckets"] = [f" {len(self.shown)}"]
        families["flashback_exporter_poll_lag_seconds"] = [f" {self.lag}"]
        families["flashback_exporter_config_last_reload_successful"] = [" 1"]
        requests = f'{{account="main",call="stats",code="200"}} {self.requests}'
        families["flashback_api_requests_total"] = [requests]
        lines = [
            line
            for name, samples in families.items()
            for line in (
                f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}",
                *(name + sample for sample in samples),
            )
        ]
        return "\n".join([*lines, ""])

    def _add_bucket(
        self, families: dict[str, list[str]], bucket: str, day: date, success: float
    ) -> None:
        fresh = self.clock.wall() < success + 180
        label = f'bucket_id="{bucket}"'
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        rest = f'name="{bucket}",account="main",storage_type="",region="",workspace_id=""'
        samples = {
            "flashback_bucket_info": f"{{{label},{rest}}} 1",
            "flashback_bucket_up": f"{{{label}}} {int(fresh)}",
            "flashback_bucket_failing": "" if fresh else f'{{{label},reason="overdue"}} 1',
            "flashback_bucket_last_success_timestamp_seconds": f"{{{label}}} {success!r}",
            "flashback_bucket_poll_duration_seconds": f"{{{label}}} {success % 1!r}",
            "flashback_bucket_stats_day_timestamp_seconds": f"{{{label}}} {midnight}"
            if fresh
            else "",
        }
        for name, sample in samples.items():
            families.setdefault(name, []).extend([sample] if sample else [])

    def _add_nodes(self, families: dict[str, list[str]], bucket: str, rows: list[Row]) -> None:
        said = facts(rows)
        count = f'{{bucket_id="{bucket}"}} {len(said.nodes)}'
        families.setdefault("flashback_bucket_nodes", []).append(count)
        for fact in sorted(said.shown(PLAN.known_statuses)):
            labels = f'bucket_id="{bucket}",ip="{fact.ip}",host="{fact.host}"'
            if fact.kind == "status":
                lines = [
                    f'{{{labels},status="{status}"}} {int(status == fact.text)}'
                    for status in (*PLAN.known_statuses, "UNKNOWN")
                ]
                families.setdefault("flashback_node_status", []).extend(lines)
            elif fact.kind == "info":
                line = f'{{{labels},version="{fact.text}"}} 1'
                families.setdefault("flashback_node_info", []).append(line)
            else:
                families.setdefault(NAMES[fact.kind], []).append(f"{{{labels}}} {fact.value!r}")


def node(host: str, uptime: float, updated: float) -> Row:
    """A row of a response."""
    return {
        "ip": "192.0.2.1",
        "host": host,
        "perc_uptime": uptime,
        "avg_latency_ms": 20.5,
        "version": "1.2.3",
        "node_status": "ONLINE",
        "last_updated": datetime.fromtimestamp(int(updated), UTC).isoformat(),
        "last_latency_ms": 21.5,
    }
