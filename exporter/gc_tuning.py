"""Tunes Python's garbage collector so that a collection never blocks the event loop for long.

Reference counting frees nearly everything that the exporter drops; the collector is for cycles. Its
settings apply to the whole interpreter, so only the process that serves may run this.

By default the interpreter searches all long-lived objects once a quarter as many new ones have
survived, even if these have been freed since. Each poll replaces a reading, so with ten thousand
buckets that is a search of 0.1 s every few seconds. Here survivors are frozen, which excludes them
from the search. Everything is searched only after the number of frozen objects has grown.
"""

from __future__ import annotations

import gc

import structlog

from exporter.clock import Clock

INTERVAL = 10.0
"""Seconds between two freezes.

A freeze searches the objects created since the one before: about 10 ms for ten thousand buckets
that are polled every minute. A shorter interval would freeze more objects that are about to be
freed, such as connections and retries.
"""

CHECK_EVERY = 30
"""Freezes between two counts of the frozen objects: a count takes about 20 ms."""

GROWTH = 1.5
"""The factor by which the frozen objects may grow, dead cycles included, before a full search.

Memory grows less than that: at least half of it is text, which cannot form cycles.
"""

FULL_SEARCH_EVERY = 1000
"""The collector's third threshold: so high that the interpreter hardly ever searches everything."""

ALLOWED_OBJECTS = 50_000
"""Growth that is always allowed, so that a small process is not searched for a few megabytes."""

_log = structlog.get_logger()


class GcTuner:
    """Freezes and collects while it runs.

    When it ends, nothing is frozen and the thresholds are the ones from before.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._allowed: float | None = None
        """How many frozen objects are allowed; None before the first count."""

    async def run(self) -> None:
        thresholds = gc.get_threshold()
        gc.set_threshold(*thresholds[:2], FULL_SEARCH_EVERY)
        try:
            while True:
                for _ in range(CHECK_EVERY):
                    _freeze_survivors()
                    await self._clock.sleep(INTERVAL)
                self._search_all_if_grown()
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()

    def _search_all_if_grown(self) -> None:
        """Search everything if too many objects have been frozen since the last full search."""
        frozen = gc.get_freeze_count()
        if self._allowed is None:
            self._allowed = _allowed_objects(frozen)
        elif frozen > self._allowed:
            gc.unfreeze()
            _freeze_survivors()
            kept = gc.get_freeze_count()
            self._allowed = _allowed_objects(kept)
            _log.debug("garbage_collected", kept=kept, unreachable=frozen - kept)


def _allowed_objects(frozen: int) -> float:
    return max(frozen * GROWTH, frozen + ALLOWED_OBJECTS)


def _freeze_survivors() -> None:
    """Collect before freezing: a dead cycle that is frozen stays until the next full search."""
    gc.collect()
    gc.freeze()
