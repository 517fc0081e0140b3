"""The API's clock skew, calculated from the Date header of its responses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate

import httpx
import pytest
import respx
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.model import FailedPoll, Instant, Reason
from exporter.upstream.server_info import ResponseHead, ServerInfo, http_date
from tests.harness.fakes import NOON
from tests.upstream.test_client import BASE, GOOD, World, answers

WEEK = 7 * 86400.0
RECEIVED = Instant(NOON, 1000.0)
TEN_AHEAD = formatdate(NOON + 10, usegmt=True)


@pytest.fixture
def router() -> respx.Router:
    """An API without any responses yet."""
    return respx.Router(assert_all_called=False)


def skew(world: World) -> float | None:
    """The current clock skew, from a response of any age."""
    return world.requester.server_info.clock_skew(world.clock.monotonic(), WEEK)


def dated(
    world: World, seconds: float, *, after: float = 0.0, **headers: str
) -> Callable[[httpx.Request], Awaitable[httpx.Response]]:
    """A response after `after` seconds, whose Date is `seconds` ahead."""

    async def answer(_request: httpx.Request) -> httpx.Response:
        if after:
            await world.clock.sleep(after)
        date = formatdate(world.clock.now().wall + seconds, usegmt=True)
        return httpx.Response(200, json={**GOOD, "buckets": []}, headers={"Date": date, **headers})

    return answer


@pytest.mark.parametrize("ahead", [0, 180, -7200])
async def test_skew_is_what_the_date_says(router: respx.Router, ahead: int) -> None:
    """Skew is Date plus half a second, minus the local time in the middle of the round trip."""
    world = World(router)
    answers(router, dated(world, ahead, after=3.0))
    await world.poll()
    assert skew(world) == ahead + 0.5 + 1.5


async def test_slow_body_is_no_part_of_the_round_trip(router: respx.Router) -> None:
    """The skew is calculated when the headers arrive, so a slow body does not change it."""
    world = World(router)

    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await world.clock.sleep(60)
            yield b"{}"

    answers(router, httpx.Response(200, headers={"Date": TEN_AHEAD}, stream=Slow()))
    result = await world.poll()
    assert isinstance(result, FailedPoll)
    assert result.error.reason is Reason.TIMEOUT
    assert skew(world) == 10.5


async def test_newest_answer_counts_whatever_the_call(router: respx.Router) -> None:
    """Every response updates the skew: polls, discovery and errors."""
    world = World(router)
    refusal = httpx.Response(404, headers={"Date": formatdate(NOON + 90, usegmt=True)})
    answers(router, dated(world, 20), refusal)
    router.get(f"{BASE}/bucket").side_effect = dated(world, 30)
    await world.poll(within=0)
    assert skew(world) == 20.5
    await world.client.buckets(None)
    assert skew(world) == 30.5
    await world.poll(within=0)
    assert skew(world) == 90.5


async def test_answer_without_a_date_says_nothing(router: respx.Router) -> None:
    """A response without a Date clears the skew."""
    world = World(router)
    answers(router, dated(world, 20), httpx.Response(200, json=GOOD))
    await world.poll()
    await world.poll()
    assert skew(world) is None


async def test_no_answer_says_nothing_new(router: respx.Router) -> None:
    """A failed request keeps the last skew until it is too old."""
    world = World(router)
    answers(router, dated(world, 20), *[httpx.ConnectError("refused")] * 3)
    await world.poll(within=0)
    await world.poll(within=50)
    info, now = world.requester.server_info, world.clock.monotonic()
    assert info.clock_skew(now, 50) == 20.5
    assert info.clock_skew(now, 49) is None


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Mon, 15 Jan 2024 12:00:10 GMT", 10.5),
        ("Monday, 15-Jan-24 12:00:10 GMT", 10.5),
        ("Mon Jan 15 12:00:10 2024", 10.5),
        ("Mon, 15 Jan 2024 13:00:10 +0100", 10.5),
        ("", None),
        ("yesterday", None),
        ("Mon, 15 Jan 2024 25:00:10 GMT", None),
        ("Mon, 32 Jan 2024 12:00:10 GMT", None),
        ("1705320010", None),
        (None, None),
    ],
)
def test_dates_that_can_be_read(date: str | None, seconds: float | None) -> None:
    """All date formats of RFC 9110 are read; an invalid date clears the skew."""
    info = ServerInfo()
    info.note(ResponseHead(formatdate(NOON, usegmt=True), None), 0.0, RECEIVED)
    info.note(ResponseHead(date, None), 0.0, RECEIVED)
    assert info.clock_skew(RECEIVED.monotonic, WEEK) == seconds


@pytest.mark.parametrize(
    ("age", "seconds"),
    [("0", 10.5), (" 0 ", 10.5), ("1", 0.5), ("86400", 0.5), ("old", 0.5), ("0, 7", 0.5)],
)
def test_cache_in_between_tells_nothing(age: str, seconds: float) -> None:
    """A response with a non-zero Age comes from a cache, so its Date is not used."""
    info = ServerInfo()
    info.note(ResponseHead(formatdate(NOON, usegmt=True), None), 0.0, RECEIVED)
    info.note(ResponseHead(TEN_AHEAD, age), 0.0, RECEIVED)
    assert info.clock_skew(RECEIVED.monotonic, WEEK) == seconds


@given(st.binary().map(lambda header: header.decode("latin-1")))
@example("Jan 99999999999999999999 12:01 15-Jan-24")
def test_any_date_is_survived(header: str) -> None:
    """Any Date header is parsed without an exception."""
    moment = http_date(header)
    assert moment is None or abs(moment) < 1e12
