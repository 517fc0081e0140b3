"""How the polling is at the moment of a scrape, as metrics: asked each time, never kept.

What is counted over time is `self_metrics`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from exporter.polling.sharding import Shard


class Polling(Protocol):
    """What is asked of the polling at each scrape."""

    def bucket_count(self) -> int:
        """How many buckets this process polls."""
        ...

    @property
    def shard(self) -> Shard:
        """Which part of the buckets this process polls."""
        ...

    def lag(self) -> float:
        """How late the most overdue poll is, seconds."""
        ...

    def paused_until(self) -> Mapping[str, float]:
        """The accounts that a 429 has paused, and until when, Unix time."""
        ...

    def token_expiries(self) -> Mapping[str, float]:
        """When the accounts' tokens end, Unix time, where they say so."""
        ...

    def listings(self) -> Mapping[str, ListingView]:
        """The accounts whose discovery has been tried."""
        ...


class ListingView(NamedTuple):
    """How the discovery of an account does."""

    up: bool
    buckets: int
    last_success: float | None  # Unix time


class PollingCollector(Collector):
    """Asks a polling whenever it is collected."""

    def __init__(self, polling: Polling) -> None:
        self._polling = polling

    def collect(self) -> Iterator[Metric]:
        """Every gauge as it is now."""
        yield GaugeMetricFamily(
            "flashback_exporter_buckets",
            "Buckets that this process polls.",
            value=self._polling.bucket_count(),
        )
        yield GaugeMetricFamily(
            "flashback_exporter_poll_lag_seconds",
            "How late the most overdue poll is; pauses and re-checks are not lag.",
            value=self._polling.lag(),
        )
        shard = self._polling.shard
        ordinal = GaugeMetricFamily(
            "flashback_exporter_shard_ordinal",
            "Which of the shards this process is, from 0.",
            labels=("shard_ordinal",),
        )
        ordinal.add_metric((str(shard.ordinal),), shard.ordinal)
        yield ordinal
        yield GaugeMetricFamily(
            "flashback_exporter_shards", "How many shards there are.", value=shard.total
        )
        yield _per_account(
            "flashback_account_paused_until_timestamp_seconds",
            "Until when a 429 has paused the account, as Unix time; absent while it is not.",
            self._polling.paused_until(),
        )
        yield _per_account(
            "flashback_account_token_expiry_timestamp_seconds",
            "When the account's access token expires, as Unix time; absent where it does not say.",
            self._polling.token_expiries(),
        )
        listings = self._polling.listings()
        yield _per_account(
            "flashback_account_discovery_up",
            "Whether the newest listing of the account's buckets succeeded.",
            {account: float(listing.up) for account, listing in listings.items()},
        )
        yield _per_account(
            "flashback_account_discovered_buckets",
            "Buckets found in the account that pass its filters, whoever polls them.",
            {account: float(listing.buckets) for account, listing in listings.items()},
        )
        yield _per_account(
            "flashback_account_discovery_last_success_timestamp_seconds",
            "When the account's buckets were last listed with success, as Unix time.",
            {
                account: listing.last_success
                for account, listing in listings.items()
                if listing.last_success is not None
            },
        )


def _per_account(name: str, help_text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=("account",))
    for account, value in values.items():
        family.add_metric((account,), value)
    return family
