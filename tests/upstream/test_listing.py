"""What the bytes of a listing mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Fault, FoundBucket, Reason
from exporter.upstream.listing import listing

ENTRY = {
    "id": "b1",
    "name": "media-eu",
    "bucket": "media",
    "storageType": "S3",
    "region": "eu-central-1",
    "workspaceId": "w1",
    "accessKey": "AKIASECRET",
    "secretKey": "SECRET",
}


def found(*entries: object) -> tuple[FoundBucket, ...]:
    """What a listing with these entries tells."""
    result = listing(json.dumps({"success": True, "buckets": entries}).encode())
    assert not isinstance(result, Fault)
    return result


def test_only_what_is_needed_is_kept() -> None:
    """Of an entry nothing stays but what flashback_bucket_info shows: no key, no secret."""
    (bucket,) = found(ENTRY)
    assert bucket == FoundBucket("b1", "media-eu", "S3", "eu-central-1", "w1")
    assert "SECRET" not in repr(bucket)


def test_missing_fields_are_empty_and_the_name_is_the_id() -> None:
    """An entry needs no more than an id."""
    assert found({"id": "b1"}) == (FoundBucket("b1", "b1", "", "", ""),)
    odd = {"id": "b1", "name": None, "storageType": 5, "region": ["x"], "workspaceId": ""}
    assert found(odd) == (FoundBucket("b1", "b1", "", "", ""),)


@pytest.mark.parametrize(
    "bucket_id", ["", ".", "..", None, 5, "x" * 257, "a\0b", "a\ud800b"], ids=repr
)
def test_entries_that_cannot_be_asked_for_are_left_out(bucket_id: object) -> None:
    """An id that cannot stand in a path and a label as it is costs its own entry alone."""
    assert [each.id for each in found({**ENTRY, "id": bucket_id}, ENTRY, "entry", None)] == ["b1"]


def test_listing_without_any_usable_id_is_malformed() -> None:
    """Taken for an empty one it would drop every bucket of the account."""
    result = listing(json.dumps({"success": True, "buckets": [{"_id": "b1"}, 5]}).encode())
    assert isinstance(result, Fault)
    assert result.reason is Reason.MALFORMED


def test_each_id_counts_once() -> None:
    """Of two entries with one id the first counts."""
    assert [each.name for each in found(ENTRY, {**ENTRY, "name": "again"})] == ["media-eu"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", Reason.MALFORMED),
        (b"{}", Reason.MALFORMED),
        (b'{"success":true,"buckets":{}}', Reason.MALFORMED),
        (b'{"success":false,"buckets":[]}', Reason.UNSUCCESSFUL),
    ],
)
def test_what_is_no_listing_is_a_fault(body: bytes, reason: Reason) -> None:
    """Only a list counts; an answer without one is not an account without buckets."""
    result = listing(body)
    assert isinstance(result, Fault)
    assert result.reason is reason


@given(st.lists(st.dictionaries(st.sampled_from([*ENTRY]), st.text() | st.integers() | st.none())))
def test_any_entries_are_survived(entries: list[dict[str, object]]) -> None:
    """No listing raises, and every id that comes out is usable and unique."""
    ids = [each.id for each in found(ENTRY, *entries)]
    assert len(ids) == len(set(ids))
    assert all(ids)
