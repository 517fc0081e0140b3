"""The verdict on what a soak has measured."""

from __future__ import annotations

import pytest

from tests.truth.flatness import MEGABYTE, Measured, Sample

PREVIOUS_DAYS = 6 * MEGABYTE


def measured(
    per_poll: float = 0,
    fds_at_end: int = 100,
    kept_at_end: float = 0,
    previous_days_from: int = 3000,
) -> Measured:
    """100,000 polls of a process that grows by so many bytes with each, once it is warm.

    `kept_at_end`: megabytes that the allocators have by then and nobody uses.
    """
    samples = []
    for polls in range(500, 100_001, 500):
        in_use = 80 * MEGABYTE + polls * per_poll + min(polls, 5000) * 2000 + polls % 3000 * 200
        in_use += PREVIOUS_DAYS * (polls >= previous_days_from)
        kept = MEGABYTE * kept_at_end * polls / 100_000
        fds = 100 + (fds_at_end - 100) * polls // 100_000 + polls % 7
        days = 1480 if polls >= previous_days_from else 30
        samples.append(Sample(polls, round(in_use + kept), round(in_use), fds, days))
    return Measured(samples, {"timeout": 1200, "tls": 0})


def test_flat_process_passes() -> None:
    """Noise, and memory that pools and caches take at first, are no growth."""
    soak = measured(0)
    assert list(soak.findings()) == []
    assert abs(soak.in_use_per_10_000) < 0.1
    assert "   95%    95,000" in soak.table()
    assert "timeout 1,200" in soak.table()
    assert "tls" not in soak.table()


@pytest.mark.parametrize("per_poll", [100, 1000])
def test_leak_is_found(per_poll: int) -> None:
    """100 bytes kept of each poll are a leak."""
    finding, *_ = measured(per_poll).findings()
    assert "memory in use grows by" in finding


def test_what_allocators_keep_may_grow_within_bounds() -> None:
    """Resident memory of which nothing is in use is no leak, but it has an end too."""
    assert list(measured(kept_at_end=20).findings()) == []
    (finding,) = measured(kept_at_end=60).findings()
    assert "resident memory grows by" in finding


def test_previous_days_that_come_late_are_no_growth() -> None:
    """They come when the polls leave time, each once: growth is what comes after them."""
    soak = measured(previous_days_from=30_000)
    assert list(soak.findings()) == []
    assert abs(soak.in_use_per_10_000) < 0.1


def test_soak_that_was_hardly_ever_warm_proves_nothing() -> None:
    """Where the previous days come last of all, too little is left to judge."""
    (finding,) = measured(previous_days_from=70_000).findings()
    assert "nothing can be said" in finding


def test_descriptors_that_stay_open_are_found() -> None:
    """A connection lost in a thousand polls is found."""
    (finding,) = measured(0, fds_at_end=200).findings()
    assert "file descriptors grow" in finding
