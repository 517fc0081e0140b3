"""Parsing of the list response."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import ApiError, Reason
from exporter.upstream.discovery import (
    MAX_ENTRIES,
    MAX_LISTING_BYTES,
    TOO_LARGE,
    FoundBucket,
    ListResponse,
    parse_listing,
)
from exporter.upstream.events import POSSIBLE_DRIFT, Drift, DriftKind
from exporter.upstream.json_reader import LARGE_BODY
from exporter.upstream.parsing import Parsed

PADDING = " " * LARGE_BODY * 2
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


def parse(*entries: object, **fields: object) -> Parsed[ListResponse]:
    """Parse a list response with these entries."""
    return parse_listing(json.dumps({"success": True, **fields, "buckets": entries}).encode())


def found(*entries: object) -> tuple[FoundBucket, ...]:
    """The buckets of a good list response."""
    result = parse(*entries).result
    assert isinstance(result, ListResponse)
    return result.buckets


def test_only_what_is_needed_is_kept() -> None:
    """Only the fields of flashback_bucket_info are kept, so no access key or secret."""
    (bucket,) = found(ENTRY)
    assert bucket == FoundBucket("b1", "media-eu", "S3", "eu-central-1", "w1")
    assert "SECRET" not in repr(bucket)


def test_missing_fields_are_empty_and_the_name_is_the_id() -> None:
    """Only the id of an entry is required; the name defaults to it, other fields to empty."""
    assert found({"id": "b1"}) == (FoundBucket("b1", "b1", "", "", ""),)
    odd = {"id": "b1", "name": None, "storageType": 5, "region": ["x"], "workspaceId": ""}
    assert found(odd) == (FoundBucket("b1", "b1", "", "", ""),)


@pytest.mark.parametrize(
    ("entry", "kind", "field"),
    [
        ({"name": "x"}, DriftKind.MISSING_FIELD, "id"),
        ({"id": None}, DriftKind.MISSING_FIELD, "id"),
        ({"id": ""}, DriftKind.MISSING_FIELD, "id"),
        ({"id": 5}, DriftKind.WRONG_TYPE, "id"),
        ({"id": "."}, DriftKind.OUT_OF_RANGE, "id"),
        ({"id": ".."}, DriftKind.OUT_OF_RANGE, "id"),
        ({"id": "x" * 257}, DriftKind.OUT_OF_RANGE, "id"),
        ({"id": "a\0b"}, DriftKind.OUT_OF_RANGE, "id"),
        ({"id": "a\ud800b"}, DriftKind.OUT_OF_RANGE, "id"),
        ("entry", DriftKind.WRONG_TYPE, "buckets"),
        (None, DriftKind.WRONG_TYPE, "buckets"),
    ],
    ids=repr,
)
def test_entries_that_cannot_be_asked_for_are_skipped_and_counted(
    entry: object, kind: DriftKind, field: str
) -> None:
    """An entry whose id is unusable is skipped and counted; the other entries are kept."""
    parsed = parse(entry, ENTRY, entry)
    assert isinstance(parsed.result, ListResponse)
    assert [each.id for each in parsed.result.buckets] == ["b1"]
    assert parsed.result.skipped == 2
    assert parsed.drift == {Drift(kind, field): 2}


@pytest.mark.parametrize("field", ["name", "storageType", "region", "workspaceId"])
def test_text_that_is_none_is_left_out_and_counted(field: str) -> None:
    """A text field of the wrong type becomes empty and is counted as drift; null is not drift."""
    parsed = parse({**ENTRY, field: 5}, {**ENTRY, field: None})
    assert parsed.drift == {Drift(DriftKind.WRONG_TYPE, field): 1}


def test_listing_without_any_usable_id_is_malformed() -> None:
    """If no entry has a valid id the response is malformed, so the account keeps its buckets."""
    parsed = parse({"_id": "b1"}, 5)
    assert parsed.result == ApiError(
        Reason.MALFORMED, "none of the 2 entries in the bucket list has a valid id"
    )
    assert parsed.drift.total() == 2


def test_empty_listing_is_a_listing() -> None:
    """An empty list response is valid."""
    assert parse().result == ListResponse(())


def test_entries_are_read_up_to_a_limit() -> None:
    """A list with more than MAX_ENTRIES entries is too large, and parsing stops there."""
    entries = ",".join(['{"id":"b1"}'] * MAX_ENTRIES)
    assert parse_listing(f'{{"buckets":[{entries}]}}'.encode()).result == ListResponse(
        (FoundBucket("b1", "b1", "", "", ""),)
    )
    assert parse_listing(f'{{"buckets":[{entries},5,{PADDING}?'.encode()).result == TOO_LARGE
    empty = ",".join(["{}"] * (MAX_ENTRIES + 1))
    assert parse_listing(f'{{"buckets":[{empty},{PADDING}?'.encode()).result == TOO_LARGE


def test_honest_listing_fits_into_its_bytes() -> None:
    """MAX_ENTRIES entries with long values fit into MAX_LISTING_BYTES."""
    entry = {
        **ENTRY,
        "id": "x" * 36,
        "name": "n" * 63,
        "bucket": "n" * 63,
        "endpoint": "e" * 80,
        "status": "ok",
        "createdAt": "2024-01-15T00:00:00.000Z",
        "workspaceId": "x" * 36,
        "accessKey": "k" * 128,
        "secretKey": "s" * 300,
    }
    assert len(json.dumps(entry)) * MAX_ENTRIES < MAX_LISTING_BYTES


def test_each_id_counts_once() -> None:
    """Of entries with the same id, the first is used."""
    assert [each.name for each in found(ENTRY, {**ENTRY, "name": "again"})] == ["media-eu"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", Reason.MALFORMED),
        (b"{}", Reason.MALFORMED),
        (b'{"success":true,"buckets":{}}', Reason.MALFORMED),
        (b'{"success":"yes","buckets":[]}', Reason.MALFORMED),
        (b'{"success":false,"buckets":[]}', Reason.UNSUCCESSFUL),
    ],
)
def test_what_is_no_listing_is_a_fault(body: bytes, reason: Reason) -> None:
    """A body without a list of buckets is an error, not an empty list."""
    for size in (0, LARGE_BODY):
        result = parse_listing(body + b" " * size).result
        assert isinstance(result, ApiError)
        assert result.reason is reason


def test_texts_of_a_listing_end_no_line_but_at_lf() -> None:
    """Line separators other than LF are replaced, as some parsers would break the label there."""
    odd = "a\r\v\x1c\x85\u2028b"
    (bucket,) = found(
        {"id": "b1", "name": odd, "storageType": odd, "region": odd, "workspaceId": odd}
    )
    replaced = "a" + "\ufffd" * 5 + "b"
    assert bucket == FoundBucket("b1", replaced, replaced, replaced, replaced)


@given(st.lists(st.dictionaries(st.sampled_from([*ENTRY]), st.text() | st.integers() | st.none())))
def test_any_entries_are_survived(entries: list[dict[str, object]]) -> None:
    """Any list response is parsed without an exception, and its ids are valid and unique."""
    parsed = parse(ENTRY, *entries)
    assert isinstance(parsed.result, ListResponse)
    ids = [each.id for each in parsed.result.buckets]
    assert len(ids) == len(set(ids))
    assert all(ids)
    assert parsed.drift.keys() <= set(POSSIBLE_DRIFT)
