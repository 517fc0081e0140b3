"""What the bytes of a bucket listing mean: which buckets there are.

Pure. A listing carries access keys and secrets: nothing leaves here but what `FoundBucket` names.
"""

from __future__ import annotations

from exporter.model import Fault, FoundBucket, Reason
from exporter.upstream.parsing import MAX_LABEL_LENGTH, json_object, label_text, server_message

NO_SEGMENT = {".", ".."}
"""Ids that could not be asked for: they are normalised out of a path on the way."""


def listing(body: bytes) -> tuple[FoundBucket, ...] | Fault:
    """The buckets in the body of a 200, each id once; entries without a usable id are left out."""
    answer = json_object(body)
    entries = None if answer is None else answer.get("buckets")
    if answer is not None and answer.get("success") is False:
        return Fault(Reason.UNSUCCESSFUL, server_message(body) or "the listing says success: false")
    if not isinstance(entries, list):
        return Fault(Reason.MALFORMED, "the listing has no list of buckets")
    found: dict[str, FoundBucket] = {}
    for entry in entries:
        bucket_id = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(bucket_id, str) and _can_be_asked_for(bucket_id):
            found.setdefault(bucket_id, _found(bucket_id, entry))
    if entries and not found:
        return Fault(Reason.MALFORMED, "no entry of the listing has an id that can be used")
    return tuple(found.values())


def _can_be_asked_for(bucket_id: str) -> bool:
    """Whether it is an id that can stand in a path and, as it is, in a label."""
    return (
        0 < len(bucket_id) <= MAX_LABEL_LENGTH
        and bucket_id not in NO_SEGMENT
        and label_text(bucket_id) == bucket_id
    )


def _found(bucket_id: str, entry: dict[str, object]) -> FoundBucket:
    return FoundBucket(
        id=bucket_id,
        name=_text(entry, "name") or bucket_id,
        storage_type=_text(entry, "storageType"),
        region=_text(entry, "region"),
        workspace_id=_text(entry, "workspaceId"),
    )


def _text(entry: dict[str, object], key: str) -> str:
    value = entry.get(key)
    return label_text(value) if isinstance(value, str) else ""
