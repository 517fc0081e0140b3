"""When the garbage collector frees unreachable cycles."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator

import pytest

from exporter import gc_tuning
from exporter.gc_tuning import CHECK_EVERY, INTERVAL, GcTuner
from tests.harness.fakes import FakeClock

LOOK = INTERVAL * CHECK_EVERY
"""Seconds between two checks for growth."""


class Knot:
    """An object that references itself."""

    def __init__(self) -> None:
        self.myself = self


@pytest.fixture
async def clock() -> AsyncIterator[FakeClock]:
    """The clock of a running GC tuner."""
    made = FakeClock()
    task = asyncio.ensure_future(GcTuner(made).run())
    await made.advance(0)
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def knots(number: int) -> list[Knot]:
    """This many cycles, after a full collection."""
    gc.collect()
    return [Knot() for _ in range(number)]


async def test_unreachable_cycle_is_collected(clock: FakeClock) -> None:
    """A cycle that is unreachable before the survivors are frozen is collected."""
    seen = weakref.ref(Knot())
    await clock.advance(INTERVAL)
    assert seen() is None


async def test_survivors_are_frozen(clock: FakeClock) -> None:
    """Objects that survive a collection are frozen, so later collections skip them."""
    kept = knots(1000)
    await clock.advance(INTERVAL)
    assert gc.get_freeze_count() > len(kept)
    assert len(gc.get_objects()) < len(kept)


async def test_what_dies_frozen_is_collected_once_it_is_much(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen objects that become unreachable are collected once the frozen set has grown enough."""
    monkeypatch.setattr(gc_tuning, "GROWTH", 1.0)
    monkeypatch.setattr(gc_tuning, "ALLOWED_OBJECTS", 10_000)
    await clock.advance(LOOK)
    few = knots(100)
    seen = weakref.ref(few[0])
    await clock.advance(INTERVAL)
    few.clear()
    await clock.advance(LOOK)
    assert seen() is not None
    many = knots(20_000)
    await clock.advance(INTERVAL)
    many.clear()
    await clock.advance(LOOK)
    assert seen() is None


async def test_what_is_too_much_is_judged_anew_each_time(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Growth is measured against the objects that were alive after the last full collection."""
    monkeypatch.setattr(gc_tuning, "GROWTH", 1.0)
    monkeypatch.setattr(gc_tuning, "ALLOWED_OBJECTS", 10_000)
    await clock.advance(LOOK)
    alive = knots(20_000)
    await clock.advance(LOOK)
    few = knots(100)
    seen = weakref.ref(few[0])
    await clock.advance(INTERVAL)
    few.clear()
    await clock.advance(LOOK)
    assert seen() is not None
    assert alive


async def test_nothing_stays_frozen_afterwards() -> None:
    """When the tuner ends, nothing is frozen and the thresholds are restored."""
    before = gc.get_threshold()
    clock = FakeClock()
    task = asyncio.ensure_future(GcTuner(clock).run())
    await clock.advance(INTERVAL)
    assert gc.get_threshold() > before
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before
