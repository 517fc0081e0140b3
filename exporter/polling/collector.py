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
            "Buckets that this process polls.",
            value=len(self._manager.targets),
        )
        yield GaugeMetricFamily(
            "flashback_exporter_poll_lag_seconds",
            "How late the most overdue poll is; pauses and re-checks are not lag.",
            value=self._manager.lag(),
        )
        shard = self._manager.shard
        ordinal = GaugeMetricFamily(
            "flashback_exporter_shard_ordinal",
            "Which of the shards this process is, from 0.",
            labels=(Label.SHARD_ORDINAL,),
        )
        ordinal.add_metric((str(shard.ordinal),), shard.ordinal)
        yield ordinal
        yield GaugeMetricFamily(
            "flashback_exporter_shards", "How many shards there are.", value=shard.total
        )
        yield _per_account(
            "flashback_account_paused_until_timestamp_seconds",
            "Until when a 429 has paused the account, as Unix time; absent while it is not.",
            self._manager.paused_until(),
        )
        yield _per_account(
            "flashback_account_token_expiry_timestamp_seconds",
            "When the account's access token expires, as Unix time; absent where it does not say.",
            self._manager.token_expiries(),
        )
        yield _per_account(
            "flashback_account_certificate_expiry_timestamp_seconds",
            "When the first certificate of the chain that the API sent ends, as Unix time; absent"
            " without TLS.",
            self._manager.certificate_expiries(),
        )
        yield _per_account(
            "flashback_account_clock_skew_seconds",
            "The API's clock minus the exporter's, from the newest answer's Date, corrected by half"
            " a second and half of the round trip; absent without one, and once it is stale.",
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
            "Whether the newest listing of the account's buckets succeeded.",
            {account.name: float(state.error is None) for account, state in tried},
        )
        yield _per_account(
            "flashback_account_discovered_buckets",
            "Buckets found in the account that pass its filters, whoever polls them.",
            {account.name: len(filtered(account, state)) for account, state in tried},
        )
        yield _per_account(
            "flashback_account_discovery_last_success_timestamp_seconds",
            "When the account's buckets were last listed with success, as Unix time.",
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
