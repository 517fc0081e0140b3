"""Which shard polls a bucket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.polling.sharding import Shard, owner, pod_ordinal

IDS = [f"65f1c0ff{number:06x}" for number in range(6000)]


@given(st.text(), st.integers(1, 12))
def test_each_bucket_has_exactly_one_shard(bucket_id: str, total: int) -> None:
    """Every bucket id is owned by exactly one shard."""
    owners = [ordinal for ordinal in range(total) if Shard(ordinal, total).owns(bucket_id)]
    assert owners == [owner(bucket_id, total)]


@pytest.mark.parametrize("total", [2, 3, 4, 8])
def test_work_is_balanced(total: int) -> None:
    """Each shard's number of buckets is within 10% of an equal share."""
    share = len(IDS) / total
    counts = [sum(Shard(ordinal, total).owns(each) for each in IDS) for ordinal in range(total)]
    assert sum(counts) == len(IDS)
    assert all(0.9 * share < count < 1.1 * share for count in counts)


@pytest.mark.parametrize("total", [1, 2, 3, 7])
def test_few_buckets_move_when_a_shard_joins(total: int) -> None:
    """A new shard takes an equal share of the buckets, and none move between the other shards."""
    moved = [each for each in IDS if owner(each, total) != owner(each, total + 1)]
    assert {owner(each, total + 1) for each in moved} == {total}
    assert len(moved) == pytest.approx(len(IDS) / (total + 1), rel=0.1)


def test_owner_is_the_same_in_every_version() -> None:
    """The hash must not change: another one would move buckets between shards on upgrade."""
    assert [owner(each, 5) for each in IDS[:12]] == [owner(each, 5) for each in IDS[:12]]
    assert owner("65f1c0ffee", 3) == GOLDEN_OWNER


GOLDEN_OWNER = 0


@pytest.mark.parametrize(("ordinal", "total"), [(1, 1), (-1, 3), (3, 3), (0, 0)])
def test_shard_that_is_none_is_refused(ordinal: int, total: int) -> None:
    """An ordinal or a total that is out of range is an error."""
    with pytest.raises(ValueError, match=r"invalid shard ordinal|invalid number of shards"):
        Shard(ordinal, total)


@pytest.mark.parametrize(
    ("name", "ordinal"),
    [("flashback-exporter-0", 0), ("a-12", 12), ("a-3-7", 7), ("pod-4.svc.cluster.local", 4)],
)
def test_ordinal_from_a_pods_name(name: str, ordinal: int) -> None:
    """The ordinal is the number at the end of the StatefulSet pod's name."""
    assert pod_ordinal(name) == ordinal


@pytest.mark.parametrize("name", ["flashback", "pod-", "pod-x", "7", ""])
def test_name_without_an_ordinal_is_refused(name: str) -> None:
    """A host name that does not end in an ordinal is an error."""
    with pytest.raises(ValueError, match="does not end in an ordinal"):
        pod_ordinal(name)
