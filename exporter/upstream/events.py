"""What is told of the wire to those who count, as frozen values.

The vocabulary of the API's calls and fields, and of the ways in which an answer can differ from
the vendor's page on `POST /bucket/{bucketId}/stats`, or a listing from what is known of it.
Nothing is done here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from exporter.model import Reason

ANSWER_FIELDS = ("success", "nodeStats", "buckets")
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
"""Of a listing's entries, those that are read."""

OTHER_FIELD = "other"


class DriftKind(StrEnum):
    """In which way an answer differed from the vendor's page: the values of the label `kind`."""

    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    UNKNOWN_STATUS = "unknown_status"
    DUPLICATE_NODE = "duplicate_node"


class Drift(NamedTuple):
    """One way in which an answer differed. `field` is one of the API's, or `other`."""

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
        for field in (*ANSWER_FIELDS, *NODE_FIELDS, *ENTRY_FIELDS)
    ),
    Drift(DriftKind.OUT_OF_RANGE, "perc_uptime"),
    Drift(DriftKind.OUT_OF_RANGE, "avg_latency_ms"),
    Drift(DriftKind.OUT_OF_RANGE, "last_latency_ms"),
    Drift(DriftKind.OUT_OF_RANGE, "last_updated"),
    Drift(DriftKind.OUT_OF_RANGE, "id"),
    Drift(DriftKind.UNKNOWN_STATUS, "node_status"),
    Drift(DriftKind.DUPLICATE_NODE, "ip"),
)
"""Every way in which an answer can be found to differ."""


class Call(StrEnum):
    """The calls of the API: the values of the label `call`."""

    STATS = "stats"
    LIST = "list"
    LOGIN = "login"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt went, for those who count."""

    account: str
    call: Call
    status: int | None  # of the HTTP answer, where there was one
    reason: Reason | None  # None: it gave a usable answer
    seconds: float | None  # None: nothing was sent


class Observer(Protocol):
    """Who is told of everything that happens on the wire."""

    def attempted(self, attempt: Attempt) -> None: ...

    def retrying(self, account: str, call: Call) -> None: ...

    def drifted(self, drift: Counter[Drift]) -> None:
        """An answer differed from the vendor's page."""
        ...
