"""Which buckets the filters in a query select."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import MAX_LABEL_LENGTH, Bucket, BucketState, Timing
from exporter.status.filters import PAGE_SIZE, Filter, Page
from exporter.status.snapshot import BucketStatus
from exporter.status.state import Health, Totals
from tests.harness.fakes import after, bucket, failure, node, reading
from tests.status.snapshots import START, STATUSES, bucket_status, ranked

UP = bucket_status(
    Bucket("main", "65f1", "Media-EU", {"team": "studio"}, "S3", "eu-west"),
    BucketState(START).after(reading(START, node("*-aws", status="ONLINE")), Timing()),
)
DEGRADED = bucket_status(
    bucket("b2", "other"),
    BucketState(START).after(
        reading(START, node("h", status="OFFLINE"), node("i", status="odd"), node("j")), Timing()
    ),
)
FAILING = bucket_status(bucket("b3"), BucketState(START).after(failure(START), Timing()))
ALL = (UP, DEGRADED, FAILING)


def chosen(query: dict[str, str], seconds: float = 0.0) -> tuple[BucketStatus, ...]:
    """The buckets that a query selects some seconds after START."""
    now, chosen, totals = after(START, seconds), Filter.of(query), Totals()
    return tuple(
        each
        for each in ALL
        if chosen.matches(totals.add(each, now.monotonic), now.monotonic, STATUSES)
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ALL),
        ({"state": "up"}, (UP,)),
        ({"state": "failing"}, (FAILING,)),
        ({"state": "nonsense"}, ALL),
        ({"account": "other"}, (DEGRADED,)),
        ({"account": "nobody"}, ()),
        ({"node": "ONLINE"}, (UP,)),
        ({"node": "OFFLINE"}, (DEGRADED,)),
        ({"node": "UNKNOWN"}, (DEGRADED,)),
        ({"node": "DISCONNECTED"}, ()),
        ({"node": "not-online"}, (DEGRADED,)),
        ({"q": "media"}, (UP,)),
        ({"q": " 65F1 "}, (UP,)),
        ({"q": "studio"}, (UP,)),
        ({"q": "eu-west"}, (UP,)),
        ({"q": "*-aws"}, (UP,)),
        ({"q": "192.0.2.1"}, (UP, DEGRADED)),
        ({"q": "because of TIMEOUT"}, (FAILING,)),
        ({"q": "name of", "state": "degraded"}, (DEGRADED,)),
        ({"q": "\udc80"}, ()),
        ({"page": "2"}, ALL),
    ],
)
def test_filters(query: dict[str, str], expected: tuple[BucketStatus, ...]) -> None:
    """A filter selects the buckets that match it; several filters, those that match all."""
    assert chosen(query) == expected


def test_stale_nodes_are_not_found() -> None:
    """Nodes of a stale bucket are found neither by search nor by filter."""
    assert chosen({"q": "*-aws"}, Timing().stale_after) == ()
    assert chosen({"node": "not-online"}, Timing().stale_after) == ()


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("7", 7), ("0", 1), ("-1", 1), ("x", 1), ("", 1), ("²", 1), ("9" * 5000, 1)],
)
def test_page_numbers(text: str, number: int) -> None:
    """An invalid page number means the first page."""
    assert Filter.of({"page": text}).page == number


def test_searches_are_bounded() -> None:
    """A search text is cut to the longest length of a label value."""
    assert len(Filter.of({"q": "x" * 10_000}).search) == MAX_LABEL_LENGTH


@given(
    st.sampled_from([None, *Health]),
    st.text(max_size=20),
    st.text(max_size=20),
    st.integers(1, 99),
)
def test_queries_survive_the_way_through_an_address(
    state: Health | None, account: str, search: str, page: int
) -> None:
    """A filter that is written to a query string and parsed again is the same."""
    chosen = Filter.of({"state": state or "", "account": account, "q": search, "node": "x"})
    query = {name: values[0] for name, values in parse_qs(chosen.query(page)).items()}
    again = Filter.of(query)
    assert again.query(page) == chosen.query(page)
    assert again.page == page
    assert not again.is_everything


def test_page_number_is_no_filter() -> None:
    """A page number alone is not a filter."""
    assert Filter.of({"page": "3"}).is_everything
    assert Filter().query(1) == ""
    assert Filter().query(3) == "page=3"


@pytest.mark.parametrize(
    ("matches", "asked", "number", "count", "length"),
    [
        (0, 1, 1, 1, 0),
        (1, 5, 1, 1, 1),
        (PAGE_SIZE, 1, 1, 1, PAGE_SIZE),
        (PAGE_SIZE + 1, 2, 2, 2, 1),
        (PAGE_SIZE * 3, 2, 2, 3, PAGE_SIZE),
    ],
)
def test_pages(matches: int, asked: int, number: int, count: int, length: int) -> None:
    """A page has at most PAGE_SIZE buckets, and a number beyond the end means the last page."""
    page = Page.of([ranked(UP)] * matches, asked)
    assert (page.number, page.count, page.matches, len(page.ranked)) == (
        number,
        count,
        matches,
        length,
    )
