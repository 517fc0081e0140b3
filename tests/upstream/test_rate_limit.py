"""The rate limit on requests."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from exporter.upstream.rate_limit import TOLERANCE_SECONDS, RateLimiter
from tests.harness.fakes import FakeClock


async def test_requests_are_spaced_evenly() -> None:
    """At 10 requests a second, each waits until 0.1s after the one before."""
    clock = FakeClock()
    rate_limiter = RateLimiter(10, clock)
    left: list[float] = []

    async def send() -> None:
        await rate_limiter.acquire()
        left.append(clock.monotonic() - 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(send())
        await clock.advance(1)
    assert [round(moment, 2) for moment in left] == [0, 0.09, 0.19, 0.29]


async def test_quiet_times_are_no_credit() -> None:
    """Idle time is not saved up for a burst."""
    clock = FakeClock()
    rate_limiter = RateLimiter(10, clock)
    rate_limiter.reserve()
    await clock.advance(3600)
    assert rate_limiter.delay() == 0
    rate_limiter.reserve()
    assert rate_limiter.delay() > 0


@given(st.floats(0.1, 5000), st.lists(st.floats(0, 2), max_size=100))
def test_rate_holds_in_any_second(rate: float, pauses: list[float]) -> None:
    """In any second there are no more requests than the rate and its tolerance."""
    clock = FakeClock()
    rate_limiter = RateLimiter(rate, clock)
    left = []
    for pause in pauses:
        clock.move_to(clock.monotonic() + pause)
        left.append(clock.monotonic() + rate_limiter.reserve())
    for start in left:
        in_window = [moment for moment in left if start <= moment < start + 1]
        assert len(in_window) <= (1 + TOLERANCE_SECONDS) * rate + 1.001
