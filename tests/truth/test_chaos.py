"""Days of trouble: the healthy account does not feel it, and no secret is told."""

from __future__ import annotations

import pytest

from tests.truth.chaos import ChaosResult, run_chaos


def assert_held(result: ChaosResult, capsys: pytest.CaptureFixture[str], kinds: int) -> None:
    """Nothing was found, in a run that has made so many kinds of trouble."""
    with capsys.disabled():
        print(f"\n{result}")  # noqa: T201 - the totals are asked for
    assert not result.findings, result.failure_message()
    assert len(result.troubles) >= kinds
    assert result.lines > 100


@pytest.mark.virtual_time
async def test_an_hour_of_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    """Every page is true, the healthy account's are whole, and nothing has a secret in it."""
    assert_held(await run_chaos(1, days=0.05), capsys, 10)


@pytest.mark.long
@pytest.mark.virtual_time
async def test_days_of_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    """So it is through days and midnights, with almost every kind of trouble there is."""
    assert_held(await run_chaos(2, days=1.5), capsys, 60)
