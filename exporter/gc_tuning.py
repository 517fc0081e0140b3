"""Tunes Python's garbage collector so that collections rarely block the event loop for long.

Reference counting frees nearly everything that the exporter drops; the collector is for cycles. Its
settings apply to the whole interpreter, so only the process that serves may run this.

By default a full collection runs once the new survivors exceed a quarter of the long-lived objects,
even if they have been freed since. Each poll replaces a bucket's values, so with ten thousand
buckets that is a pause of 0.1 s every few seconds. Here survivors are frozen, which excludes them
from collections. A full collection runs only after the number of frozen objects has grown.
"""

from __future__ import annotations

import gc

import structlog

from exporter.clock import Clock

INTERVAL = 5.0
"""Seconds between two freezes.

A freeze first collects the objects created since the last one: 10 to 20 ms for ten thousand buckets
that are polled every minute, and up to 130 ms while their configuration is read. A shorter interval
would freeze more objects that are about to be freed, such as connections and retries.
"""

CHECK_EVERY = 60
"""Freezes between two counts of the frozen objects: a count takes about 20 ms."""

GROWTH = 1.5
"""The factor by which the frozen objects may grow, dead cycles included, before a full collection.

Memory grows less than that: at least half of it is text, which the collector does not count.
"""

FULL_COLLECTION_THRESHOLD = 1000
"""The collector's third threshold: so high that full collections hardly ever run by themselves."""

ALLOWED_OBJECTS = 50_000
"""Growth that is always allowed, so that a small process is not collected for a few megabytes."""

_log = structlog.get_logger()


class GcTuner:
    """Freezes and collects while it runs.

    When it ends, it unfreezes all objects and restores the thresholds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._allowed: float | None = None
        """How many frozen objects are allowed; None before the first count."""

    async def run(self) -> None:
        thresholds = gc.get_threshold()
        gc.set_threshold(*thresholds[:2], FULL_COLLECTION_THRESHOLD)
        try:
            while True:
                for _ in range(CHECK_EVERY):
                    _freeze_survivors()
                    await self._clock.sleep(INTERVAL)
                self._collect_all_if_grown()
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()

    def _collect_all_if_grown(self) -> None:
        """Run a full collection if the frozen objects have grown too much since the last one."""
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
    """Collect before freezing: a dead cycle that is frozen stays until the next full collection."""
    gc.collect()
    gc.freeze()
