"""A configuration as a test plans it: what the file says, and what the checker holds pages against.

Frozen values; the exporter's own settings are not used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.truth.ledger import Entry

REFUSED = frozenset({"bad_request", "unauthorized", "forbidden", "not_found"})
"""After these reasons a bucket is looked at less often."""


@dataclass(frozen=True)
class Planned:
    """A bucket by hand."""

    id: str
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> Any:  # noqa: ANN401 - YAML
        """Its entry in the file."""
        if not self.name and not self.labels:
            return self.id
        named = {"name": self.name} if self.name else {}
        return {"id": self.id, **named, "labels": dict(self.labels)}


@dataclass(frozen=True)
class Search:
    """How buckets are found."""

    refresh_interval: int = 60
    workspace: str = ""
    exclude: str = ""

    def document(self) -> Any:  # noqa: ANN401 - YAML
        """What the file says of it."""
        limits: dict[str, Any] = {"refresh_interval": f"{self.refresh_interval}s"}
        if self.workspace:
            limits["workspace_id"] = self.workspace
        if self.exclude:
            limits["exclude"] = [self.exclude]
        return limits

    def admits(self, entry: Entry) -> bool:
        """Whether an entry of a listing is to be polled."""
        return not (self.exclude and re.fullmatch(self.exclude, entry.name))


@dataclass(frozen=True)
class Holder:
    """An account."""

    name: str
    access: Mapping[str, Any]  # `authorization` or `login`, as in the file
    buckets: tuple[Planned, ...] = ()
    search: Search | None = None
    poll_interval: int = 60
    stale_after: int = 180
    host: str = "127.0.0.1"

    def document(self, port: int) -> Any:  # noqa: ANN401 - YAML
        """What the file says of it."""
        found = {} if self.search is None else {"discovery": self.search.document()}
        return {
            "name": self.name,
            "base_url": f"http://{self.host}:{port}",
            "poll_interval": f"{self.poll_interval}s",
            "stale_after": f"{self.stale_after}s",
            **self.access,
            **found,
            **({"buckets": [each.document() for each in self.buckets]} if self.buckets else {}),
        }

    @property
    def logs_in(self) -> bool:
        """Whether its token comes from calls that may fail."""
        return "login" in self.access

    @property
    def has_fixed_token(self) -> bool:
        """Whether its token stands in the file itself."""
        return "credentials" in self.access.get("authorization", {})


@dataclass(frozen=True)
class Plan:
    """A whole configuration."""

    holders: tuple[Holder, ...]
    known_statuses: tuple[str, ...] = ("ONLINE", "OFFLINE", "DISCONNECTED")
    poll_timeout: int = 20
    recheck_interval: int = 240
    rollover_grace: int = 600
    max_nodes: int = 100
    max_concurrent: int = 16
    max_per_second: float = 1000.0

    def text(self, port: int) -> str:
        """The file: JSON is YAML."""
        limits = {
            "poll_timeout": f"{self.poll_timeout}s",
            "recheck_interval": f"{self.recheck_interval}s",
            "rollover_grace": f"{self.rollover_grace}s",
            "max_nodes_per_bucket": self.max_nodes,
            "max_response_bytes": "1MiB",
            "max_concurrent_requests": self.max_concurrent,
            "max_requests_per_second": self.max_per_second,
            "known_statuses": list(self.known_statuses),
        }
        accounts = [holder.document(port) for holder in self.holders]
        return json.dumps({"global": limits, "accounts": accounts}, indent=1, ensure_ascii=False)

    def holder(self, name: str) -> Holder | None:
        """The account of a name."""
        return next((holder for holder in self.holders if holder.name == name), None)

    def assign(self, found: Mapping[str, Iterable[Entry]]) -> dict[str, dict[str, str]]:
        """The labels of each bucket to be polled, where listings have told this much."""
        seen = {name: {entry.id: entry for entry in entries} for name, entries in found.items()}
        assign = {
            bucket.id: self._labels(holder, bucket, seen.get(holder.name, {}).get(bucket.id))
            for holder in self.holders
            for bucket in holder.buckets
        }
        for holder, entry in self._admitted(found):
            bucket = Planned(entry.id, entry.name)
            assign.setdefault(entry.id, self._labels(holder, bucket, entry))
        return assign

    def _admitted(self, found: Mapping[str, Iterable[Entry]]) -> Iterator[tuple[Holder, Entry]]:
        for holder in self.holders:
            for entry in found.get(holder.name, ()) if holder.search else ():
                if holder.search and holder.search.admits(entry):
                    yield holder, entry

    @staticmethod
    def _labels(holder: Holder, bucket: Planned, entry: Entry | None) -> dict[str, str]:
        return {
            "bucket_id": bucket.id,
            "name": bucket.name or bucket.id,
            "account": holder.name,
            **bucket.labels,
            "storage_type": entry.storage_type if entry else "",
            "region": entry.region if entry else "",
            "workspace_id": entry.workspace_id if entry else "",
        }
