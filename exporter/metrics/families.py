"""Defines the metrics of buckets and nodes: names, HELP, labels, and functions that render lines.

`render` joins the lines into a page. The exporter's own metrics are in `self_metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from operator import attrgetter

from exporter.model import UNKNOWN_STATUS, Bucket, BucketState, Label, Node, midnight

_POLLED = " Polled in the background, not on scrape."


def label_pair(name: str, value: str) -> str:
    """`name="value"`, with the value escaped for both text formats."""
    if "\\" in value or '"' in value or "\n" in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{value}"'


class RenderContext:
    """The state of a bucket at one moment, from which the families render their lines."""

    __slots__ = ("bucket", "fresh", "labels", "nodes", "state", "statuses")

    def __init__(
        self, bucket: Bucket, state: BucketState, statuses: tuple[str, ...], *, fresh: bool
    ) -> None:
        self.bucket = bucket
        self.state = state
        self.fresh = fresh
        self.statuses = statuses
        self.labels = label_pair("bucket_id", bucket.id)
        """The labels that all bucket metrics have."""
        self.nodes: Sequence[tuple[str, Node]] = ()
        """The nodes to show, each with the labels that all node metrics have."""
        if fresh and state.stats is not None:
            self.nodes = [(node_labels(self.labels, node), node) for node in state.stats.nodes]


def node_labels(bucket_labels: str, node: Node) -> str:
    """The labels that all node metrics have, after those of the bucket."""
    return f"{bucket_labels},{label_pair('ip', node.ip)},{label_pair('host', node.host)}"


class WhenStale(Enum):
    """What happens to a metric's lines when the bucket's values become stale."""

    DROP = auto()
    RERENDER = auto()
    KEEP = auto()


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: its name, HELP, labels, and a function that renders its lines for a bucket."""

    name: str
    help: str
    labels: tuple[str, ...]
    lines: Callable[[RenderContext], str]
    when_stale: WhenStale = WhenStale.RERENDER
    changes_every_poll: bool = True  # False: the lines change only with nodes and labels

    @property
    def header(self) -> bytes:
        """The HELP and TYPE lines. No HELP text here needs escaping."""
        return f"# HELP {self.name} {self.help}\n# TYPE {self.name} gauge\n".encode()


@dataclass(frozen=True, slots=True)
class NodeGauge(Family):
    """A metric with at most one sample per node: none if `value_of` returns None."""

    value_of: Callable[[Node], float | None] = lambda _node: None


def _node_gauge(name: str, help_text: str, attribute: str) -> NodeGauge:
    value_of: Callable[[Node], float | None] = attrgetter(attribute)

    def lines(view: RenderContext) -> str:
        return "".join(
            [
                f"{name}{{{labels}}} {value!r}\n"
                for labels, node in view.nodes
                if (value := value_of(node)) is not None
            ]
        )

    labels = (Label.BUCKET_ID, Label.IP, Label.HOST)
    return NodeGauge(
        name, help_text + _POLLED, labels, lines, when_stale=WhenStale.DROP, value_of=value_of
    )


@lru_cache(maxsize=64)
def _status_ends(statuses: tuple[str, ...], shown: str) -> tuple[str, ...]:
    """The ends of the status lines of a node. Cached: nodes with the same status share them."""
    shown = shown if shown in statuses else UNKNOWN_STATUS
    return tuple(f",{label_pair('status', each)}}} {each == shown:d}\n" for each in statuses)


def _node_status_lines(view: RenderContext) -> str:
    return "".join(
        [
            f"flashback_node_status{{{labels}{end}"
            for labels, node in view.nodes
            if node.status is not None
            for end in _status_ends(view.statuses, node.status)
        ]
    )


def _node_info_lines(view: RenderContext) -> str:
    return "".join(
        [
            f"flashback_node_info{{{labels},{label_pair('version', node.version)}}} 1\n"
            for labels, node in view.nodes
            if node.version is not None
        ]
    )


def _bucket_gauge(
    name: str,
    help_text: str,
    value_of: Callable[[RenderContext], float | None],
    when_stale: WhenStale = WhenStale.RERENDER,
) -> Family:
    def lines(view: RenderContext) -> str:
        value = value_of(view)
        return "" if value is None else f"{name}{{{view.labels}}} {value!r}\n"

    return Family(name, help_text + _POLLED, (Label.BUCKET_ID,), lines, when_stale)


def _up(view: RenderContext) -> int | None:
    if view.state.newest is None and view.fresh:
        return None  # not polled yet and not overdue: unknown
    return int(view.state.failing(fresh=view.fresh) is None and view.fresh)


def _failing_lines(view: RenderContext) -> str:
    reason = view.state.failing(fresh=view.fresh)
    if reason is None:
        return ""
    return f"flashback_bucket_failing{{{view.labels},{label_pair('reason', reason)}}} 1\n"


