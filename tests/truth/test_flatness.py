"""The verdict on what a soak has measured."""

from __future__ import annotations

import pytest

from tests.truth.flatness import MEGABYTE, Measured, Sample


def measured(per_poll: float, fds_at_end: int = 100) -> Measured:
    """100,000 polls of a process that grows by so many bytes with each, once it is warm."""
    samples = []
    for polls in range(500, 100_001, 500):
        rss = 100 * MEGABYTE + polls * per_poll + min(polls, 5000) * 2000 + polls % 3000 * 200
        fds = 100 + (fds_at_end - 100) * polls // 100_000 + polls % 7
        samples.append(Sample(polls, round(rss), fds))
    return Measured(samples, {"timeout": 1200, "tls": 0})


def test_flat_process_passes() -> None:
    """Noise, and memory that pools and caches take at first, are no growth."""
    soak = measured(0)
    assert list(soak.findings()) == []
    assert abs(soak.rss_per_10_000) < 0.1
    assert "100%   100,000" in soak.table()
    assert "timeout 1,200" in soak.table()
    assert "tls" not in soak.table()


@pytest.mark.parametrize("per_poll", [100, 1000])
def test_leak_is_found(per_poll: int) -> None:
    """100 bytes kept of each poll are a leak."""
    (finding,) = measured(per_poll).findings()
    assert "memory grows by" in finding


def test_descriptors_that_stay_open_are_found() -> None:
    """A connection lost in a thousand polls is found."""
    (finding,) = measured(0, fds_at_end=200).findings()
    assert "file descriptors grow" in finding
