"""Which buckets are asked for, and by which account: as live polling has it, but for shards.

How a listing is asked for is `fetcher`'s, what it means `discovery_state`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog

from exporter.backfill.failures import FailedBucket, Failures
from exporter.backfill.fetch import Fetcher
from exporter.config import Account, Config
from exporter.upstream.discovery import Assignment, DiscoveryState, assign, filtered

_log = structlog.get_logger()


class UnknownBucketsError(Exception):
    """Buckets were named that no account polls; the text lists them.

    `may_pass`: a listing failed, so that they may be there after all.
    """

    def __init__(self, ids: list[str], *, may_pass: bool) -> None:
        lines = [f"--bucket: no account polls a bucket {each!r}" for each in ids]
        if may_pass:
            lines.append("but not every account could be asked for its buckets")
        super().__init__("\n".join(lines))
        self.may_pass = may_pass


async def assignments(
    config: Config, wanted: Collection[str], fetcher: Fetcher, failures: Failures
) -> list[Assignment]:
    """The wanted buckets, or all where none is named. Raises UnknownBucketsError.

    A listing that fails is one of the failures; where it cannot matter none is asked for.
    """
    by_hand = {bucket.id for bucket in config.buckets()}
    discovery_states: dict[str, DiscoveryState] = {}
    if not wanted or not by_hand.issuperset(wanted):
        discovery_states = await _discovery_states(config, fetcher, failures)
    assigned = assign(config.accounts, discovery_states)
    known = {each.bucket.id: each for each in assigned.assignments}
    unknown = [each for each in wanted if each not in known]
    if unknown:
        raise UnknownBucketsError(sorted(unknown), may_pass=failures.count > 0)
    if assigned.conflicts:
        _log.warning("buckets_in_several_accounts", count=len(assigned.conflicts))
    return [each for bucket_id, each in known.items() if not wanted or bucket_id in wanted]


async def _discovery_states(
    config: Config, fetcher: Fetcher, failures: Failures
) -> dict[str, DiscoveryState]:
    accounts = [account for account in config.accounts if account.discovery is not None]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetcher.discovery_state(account)) for account in accounts]
    discovery_states = [task.result() for task in tasks]
    for account, discovery_state in zip(accounts, discovery_states, strict=True):
        _note(
            account, discovery_state, failures
        )  # not in the group: a full disk is no group of errors
    return {
        account.name: discovery_state
        for account, discovery_state in zip(accounts, discovery_states, strict=True)
    }


def _note(account: Account, discovery_state: DiscoveryState, failures: Failures) -> None:
    if discovery_state.fault is not None:
        failures.note(FailedBucket(account.name, None, None, discovery_state.fault))
        return
    polled = len(filtered(account, discovery_state))
    log = _log.info if polled else _log.warning
    log("buckets_discovered", account=account.name, found=len(discovery_state.found), polled=polled)
