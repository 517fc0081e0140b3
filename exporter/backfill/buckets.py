"""Which buckets are asked for, and by which account: as live polling has it, but for shards.

How a listing is asked for is `asking`'s, what it means `inventory`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog

from exporter.backfill.failures import Failure, Failures
from exporter.backfill.fetch import Asking
from exporter.config import Account, Config
from exporter.upstream.discovery import Assignment, Inventory, admitted, roster

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
    config: Config, wanted: Collection[str], asking: Asking, failures: Failures
) -> list[Assignment]:
    """The wanted buckets, or all where none is named. Raises UnknownBucketsError.

    A listing that fails is one of the failures; where it cannot matter none is asked for.
    """
    by_hand = {bucket.id for bucket in config.buckets()}
    inventories: dict[str, Inventory] = {}
    if not wanted or not by_hand.issuperset(wanted):
        inventories = await _inventories(config, asking, failures)
    assigned = roster(config.accounts, inventories)
    known = {each.bucket.id: each for each in assigned.assignments}
    unknown = [each for each in wanted if each not in known]
    if unknown:
        raise UnknownBucketsError(sorted(unknown), may_pass=failures.count > 0)
    if assigned.losers:
        _log.warning("buckets_in_several_accounts", count=len(assigned.losers))
    return [each for bucket_id, each in known.items() if not wanted or bucket_id in wanted]


async def _inventories(config: Config, asking: Asking, failures: Failures) -> dict[str, Inventory]:
    accounts = [account for account in config.accounts if account.discovery is not None]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asking.inventory(account)) for account in accounts]
    inventories = [task.result() for task in tasks]
    for account, inventory in zip(accounts, inventories, strict=True):
        _note(account, inventory, failures)  # not in the group: a full disk is no group of errors
    return {
        account.name: inventory for account, inventory in zip(accounts, inventories, strict=True)
    }


def _note(account: Account, inventory: Inventory, failures: Failures) -> None:
    if inventory.fault is not None:
        failures.note(Failure(account.name, None, None, inventory.fault))
        return
    polled = len(admitted(account, inventory))
    log = _log.info if polled else _log.warning
    log("buckets_discovered", account=account.name, found=len(inventory.found), polled=polled)
