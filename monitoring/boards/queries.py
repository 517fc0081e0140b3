"""The PromQL that the dashboards share, aggregated over the scrape labels.

Two replicas, a replaced pod or a moved shard expose the same node twice; `max by` merges the series
before they are counted or joined. Queries over all buckets use recorded series. Missing data stays
missing, and is not shown as 0. Units and colours are set elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

JOB = 'cluster=~"$cluster", namespace=~"$namespace", job=~"$job"'
"""The matchers of every selector. Rules keep `job` and `namespace`; `cluster` may be missing."""

ACCOUNT = 'account=~"$account"'

STATUS = "flashback_node_status"
UPTIME = "flashback_node_uptime_previous_day_ratio"
LATENCY = "flashback_node_latency_average_previous_day_seconds"

NEWEST = "[90m]"
"""Long enough to bridge the hour after midnight in which a bucket has no previous day to show."""

NODE = "bucket_id, ip, host"

INFO = "bucket:flashback_bucket_info:max"
DOWN = "node:flashback_node_down:avg"


def select(series: str, *matchers: str) -> str:
    """A selector for the exporters that the dashboard's variables select."""
    return f"{series}{{{', '.join(filter(None, (JOB, *matchers)))}}}"


def info(*matchers: str, window: str = "") -> str:
    """One series per chosen bucket, with its name and account.

    Only one, even if two replicas have different names for it during a reload.
    """
    chosen = select(INFO, ACCOUNT, *matchers)
    series = f"last_over_time({chosen}{window})" if window else chosen
    return f"topk by (bucket_id) (1, max by (bucket_id, name, account) ({series}))"


def named(expression: str, *matchers: str, window: str = "") -> str:
    """An expression by bucket, limited to the selected accounts, with the bucket's name."""
    found = info(*matchers, window=window)
    return f"({expression}) * on (bucket_id) group_left (name, account) {found}"


def recorded_bucket(record: str) -> str:
    """A recorded series of buckets, once per bucket."""
    return f"max by (bucket_id) ({select(f'bucket:{record}')})"


def recorded_node(record: str, labels: str = "account, ip, host") -> str:
    """A recorded series of the nodes of the selected accounts, once per node."""
    return f"max by ({labels}) ({select(f'node:{record}', ACCOUNT)})"


def down_now(labels: str = "account, ip, host") -> str:
    """The share of each node's buckets for which it is down; 0 if it is up."""
    return recorded_node("flashback_node_down:avg", labels)


@dataclass(frozen=True, slots=True)
class Scope:
    """Buckets and nodes of a board that shows one bucket or one host, from raw series."""

    buckets: str = 'bucket_id=~"$bucket"'
    nodes: str = 'bucket_id=~"$bucket"'

    def named(self, expression: str, *, history: bool = False) -> str:
        """An expression by bucket, with the bucket's name.

        `history` uses the current names for past days, which may have none, such as backfilled
        ones.
        """
        window = "[25h] offset -1d @ end()" if history else ""
        return named(expression, self.buckets, window=window)

    def bucket(self, metric: str, matchers: str = "", keep: str = "") -> str:
        """A bucket's metric, once per bucket (and per label of `keep`)."""
        labels = ", ".join(filter(None, ["bucket_id", keep]))
        return f"max by ({labels}) ({select(metric, self.buckets, matchers)})"

    def node(self, metric: str, matchers: str = "", window: str = "", keep: str = "") -> str:
        """A node's metric, once per bucket and node; with a window, its latest value in it."""
        series = select(metric, self.nodes, matchers)
        if window:
            series = f"last_over_time({series}{window})"
        labels = ", ".join(filter(None, [NODE, keep]))
        return f"max by ({labels}) ({series})"

    def status_code(self) -> str:
        """A node's status as a number: see `colours.STATUSES`; of several the worst."""
        statuses = {4: '="DISCONNECTED"', 3: '="OFFLINE"', 2: '!~"ONLINE|OFFLINE|DISCONNECTED"'}
        online = self.node(STATUS, 'status="ONLINE"')
        worst = [
            f"({self.node(STATUS, 'status' + matcher)} == 1) * {code}"
            for code, matcher in statuses.items()
        ]
        return " or ".join([*worst, f"{online} == 1"])

    def previous_day(self, metric: str = UPTIME) -> str:
        """The final value of each node for each day, at the step of that day's 00:00 UTC.

        Like the recording rules, it is the value exposed from 23:30 to 24:00 of the next day or, if
        there is none yet, from 01:30 to 02:00.
        """
        late, early = (self.node(metric, window=f"[30m] offset -{ahead}") for ahead in _SHOWN)
        return f"({late} or {early})"

    def newest_day(self, metric: str = UPTIME) -> str:
        """The newest previous day's figure of each node."""
        return self.node(metric, window=NEWEST)


_SHOWN = ("2d", "26h")
"""The ends of the two half hours, from the start of the day that the figures belong to."""
