"""Which buckets an account has, as far as its listings tell, and which account polls a bucket.

Pure: a listing goes in, what is known comes out. Who asks, and when, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from exporter.config import Account
from exporter.model import Bucket, Fault, FoundBucket, Instant, Listing, Timing

EMPTIES_TO_BELIEVE = 2
"""An empty listing is believed when it comes this often in a row: it may be a fault upstream."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What an account's listings have told so far."""

    found: tuple[FoundBucket, ...] = ()
    last_success: Instant | None = None
    fault: Fault | None = None  # of the newest listing
    failures: int = 0  # in a row
    empties: int = 0  # in a row
    skipped: int = 0  # entries of the newest good listing that name no bucket that can be polled

    def after(self, result: Listing | Fault, now: Instant) -> Inventory:
        """What is known once a listing has ended like this; a fault keeps what was found."""
        if isinstance(result, Fault):
            return replace(self, fault=result, failures=self.failures + 1)
        empties = 0 if result.buckets else self.empties + 1
        believed = bool(result.buckets) or empties >= EMPTIES_TO_BELIEVE
        return Inventory(
            found=result.buckets if believed else self.found,
            last_success=now,
            empties=empties,
            skipped=result.skipped,
        )

    def next_wait(self, refresh_interval: float, timing: Timing) -> float:
        """Seconds until the next listing: fewer after a fault, or an empty one not yet believed."""
        if self.fault is not None:
            return min(timing.refusal_wait(self.failures - 1), refresh_interval)
        if 0 < self.empties < EMPTIES_TO_BELIEVE:
            return min(timing.poll_interval, refresh_interval)
        return refresh_interval


class Assignment(NamedTuple):
    """A bucket that is polled, and how often."""

    bucket: Bucket
    timing: Timing


class Roster(NamedTuple):
    """Every bucket that is polled, each by one account, and what lost."""

    assignments: tuple[Assignment, ...]
    losers: tuple[Bucket, ...]  # found, but another account polls them


def roster(accounts: Sequence[Account], inventories: Mapping[str, Inventory]) -> Roster:
    """Who polls what: by hand before found, then the order of the file."""
    assigned: dict[str, Assignment] = {}
    losers: list[Bucket] = []
    for account in accounts:
        for bucket in _listed(account, inventories.get(account.name)):
            assigned[bucket.id] = Assignment(bucket, account.timing)
    for account in accounts:
        for bucket in _found(account, inventories.get(account.name)):
            holder = assigned.setdefault(bucket.id, Assignment(bucket, account.timing))
            if holder.bucket.account != account.name:
                losers.append(bucket)
    return Roster(tuple(assigned.values()), tuple(losers))


def admitted(account: Account, inventory: Inventory) -> tuple[FoundBucket, ...]:
    """What was found and passes the account's filters."""
    if account.discovery is None:
        return ()
    return tuple(found for found in inventory.found if account.discovery.admits(found.name))


def _listed(account: Account, inventory: Inventory | None) -> Iterator[Bucket]:
    """The buckets by hand, with what was found out about them; filters are not for them."""
    known = {found.id: found for found in inventory.found} if inventory else {}
    for bucket in account.buckets:
        found = known.get(bucket.id)
        yield (
            bucket
            if found is None
            else replace(
                bucket,
                storage_type=found.storage_type,
                region=found.region,
                workspace_id=found.workspace_id,
            )
        )


def _found(account: Account, inventory: Inventory | None) -> Iterator[Bucket]:
    for found in admitted(account, inventory) if inventory else ():
        yield Bucket(
            account=account.name,
            id=found.id,
            name=found.name,
            storage_type=found.storage_type,
            region=found.region,
            workspace_id=found.workspace_id,
        )
