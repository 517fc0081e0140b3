"""The PromQL that the boards share: each expression reduced over what a scrape adds.

Two replicas, a replaced pod or a moved shard show the same node twice; `max by` makes it one again
before anything is counted or joined. Units and colours are not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass

IS_DOWN = 'status=~"$down"'
"""What chooses the statuses that count as down; at first they are the rules' own."""

STATUS = "flashback_node_status"
UPTIME = "flashback_node_uptime_previous_day_ratio"
LATENCY = "flashback_node_latency_average_previous_day_seconds"

CLOSED = "[23h30m] offset -2d"
"""From 00:00 UTC of a day, the time in which its final figures are shown: the day after it.

Half an hour is left out at the start, in which the figures of the day before may still be there.
"""

NEWEST = "[90m]"
"""Long enough to bridge the hour after midnight in which a bucket has no previous day to show."""

NODE = "bucket_id, ip, host"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a board's variables choose: matchers for series with buckets, and with nodes."""

    buckets: str = 'bucket_id=~"$bucket"'
    nodes: str = 'bucket_id=~"$bucket"'

    def info(self, window: str = "") -> str:
        """One series per chosen bucket, with its name and account.

        One even where two replicas disagree about the name, as they may while they reload.
        """
        chosen = f'flashback_bucket_info{{account=~"$account", {self.buckets}}}'
        series = f"last_over_time({chosen}{window})" if window else chosen
        return f"topk by (bucket_id) (1, max by (bucket_id, name, account) ({series}))"

    def named(self, expression: str, *, history: bool = False) -> str:
        """An expression by bucket, of the chosen accounts, with the bucket's name.

        `history` takes today's names also for days of which there are none, such as backfilled
        ones.
        """
        info = self.info("[25h] offset -1d @ end()" if history else "")
        return f"({expression}) * on (bucket_id) group_left (name, account) {info}"

    def bucket(self, metric: str, matchers: str = "", keep: str = "") -> str:
        """A bucket's metric, once per bucket (and per label of `keep`)."""
        labels = ", ".join(filter(None, ["bucket_id", keep]))
        return f"max by ({labels}) ({metric}{{{_and(self.buckets, matchers)}}})"

    def node(self, metric: str, matchers: str = "", window: str = "", keep: str = "") -> str:
        """A node's metric, once per bucket and node; with a window, its newest value therein."""
        series = f"{metric}{{{_and(self.nodes, matchers)}}}"
        if window:
            series = f"last_over_time({series}{window})"
        labels = ", ".join(filter(None, [NODE, keep]))
        return f"max by ({labels}) ({series})"

    def down(self) -> str:
        """The nodes of each bucket that are down, and no others."""
        return f"{self.node(STATUS, IS_DOWN)} == 1"

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
        """Of each day, asked for at its 00:00 UTC, the final figure of each node."""
        return self.node(metric, window=CLOSED)

    def newest_day(self, metric: str = UPTIME) -> str:
        """The newest previous day's figure of each node."""
        return self.node(metric, window=NEWEST)

    def down_share(self, window: str) -> str:
        """Which share of a window each node was seen down."""
        series = f"{STATUS}{{{_and(self.nodes, IS_DOWN)}}}"
        shares = f"max by ({NODE}, status) (avg_over_time({series}[{window}]))"
        return f"sum by ({NODE}) ({shares})"


def or_zero(expression: str) -> str:
    """A count that is 0 where there is nothing to count."""
    return f"({expression}) or vector(0)"


def _and(*matchers: str) -> str:
    return ", ".join(filter(None, matchers))
