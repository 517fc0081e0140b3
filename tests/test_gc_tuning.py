"""When dead cycles are collected."""

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
"""Seconds between two looks at how much has stayed."""


class Knot:
    """An object in a cycle."""

    def __init__(self) -> None:
        self.myself = self


@pytest.fixture
async def clock() -> AsyncIterator[FakeClock]:
    """The clock of a collector that runs."""
    made = FakeClock()
    task = asyncio.ensure_future(GcTuner(made).run())
    await made.advance(0)
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def knots(number: int) -> list[Knot]:
    """So many cycles, and no dead ones besides."""
    gc.collect()
    return [Knot() for _ in range(number)]


async def test_what_dies_young_is_collected_soon(clock: FakeClock) -> None:
    """A cycle that is dead when survivors are frozen is not among them."""
    seen = weakref.ref(Knot())
    await clock.advance(INTERVAL)
    assert seen() is None


async def test_survivors_are_out_of_sight(clock: FakeClock) -> None:
    """A search goes through nothing that has survived the one before it."""
    kept = knots(1000)
    await clock.advance(INTERVAL)
    assert gc.get_freeze_count() > len(kept)
    assert len(gc.get_objects()) < len(kept)


async def test_what_dies_frozen_is_collected_once_it_is_much(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead cycles that were frozen alive are found when the frozen have grown, and not before."""
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
    """More that is alive is gone through once, and is then what growth is measured against."""
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
    """A collector that has ended leaves the interpreter as it was."""
    before = gc.get_threshold()
    clock = FakeClock()
    task = asyncio.ensure_future(GcTuner(clock).run())
    await clock.advance(INTERVAL)
    assert gc.get_threshold() > before
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before
