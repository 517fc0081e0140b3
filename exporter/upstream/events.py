"""Events that the API client reports to an observer, as frozen values.

Defines the API's calls and fields, and the kinds of schema drift: differences between a response
and the vendor's documentation of `POST /bucket/{bucketId}/stats`, or the known form of a list
response. Counting them belongs to `metrics.self_metrics`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from exporter.model import Reason

RESPONSE_FIELDS = ("success", "nodeStats", "buckets")
NODE_FIELDS = (
    "ip",
    "host",
    "perc_uptime",
    "avg_latency_ms",
    "version",
    "node_status",
    "last_updated",
    "last_latency_ms",
)
ENTRY_FIELDS = ("id", "name", "storageType", "region", "workspaceId")
"""The fields that are read from an entry in a list response."""

OTHER_FIELD = "other"


class DriftKind(StrEnum):
    """How a response differed from the documentation: the values of the label `kind`."""

    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    UNKNOWN_STATUS = "unknown_status"
    DUPLICATE_NODE = "duplicate_node"


class Drift(NamedTuple):
    """One difference between a response and the documentation. `field`: an API field or `other`."""

    kind: DriftKind
    field: str


POSSIBLE_DRIFT = (
    Drift(DriftKind.MISSING_FIELD, "nodeStats"),
    Drift(DriftKind.MISSING_FIELD, "ip"),
    Drift(DriftKind.MISSING_FIELD, "buckets"),
    Drift(DriftKind.MISSING_FIELD, "id"),
    Drift(DriftKind.UNKNOWN_FIELD, OTHER_FIELD),
    *(
        Drift(DriftKind.WRONG_TYPE, field)
        for field in (*RESPONSE_FIELDS, *NODE_FIELDS, *ENTRY_FIELDS)
    ),
    Drift(DriftKind.OUT_OF_RANGE, "perc_uptime"),
    Drift(DriftKind.OUT_OF_RANGE, "avg_latency_ms"),
    Drift(DriftKind.OUT_OF_RANGE, "last_latency_ms"),
    Drift(DriftKind.OUT_OF_RANGE, "last_updated"),
    Drift(DriftKind.OUT_OF_RANGE, "id"),
    Drift(DriftKind.UNKNOWN_STATUS, "node_status"),
    Drift(DriftKind.DUPLICATE_NODE, "ip"),
)
"""Every drift that can be reported, so that its counter can start at 0."""


class Call(StrEnum):
    """The calls of the API: the values of the label `call`."""

    STATS = "stats"
    LIST = "list"
    LOGIN = "login"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of one attempt."""

    account: str
    call: Call
    status: int | None  # of the HTTP response; None: there was none
    reason: Reason | None  # None: the response was usable
    seconds: float | None  # None: nothing was sent


class Observer(Protocol):
    """Receives an event for every attempt, retry and drift."""

    def attempted(self, attempt: Attempt) -> None: ...

    def retrying(self, account: str, call: Call) -> None: ...

    def drifted(self, drift: Counter[Drift]) -> None:
        """Report the differences between one response and the documentation."""
        ...
