"""docs/compatibility.md names the versions and files of the tests."""

from __future__ import annotations

import pytest

from tests.real.compatibility import PAGE, TESTED, Row, recorded, rendered


def line(version: str) -> tuple[int, ...]:
    """The major and minor version."""
    return tuple(map(int, version.split(".")[:2]))


def test_page_names_the_tests_that_there_are() -> None:
    """The page names all programs and test files. `make compatibility` regenerates it."""
    assert rendered(recorded()) == PAGE.read_text()
    assert all(list(tested.files()) for tested in TESTED)


@pytest.mark.parametrize("tested", TESTED, ids=lambda tested: tested.name)
def test_nothing_older_is_tested_than_the_page_says(tested: Row) -> None:
    """The oldest version is the recorded one, and the current one is at least the recorded one."""
    recorded_oldest, recorded_current = recorded()[tested.name]
    oldest, current = tested.versions()
    assert oldest == recorded_oldest or line(oldest) == line(recorded_oldest)
    assert line(current) >= line(recorded_current)
