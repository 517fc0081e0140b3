"""Days with faults: the healthy account is not affected, and no secret is shown."""

from __future__ import annotations

import pytest

from tests.truth.chaos import ChaosResult, run_chaos


def assert_held(result: ChaosResult, capsys: pytest.CaptureFixture[str], kinds: int) -> None:
    """Assert that there are no findings, and that the run had this many kinds of faults."""
    with capsys.disabled():
        print(f"\n{result}")  # noqa: T201 - shows the totals
    assert not result.findings, result.failure_message()
    assert len(result.troubles) >= kinds
    assert result.lines > 100


@pytest.mark.virtual_time
async def test_an_hour_of_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    """Each page is correct, the healthy account is up, and no page or log has a secret in it."""
    assert_held(await run_chaos(1, days=0.05), capsys, 10)


@pytest.mark.long
@pytest.mark.virtual_time
async def test_days_of_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    """A day with a midnight and almost every kind of fault has no findings either."""
    assert_held(await run_chaos(2, days=1.0), capsys, 55)