def _node_count(view: RenderContext) -> int | None:
    stats = view.state.stats
    return len(stats.nodes) if view.fresh and stats is not None else None


def _stats_day(view: RenderContext) -> float | None:
    stats = view.state.stats
    if not view.fresh or stats is None:
        return None
    return midnight(stats.day)


def _last_success(view: RenderContext) -> float | None:
    return None if view.state.last_success is None else view.state.last_success.wall


def _poll_duration(view: RenderContext) -> float | None:
    return None if view.state.newest is None else view.state.newest.duration


def _info_lines(view: RenderContext) -> str:
    bucket = view.bucket
    labels = {
        "name": bucket.name,
        "account": bucket.account,
        **bucket.labels,
        "storage_type": bucket.storage_type,
        "region": bucket.region,
        "workspace_id": bucket.workspace_id,
    }
    pairs = ",".join([label_pair(name, value) for name, value in labels.items()])
    return f"flashback_bucket_info{{{view.labels},{pairs}}} 1\n"


FAMILIES: tuple[Family, ...] = (
    _node_gauge(
        "flashback_node_uptime_ratio",
        "Share of the current UTC day that the node was online according to the API, from 0 to 1.",
        "uptime_ratio",
    ),
    _node_gauge(
        "flashback_node_latency_average_seconds",
        "Average latency of the node over the current UTC day in seconds.",
        "latency_average_seconds",
    ),
    _node_gauge(
        "flashback_node_latency_last_seconds",
        "Latest latency measurement of the node in seconds.",
        "latency_last_seconds",
    ),
    Family(
        "flashback_node_status",
        "Status of the node, 1 for the current status and 0 for the others." + _POLLED,
        (Label.BUCKET_ID, Label.IP, Label.HOST, Label.STATUS),
        _node_status_lines,
        when_stale=WhenStale.DROP,
        changes_every_poll=False,
    ),
    _node_gauge(
        "flashback_node_last_updated_timestamp_seconds",
        "Unix time at which the API last updated the statistics of the node.",
        "last_updated",
    ),
    Family(
        "flashback_node_info",
        "A metric with a constant '1' value labeled by the version of the node." + _POLLED,
        (Label.BUCKET_ID, Label.IP, Label.HOST, Label.VERSION),
        _node_info_lines,
        when_stale=WhenStale.DROP,
        changes_every_poll=False,
    ),
    _bucket_gauge(
        "flashback_bucket_up",
        "Whether the latest poll of the bucket succeeded and its values are not stale,"
        " regardless of the status of its nodes.",
        _up,
    ),
    Family(
        "flashback_bucket_failing",
        "Always 1, with the reason why the bucket is failing; absent while the bucket is up."
        + _POLLED,
        (Label.BUCKET_ID, Label.REASON),
        _failing_lines,
    ),
    _bucket_gauge(
        "flashback_bucket_nodes",
        "Number of nodes in the current values of the bucket.",
        _node_count,
    ),
    _bucket_gauge(
        "flashback_bucket_stats_day_timestamp_seconds",
        "Unix time of 00:00 UTC on the day that the values of the bucket belong to.",
        _stats_day,
    ),
    _bucket_gauge(
        "flashback_bucket_last_success_timestamp_seconds",
        "Unix time of the last successful poll of the bucket.",
        _last_success,
        when_stale=WhenStale.KEEP,
    ),
    _bucket_gauge(
        "flashback_bucket_poll_duration_seconds",
        "Duration of the latest poll of the bucket in seconds, including retries.",
        _poll_duration,
        when_stale=WhenStale.KEEP,
    ),
    Family(
        "flashback_bucket_info",
        "A metric with a constant '1' value labeled by the name and labels of the bucket, to join"
        " with group_left." + _POLLED,
        (
            Label.BUCKET_ID,
            Label.NAME,
            Label.ACCOUNT,
            "<the bucket's own labels>",
            Label.STORAGE_TYPE,
            Label.REGION,
            Label.WORKSPACE_ID,
        ),
        _info_lines,
        when_stale=WhenStale.KEEP,
        changes_every_poll=False,
    ),
)
"""The metrics from a bucket's latest poll and current values."""

PREVIOUS_DAY: tuple[NodeGauge, ...] = (
    _node_gauge(
        "flashback_node_uptime_previous_day_ratio",
        "Final share of the previous UTC day that the node was online, from 0 to 1.",
        "uptime_ratio",
    ),
    _node_gauge(
        "flashback_node_latency_average_previous_day_seconds",
        "Final average latency of the node over the previous UTC day in seconds.",
        "latency_average_seconds",
    ),
)
"""The metrics from the final values of a previous day, which are requested once per day."""

METRICS: tuple[Family, ...] = (*FAMILIES, *PREVIOUS_DAY)
"""All metrics of buckets and nodes, in the order of the page."""
