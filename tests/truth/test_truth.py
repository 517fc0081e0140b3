"""The truth test: the exporter runs through midnights, and each page is checked."""

from __future__ import annotations

import pytest
import structlog

from tests.truth.run import run_truth_test

LEAST_SCRAPES = 250


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("seed", "midnights"), [(1, 1), pytest.param(2, 3, marks=pytest.mark.long)]
)
async def test_no_page_ever_lies(
    seed: int, midnights: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through faults, reloads, token renewals, clock jumps and midnights, each page is correct."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    outcome = await run_truth_test(seed, midnights=midnights)
    with capsys.disabled():
        print(f"\n{outcome}")  # noqa: T201 - shows the totals
    assert not outcome.findings, outcome.failure_message()
    assert outcome.scrapes > LEAST_SCRAPES
