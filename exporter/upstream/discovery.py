"""Which buckets an account has, as far as its listings tell, and which account polls a bucket.

Pure: a listing goes in, what is known comes out. Who asks, and when, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from exporter.config import Account
from exporter.model import ApiError, Bucket, FoundBucket, Instant, Listing, Timing

EMPTIES_TO_BELIEVE = 2
"""An empty listing is believed when it comes this often in a row: it may be a fault upstream."""


@dataclass(frozen=True, slots=True)
class DiscoveryState:
    """What an account's listings have told so far."""

    found: tuple[FoundBucket, ...] = ()
    last_success: Instant | None = None
    fault: ApiError | None = None  # of the newest listing
    failures: int = 0  # in a row
    empties: int = 0  # in a row
    skipped: int = 0  # entries of the newest good listing that name no bucket that can be polled

    def after(self, result: Listing | ApiError, now: Instant) -> DiscoveryState:
        """What is known once a listing has ended like this; a fault keeps what was found."""
        if isinstance(result, ApiError):
            return replace(self, fault=result, failures=self.failures + 1)
        empties = 0 if result.buckets else self.empties + 1
        believed = bool(result.buckets) or empties >= EMPTIES_TO_BELIEVE
        return DiscoveryState(
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


class Assignments(NamedTuple):
    """Every bucket that is polled, each by one account, and what lost."""

    assignments: tuple[Assignment, ...]
    conflicts: tuple[Bucket, ...]  # found, but another account polls them


def assign(
    accounts: Sequence[Account], discovery_states: Mapping[str, DiscoveryState]
) -> Assignments:
    """Who polls what: by hand before found, then the order of the file."""
    assigned: dict[str, Assignment] = {}
    conflicts: list[Bucket] = []
    for account in accounts:
        for bucket in _listed(account, discovery_states.get(account.name)):
            assigned[bucket.id] = Assignment(bucket, account.timing)
    for account in accounts:
        for bucket in _found(account, discovery_states.get(account.name)):
            holder = assigned.setdefault(bucket.id, Assignment(bucket, account.timing))
            if holder.bucket.account != account.name:
                conflicts.append(bucket)
    return Assignments(tuple(assigned.values()), tuple(conflicts))


def filtered(account: Account, discovery_state: DiscoveryState) -> tuple[FoundBucket, ...]:
    """What was found and passes the account's filters."""
    if account.discovery is None:
        return ()
    return tuple(found for found in discovery_state.found if account.discovery.includes(found.name))


def _listed(account: Account, discovery_state: DiscoveryState | None) -> Iterator[Bucket]:
    """The buckets by hand, with what was found out about them; filters are not for them."""
    known = {found.id: found for found in discovery_state.found} if discovery_state else {}
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


def _found(account: Account, discovery_state: DiscoveryState | None) -> Iterator[Bucket]:
    for found in filtered(account, discovery_state) if discovery_state else ():
        yield Bucket(
            account=account.name,
            id=found.id,
            name=found.name,
            storage_type=found.storage_type,
            region=found.region,
            workspace_id=found.workspace_id,
        )
