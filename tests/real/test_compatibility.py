"""The table of what was tested with which version says what the tests do."""

from __future__ import annotations

import pytest

from tests.real.compatibility import PAGE, TESTED, Versions, installed, recorded, rendered


def line(version: str) -> tuple[int, ...]:
    """The line of releases that a version belongs to."""
    return tuple(map(int, version.split(".")[:2]))


@pytest.fixture(scope="module")
def here() -> Versions:
    """What is installed here."""
    return installed()


def test_page_names_the_tests_that_there_are() -> None:
    """Programs, test files and what these are for are those of the tests: `make compatibility`."""
    assert rendered(recorded()) == PAGE.read_text()
    assert all(list(tested.files()) for tested in TESTED)


@pytest.mark.parametrize("name", [tested.name for tested in TESTED])
def test_nothing_older_is_tested_than_the_page_says(here: Versions, name: str) -> None:
    """The oldest version is the recorded one, the current one at least that: suites move on."""
    oldest, current = recorded()[name]
    assert here[name][0] == oldest or line(here[name][0]) == line(oldest)
    assert line(here[name][1]) >= line(current)
