"""What the bytes of a bucket listing mean: which buckets there are.

Pure. A listing carries access keys and secrets: nothing leaves here but what `FoundBucket` names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from exporter.model import ApiError, FoundBucket, Listing, Reason
from exporter.upstream.events import Drift, DriftKind
from exporter.upstream.parsing import MAX_LABEL_LENGTH, Parsed, label_text, parse_list

MAX_ENTRIES = 100_000

MAX_LISTING_BYTES = MAX_ENTRIES * 1024
"""A KiB for each entry: some 600 bytes of ids, names, endpoint and dates, the rest for its keys."""

TOO_LARGE = ApiError(
    Reason.TOO_LARGE,
    f"the listing has more than {MAX_ENTRIES} entries or {MAX_LISTING_BYTES} bytes:"
    " list one workspace (discovery.workspace_id) per account",
)

NO_SEGMENT = {".", ".."}
"""Ids that could not be asked for: they are normalised out of a path on the way."""


def parse_listing(body: bytes) -> Parsed[Listing]:
    """The buckets in the body of a 200, each id once; entries without a usable id are skipped.

    A listing of nothing but such entries is MALFORMED: it does not say that there are no buckets.
    """
    drift: Counter[Drift] = Counter()
    return Parsed(parse_list(body, "buckets", lambda found: _listing(found, drift), drift), drift)


def _listing(entries: Iterable[object], drift: Counter[Drift]) -> Listing | ApiError:
    found: dict[str, FoundBucket] = {}
    skipped = 0
    for number, entry in enumerate(entries):
        if number == MAX_ENTRIES:
            return TOO_LARGE
        bucket = _found(entry, drift)
        if bucket is None:
            skipped += 1
        else:
            found.setdefault(bucket.id, bucket)
    if skipped and not found:
        return ApiError(
            Reason.MALFORMED, f"none of the listing's {skipped} entries has a usable id"
        )
    return Listing(tuple(found.values()), skipped)


def _found(entry: object, drift: Counter[Drift]) -> FoundBucket | None:
    if not isinstance(entry, dict):
        drift[Drift(DriftKind.WRONG_TYPE, "buckets")] += 1
        return None
    bucket_id = entry.get("id")
    if not isinstance(bucket_id, str) or not _can_be_asked_for(bucket_id):
        drift[Drift(_kind_of_bad_id(bucket_id), "id")] += 1
        return None
    return FoundBucket(
        id=bucket_id,
        name=_text(entry, "name", drift) or bucket_id,
        storage_type=_text(entry, "storageType", drift),
        region=_text(entry, "region", drift),
        workspace_id=_text(entry, "workspaceId", drift),
    )


def _can_be_asked_for(bucket_id: str) -> bool:
    """Whether it is an id that can stand in a path and, as it is, in a label."""
    return (
        0 < len(bucket_id) <= MAX_LABEL_LENGTH
        and bucket_id not in NO_SEGMENT
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
