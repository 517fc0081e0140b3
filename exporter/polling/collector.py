"""Metrics about the current state of the polling, read from the manager at each scrape.

Counters belong in `metrics.self_metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from exporter.model import Label
from exporter.polling.manager import PollManager
from exporter.upstream.discovery import filtered


class PollingCollector(Collector):
    """Reads the manager at each scrape."""

    def __init__(self, manager: PollManager) -> None:
        self._manager = manager

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "flashback_exporter_buckets",
            "Number of buckets that this process polls.",
            value=len(self._manager.targets),
        )
        yield GaugeMetricFamily(
            "flashback_exporter_poll_lag_seconds",
            "Delay of the most overdue poll in seconds, excluding waits after a 429 or after"
            " refused requests.",
            value=self._manager.lag(),
        )
        shard = self._manager.shard
        ordinal = GaugeMetricFamily(
            "flashback_exporter_shard_ordinal",
            "Ordinal of the shard that this process runs as, from 0.",
            labels=(Label.SHARD_ORDINAL,),
        )
        ordinal.add_metric((str(shard.ordinal),), shard.ordinal)
        yield ordinal
        yield GaugeMetricFamily(
            "flashback_exporter_shards", "Total number of shards.", value=shard.total
        )
        yield _per_account(
            "flashback_account_paused_until_timestamp_seconds",
            "Unix time at which the pause after a 429 ends; absent while there is no pause.",
            self._manager.paused_until(),
        )
        yield _per_account(
            "flashback_account_token_expiry_timestamp_seconds",
            "Unix time at which the access token of the account expires; absent without an expiry.",
            self._manager.token_expiries(),
        )
        yield _per_account(
            "flashback_account_certificate_expiry_timestamp_seconds",
            "Unix time of the earliest expiry in the certificate chain of the API; absent without"
            " TLS.",
            self._manager.certificate_expiries(),
        )
        yield _per_account(
            "flashback_account_clock_skew_seconds",
            "Clock of the API minus clock of the exporter in seconds, from the Date header of the"
            " latest response; absent without one or when stale.",
            self._manager.clock_skews(),
        )
        tried = [
            (account, state)
            for account in self._manager.config.accounts
            if account.discovery is not None
            and (state := self._manager.discovery_states.get(account.name)) is not None
        ]
        yield _per_account(
            "flashback_account_discovery_up",
            "Whether the last discovery of buckets in the account succeeded.",
            {account.name: float(state.error is None) for account, state in tried},
        )
        yield _per_account(
            "flashback_account_discovered_buckets",
            "Number of buckets discovered in the account that pass its filters, before sharding.",
            {account.name: len(filtered(account, state)) for account, state in tried},
        )
        yield _per_account(
            "flashback_account_discovery_last_success_timestamp_seconds",
            "Unix time of the last successful discovery of buckets in the account.",
            {
                account.name: state.last_success.wall
                for account, state in tried
                if state.last_success is not None
            },
        )


def _per_account(name: str, help_text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=(Label.ACCOUNT,))
    for account, value in values.items():
        family.add_metric((account,), value)
    return family
