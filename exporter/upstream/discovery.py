"""Discovery of buckets: parses list responses, and decides which account polls which bucket.

Pure. A list response contains access keys and secrets, so nothing but the fields of `FoundBucket`
may leave this module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from exporter.config import Account
from exporter.model import MAX_LABEL_LENGTH, ApiError, Bucket, Instant, Reason, Timing
from exporter.upstream.events import Drift, DriftKind
from exporter.upstream.parsing import Parsed, label_text, parse_list


@dataclass(frozen=True, slots=True)
class FoundBucket:
    """A bucket in a list response. No other field of its entry may be kept."""

    id: str
    name: str
    storage_type: str
    region: str
    workspace_id: str


class ListResponse(NamedTuple):
    """The buckets of an account. `skipped` counts the entries that cannot be polled."""

    buckets: tuple[FoundBucket, ...]
    skipped: int = 0


MAX_ENTRIES = 100_000

MAX_LISTING_BYTES = MAX_ENTRIES * 1024
"""1 KiB per entry: 600 bytes of ids, names, endpoint and dates, the rest for access keys."""

TOO_LARGE = ApiError(
    Reason.TOO_LARGE,
    f"the bucket list has more than {MAX_ENTRIES} entries or {MAX_LISTING_BYTES} bytes:"
    " list one workspace (discovery.workspace_id) per account",
)

DOT_SEGMENTS = {".", ".."}
"""Ids that cannot be requested: URL normalisation removes them from a path."""


def parse_listing(body: bytes) -> Parsed[ListResponse]:
    """Parse the body of a 200. Each id appears once; entries without a usable id are skipped.

    If there are entries, but none with a usable id, the body is MALFORMED, not an empty list.
    """
    drift: Counter[Drift] = Counter()
    return Parsed(parse_list(body, "buckets", lambda found: _listing(found, drift), drift), drift)


def _listing(entries: Iterable[object], drift: Counter[Drift]) -> ListResponse | ApiError:
    found: dict[str, FoundBucket] = {}
    skipped = 0
    for number, entry in enumerate(entries):
        if number == MAX_ENTRIES:
            return TOO_LARGE
        bucket = _entry_to_bucket(entry, drift)
        if bucket is None:
            skipped += 1
        else:
            found.setdefault(bucket.id, bucket)
    if skipped and not found:
        return ApiError(
            Reason.MALFORMED, f"none of the {skipped} entries in the bucket list has a valid id"
        )
    return ListResponse(tuple(found.values()), skipped)


def _entry_to_bucket(entry: object, drift: Counter[Drift]) -> FoundBucket | None:
    if not isinstance(entry, dict):
        drift[Drift(DriftKind.WRONG_TYPE, "buckets")] += 1
        return None
    bucket_id = entry.get("id")
    if not isinstance(bucket_id, str) or not _is_valid_id(bucket_id):
        drift[Drift(_kind_of_bad_id(bucket_id), "id")] += 1
        return None
    return FoundBucket(
        id=bucket_id,
        name=_text(entry, "name", drift) or bucket_id,
        storage_type=_text(entry, "storageType", drift),
        region=_text(entry, "region", drift),
        workspace_id=_text(entry, "workspaceId", drift),
    )


def _is_valid_id(bucket_id: str) -> bool:
    """Whether the id can be used in a URL path and, unchanged, as a label value."""
    return (
        0 < len(bucket_id) <= MAX_LABEL_LENGTH
        and bucket_id not in DOT_SEGMENTS
        and label_text(bucket_id) == bucket_id
    )


def _kind_of_bad_id(value: object) -> DriftKind:
    if value is None or value == "":
        return DriftKind.MISSING_FIELD
    return DriftKind.OUT_OF_RANGE if isinstance(value, str) else DriftKind.WRONG_TYPE


def _text(entry: dict[str, object], key: str, drift: Counter[Drift]) -> str:
    value = entry.get(key)
    if isinstance(value, str):
        return label_text(value)
    if value is not None:
        drift[Drift(DriftKind.WRONG_TYPE, key)] += 1
    return ""


EMPTY_RESPONSES_TO_ACCEPT = 2
"""Consecutive empty list responses until one is accepted: the first may be an API error."""


@dataclass(frozen=True, slots=True)
class DiscoveryState:
    """What discovery has found for an account."""

    found: tuple[FoundBucket, ...] = ()
    last_success: Instant | None = None
    error: ApiError | None = None  # of the newest list request
    failures: int = 0  # in a row
    empty_responses: int = 0  # in a row
    skipped: int = 0  # entries of the newest good list response that cannot be polled

    def after(self, result: ListResponse | ApiError, now: Instant) -> DiscoveryState:
        """The state after a list request. An error keeps the buckets that were found before."""
        if isinstance(result, ApiError):
            return replace(self, error=result, failures=self.failures + 1)
        empty_responses = 0 if result.buckets else self.empty_responses + 1
        believed = bool(result.buckets) or empty_responses >= EMPTY_RESPONSES_TO_ACCEPT
        return DiscoveryState(
            found=result.buckets if believed else self.found,
            last_success=now,
            empty_responses=empty_responses,
            skipped=result.skipped,
        )

    def next_wait(self, refresh_interval: float, timing: Timing) -> float:
        """Seconds until the next list request: fewer after an error or a first empty response."""
        if self.error is not None:
            return min(timing.refusal_wait(self.failures - 1), refresh_interval)
        if 0 < self.empty_responses < EMPTY_RESPONSES_TO_ACCEPT:
            return min(timing.poll_interval, refresh_interval)
        return refresh_interval


class Assignment(NamedTuple):
    """A bucket that is polled, and its timing."""

    bucket: Bucket
    timing: Timing


class Assignments(NamedTuple):
    """All buckets that are polled, and the conflicts. Each bucket is polled by one account."""

    assignments: tuple[Assignment, ...]
    conflicts: tuple[Bucket, ...]  # discovered, but another account polls them


def assign(
    accounts: Sequence[Account], discovery_states: Mapping[str, DiscoveryState]
) -> Assignments:
    """Assign each bucket to one account: first static, then discovered ones, in account order."""
    assigned: dict[str, Assignment] = {}
    conflicts: list[Bucket] = []
    for account in accounts:
        for bucket in _configured(account, discovery_states.get(account.name)):
            assigned[bucket.id] = Assignment(bucket, account.timing)
    for account in accounts:
        for bucket in _found(account, discovery_states.get(account.name)):
            holder = assigned.setdefault(bucket.id, Assignment(bucket, account.timing))
            if holder.bucket.account != account.name:
                conflicts.append(bucket)
    return Assignments(tuple(assigned.values()), tuple(conflicts))


def filtered(account: Account, discovery_state: DiscoveryState) -> tuple[FoundBucket, ...]:
    """The discovered buckets that pass the account's filters."""
    if account.discovery is None:
        return ()
    return tuple(found for found in discovery_state.found if account.discovery.includes(found.name))


def _configured(account: Account, discovery_state: DiscoveryState | None) -> Iterator[Bucket]:
    """The static buckets, with details from discovery. Filters do not apply to them."""
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
