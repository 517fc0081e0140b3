"""The virtual loop, and the harness that runs on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest

from exporter.blocking import in_thread
from tests.harness.fakes import NOON
from tests.harness.stack import running
from tests.harness.virtual_loop import StuckError, VirtualClock, VirtualLoop

pytestmark = pytest.mark.virtual_time

MONTH = 30 * 86400.0


async def test_a_month_passes_at_once_and_in_order() -> None:
    """Timers fire in order, each at its own time."""
    loop = asyncio.get_running_loop()
    fired: list[tuple[float, float]] = []
    start = loop.time()

    def fire(due: float) -> None:
        fired.append((due, loop.time() - start))

    for seconds in (MONTH, 0.001, 60.0):
        loop.call_later(seconds, fire, seconds)
    await asyncio.sleep(MONTH + 1)
    assert [due for due, _ in fired] == [0.001, 60.0, MONTH]
    assert all(at == pytest.approx(due, abs=1e-6) for due, at in fired)
    assert loop.time() - start == pytest.approx(MONTH + 1)


@pytest.mark.parametrize("start", [in_thread, asyncio.to_thread], ids=["ours", "executor"])
async def test_no_time_passes_while_a_thread_works(
    start: Callable[[Callable[[], None]], Awaitable[None]],
) -> None:
    """A timer does not fire while a blocking call runs, however long that takes."""
    loop = asyncio.get_running_loop()
    before, rang = loop.time(), asyncio.Event()
    loop.call_later(0.001, rang.set)
    await start(lambda: time.sleep(0.05))
    assert not rang.is_set()
    assert loop.time() == before
    await rang.wait()


def test_waiting_for_nothing_is_an_error() -> None:
    """A wait that would hang forever on a real loop raises an error at once."""
    with closing(VirtualLoop()) as loop, pytest.raises(StuckError):
        loop.run_until_complete(loop.create_future())


async def test_clock_can_be_set() -> None:
    """Setting the wall clock does not change the monotonic clock."""
    clock = VirtualClock(NOON)
    before = clock.now()
    await clock.sleep(60)
    clock.jump_wall(-3600)
    assert clock.now().wall == pytest.approx(NOON + 60 - 3600)
    assert clock.now().monotonic - before.monotonic == pytest.approx(60)


async def test_scrape_takes_no_time() -> None:
    """No time passes during a scrape."""
    async with running() as at_work:
        before = at_work.clock.monotonic()
        await at_work.scrape()
        assert at_work.clock.monotonic() == before


async def lived() -> list[object]:
    """The requests, responses and figures of a simulated hour with faults."""
    async with running("5xx/share=0.3,hang/share=0.1,churn") as at_work:
        start = at_work.clock.monotonic()
        await at_work.clock.sleep(3600)
        record = at_work.api.record
        return [
            [(round(each.at - NOON, 6), each.raw_path) for each in record.asked],
            dict(record.answers),
            (await at_work.scrape()).all("flashback_node_uptime_ratio"),
            at_work.clock.monotonic() - start,
        ]


def test_same_seed_same_life() -> None:
    """Two runs with the same seed are identical."""
    lives = []
    for _ in range(2):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            lives.append(runner.run(lived()))
    assert lives[0] == lives[1]
