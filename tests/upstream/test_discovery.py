"""Which buckets discovery finds, and which account polls each bucket."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from exporter.config import Account, Discovery, TlsConfig
from exporter.model import ApiError, Bucket, Instant, Reason, Timing
from exporter.upstream.discovery import DiscoveryState, FoundBucket, ListResponse, assign, filtered
from tests.harness.fakes import NOON, after

START = Instant(NOON, 1000.0)
DOWN = ApiError(Reason.CONNECT, "down")


def found(bucket_id: str, name: str | None = None) -> FoundBucket:
    """An entry of a list response."""
    return FoundBucket(bucket_id, name or bucket_id, "S3", "eu", "w1")


def account(
    name: str, *by_hand: str, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()
) -> Account:
    """An account with discovery and these configured buckets."""
    return Account(
        name=name,
        base_url="https://api.example",
        credentials=SecretStr("t"),
        timing=Timing(),
        buckets=tuple(Bucket(name, each, f"my {each}", {"team": "x"}) for each in by_hand),
        tls=TlsConfig(None, None, None, None, None, insecure_skip_verify=False),
        proxy_url=None,
        no_proxy=None,
        proxy_from_environment=False,
        discovery=Discovery(
            workspace_id=None,
            refresh_interval=600.0,
            include=tuple(map(re.compile, include)),
            exclude=tuple(map(re.compile, exclude)),
        ),
    )


def listing(*ids: str) -> ListResponse:
    """A list response with these buckets."""
    return ListResponse(tuple(map(found, ids)))


def listed(*ids: str) -> DiscoveryState:
    """The discovery state after one list response with these buckets."""
    return DiscoveryState().after(listing(*ids), START)


def polled(*accounts: Account, **discovery_states: DiscoveryState) -> dict[str, str]:
    """Which account polls which bucket."""
    return {
        each.bucket.id: each.bucket.account
        for each in assign(accounts, discovery_states).assignments
    }


def test_listing_replaces_what_was_found() -> None:
    """A list response adds new buckets and removes missing ones."""
    discovery_state = listed("a", "b").after(listing("b", "c"), after(START, 600))
    assert [each.id for each in discovery_state.found] == ["b", "c"]
    assert discovery_state.last_success == after(START, 600)


def test_fault_keeps_the_last_list() -> None:
    """A failed list request keeps the buckets of the last good one."""
    discovery_state = listed("a").after(DOWN, after(START, 600))
    assert [each.id for each in discovery_state.found] == ["a"]
    assert discovery_state.error == DOWN
    assert discovery_state.last_success == START
    assert discovery_state.after(listing("a"), after(START, 660)).error is None


def test_empty_list_must_come_twice() -> None:
    """An empty list response removes buckets only if the next one is empty too."""
    discovery_state = listed("a").after(listing(), START)
    assert [each.id for each in discovery_state.found] == ["a"]
    assert discovery_state.after(listing(), START).found == ()
    interrupted = discovery_state.after(listing("a"), START).after(listing(), START)
    assert [each.id for each in interrupted.found] == ["a"]


def test_what_a_listing_skips_is_known_until_the_next_good_one() -> None:
    """The number of skipped entries stays until the next good list response."""
    discovery_state = DiscoveryState().after(ListResponse((found("a"),), skipped=3), START)
    assert discovery_state.skipped == 3
    assert discovery_state.after(DOWN, START).skipped == 3
    assert discovery_state.after(listing("a"), START).skipped == 0


def test_waits_between_listings() -> None:
    """Discovery repeats per refresh_interval, and sooner after a failure or an empty list."""
    good = listed("a")
    assert good.next_wait(600, Timing()) == 600
    assert good.after(listing(), START).next_wait(600, Timing()) == 60
    assert good.after(listing(), START).after(listing(), START).next_wait(600, Timing()) == 600
    waits = []
    for _ in range(4):
        good = good.after(DOWN, START)
        waits.append(good.next_wait(600, Timing()))
    assert waits == [60, 120, 240, 300]
    assert good.next_wait(30, Timing()) == 30


def test_filters_are_on_the_name() -> None:
    """The include and exclude filters are applied to the names of discovered buckets."""
    chosen = account("a", include=("media-.*", "backup"), exclude=(".*-test",))
    names = ("media-eu", "media-test", "backup", "backups")
    discovery_state = DiscoveryState().after(
        ListResponse(tuple(found(f"id-{name}", name) for name in names)), START
    )
    assert [each.name for each in filtered(chosen, discovery_state)] == ["media-eu", "backup"]
    assert set(polled(chosen, a=discovery_state)) == {"id-media-eu", "id-backup"}


def test_buckets_by_hand_bypass_the_filters_and_take_what_was_found() -> None:
    """Configured buckets ignore the filters; discovery adds their type, region and workspace."""
    mine = account("a", "b1", "b2", exclude=(".*",))
    one, two = assign([mine], {"a": listed("b1", "b3")}).assignments
    assert one.bucket == Bucket("a", "b1", "my b1", {"team": "x"}, "S3", "eu", "w1")
    assert two.bucket == Bucket("a", "b2", "my b2", {"team": "x"})


def test_by_hand_comes_before_found_and_then_the_order_of_the_file() -> None:
    """A bucket of several accounts is polled by the one that configures it, else the first."""
    first, second, third = account("first"), account("second", "shared"), account("third")
    discovery_states = {
        "first": listed("shared", "found"),
        "second": listed("found"),
        "third": listed("found", "own"),
    }
    assigned = assign([first, second, third], discovery_states)
    assert {each.bucket.id: each.bucket.account for each in assigned.assignments} == {
        "shared": "second",
        "found": "first",
        "own": "third",
    }
    assert [(each.id, each.account) for each in assigned.conflicts] == [
        ("shared", "first"),
        ("found", "second"),
        ("found", "third"),
    ]


def test_nothing_is_found_before_the_first_listing() -> None:
    """Before the first list response only configured buckets are polled."""
    assert polled(account("a", "b1")) == {"b1": "a"}


@given(st.lists(st.lists(st.sampled_from("abcdef"), unique=True), min_size=1, max_size=4))
def test_every_bucket_is_polled_by_exactly_one_account(lists: list[list[str]]) -> None:
    """Every discovered bucket is polled by exactly one account."""
    accounts = [account(f"a{number}") for number in range(len(lists))]
    discovery_states = {f"a{number}": listed(*ids) for number, ids in enumerate(lists)}
    assigned = assign(accounts, discovery_states)
    ids = [each.bucket.id for each in assigned.assignments]
    assert sorted(ids) == sorted({each for ids in lists for each in ids})
    assert len(ids) + len(assigned.conflicts) == sum(map(len, lists))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_refused_listings_wait_ever_longer(count: int) -> None:
    """The wait after failures doubles, up to recheck_interval."""
    discovery_state = DiscoveryState()
    for _ in range(count + 1):
        discovery_state = discovery_state.after(DOWN, START)
    assert discovery_state.next_wait(600, Timing()) == min(60 * 2**count, 300)
