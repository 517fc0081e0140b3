"""The configuration that a test plans: the content of the file, and what the checker expects.

Frozen values. The exporter's own settings are not used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.truth.recorder import ListedBucket

REFUSED = frozenset({"bad_request", "unauthorized", "forbidden", "not_found"})
"""After these reasons a bucket is polled less often."""


@dataclass(frozen=True)
class PlannedBucket:
    """A static bucket."""

    id: str
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_yaml(self) -> Any:  # noqa: ANN401 - YAML
        """The entry in the file."""
        if not self.name and not self.labels:
            return self.id
        named = {"name": self.name} if self.name else {}
        return {"id": self.id, **named, "labels": dict(self.labels)}


@dataclass(frozen=True)
class PlannedDiscovery:
    """The discovery of an account."""

    refresh_interval: int = 60
    workspace: str = ""
    exclude: str = ""

    def to_yaml(self) -> Any:  # noqa: ANN401 - YAML
        """The section in the file."""
        limits: dict[str, Any] = {"refresh_interval": f"{self.refresh_interval}s"}
        if self.workspace:
            limits["workspace_id"] = self.workspace
        if self.exclude:
            limits["exclude"] = [self.exclude]
        return limits

    def matches(self, entry: ListedBucket) -> bool:
        """Whether an entry of a list response is to be polled."""
        return not (self.exclude and re.fullmatch(self.exclude, entry.name))


@dataclass(frozen=True)
class PlannedAccount:
    """An account."""

    name: str
    access: Mapping[str, Any]  # `authorization` or `login`, as in the file
    buckets: tuple[PlannedBucket, ...] = ()
    discovery: PlannedDiscovery | None = None
    poll_interval: int = 60
    stale_after: int = 180
    host: str = "127.0.0.1"

    def to_yaml(self, api: str) -> Any:  # noqa: ANN401 - YAML
        """The section in the file."""
        found = {} if self.discovery is None else {"discovery": self.discovery.to_yaml()}
        return {
            "name": self.name,
            "base_url": api.replace("127.0.0.1", self.host),
            "poll_interval": f"{self.poll_interval}s",
            "stale_after": f"{self.stale_after}s",
            **self.access,
            **found,
            **({"buckets": [each.to_yaml() for each in self.buckets]} if self.buckets else {}),
        }

    @property
    def logs_in(self) -> bool:
        """Whether its token comes from calls that may fail."""
        return "login" in self.access

    @property
    def has_fixed_token(self) -> bool:
        """Whether its token is in the configuration file."""
        return "credentials" in self.access.get("authorization", {})


@dataclass(frozen=True)
class Plan:
    """A complete configuration."""

    accounts: tuple[PlannedAccount, ...]
    known_statuses: tuple[str, ...] = ("ONLINE", "OFFLINE", "DISCONNECTED")
    poll_timeout: int = 20
    recheck_interval: int = 240
    rollover_grace: int = 600
    max_nodes: int = 100
    max_concurrent: int = 16
    max_per_second: float = 1000.0

    def text(self, api: str) -> str:
        """The file for an API on 127.0.0.1. It is JSON, which is valid YAML."""
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
        accounts = [account.to_yaml(api) for account in self.accounts]
        return json.dumps({"global": limits, "accounts": accounts}, indent=1, ensure_ascii=False)

    def assign(self, found: Mapping[str, Iterable[ListedBucket]]) -> dict[str, dict[str, str]]:
        """The labels of each bucket to be polled, given the discovered buckets."""
        seen = {name: {entry.id: entry for entry in entries} for name, entries in found.items()}
        assigned = {
            bucket.id: self._labels(account, bucket, seen.get(account.name, {}).get(bucket.id))
            for account in self.accounts
            for bucket in account.buckets
        }
        for account, entry in self._discovered(found):
            bucket = PlannedBucket(entry.id, entry.name)
            assigned.setdefault(entry.id, self._labels(account, bucket, entry))
        return assigned

    def _discovered(
        self, found: Mapping[str, Iterable[ListedBucket]]
    ) -> Iterator[tuple[PlannedAccount, ListedBucket]]:
        for account in self.accounts:
            for entry in found.get(account.name, ()) if account.discovery else ():
                if account.discovery and account.discovery.matches(entry):
                    yield account, entry

    @staticmethod
    def _labels(
        account: PlannedAccount, bucket: PlannedBucket, entry: ListedBucket | None
    ) -> dict[str, str]:
        return {
            "bucket_id": bucket.id,
            "name": bucket.name or bucket.id,
            "account": account.name,
            **bucket.labels,
            "storage_type": entry.storage_type if entry else "",
            "region": entry.region if entry else "",
            "workspace_id": entry.workspace_id if entry else "",
        }
