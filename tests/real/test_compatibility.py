"""docs/compatibility.md names the versions and files of the tests."""

from __future__ import annotations

import pytest

from tests.real.compatibility import PAGE, TESTED, Versions, installed, recorded, rendered


def line(version: str) -> tuple[int, ...]:
    """The major and minor version."""
    return tuple(map(int, version.split(".")[:2]))


@pytest.fixture(scope="module")
def here() -> Versions:
    """The installed versions."""
    return installed()


def test_page_names_the_tests_that_there_are() -> None:
    """The page names all programs and test files. `make compatibility` regenerates it."""
    assert rendered(recorded()) == PAGE.read_text()
    assert all(list(tested.files()) for tested in TESTED)


@pytest.mark.parametrize("name", [tested.name for tested in TESTED])
def test_nothing_older_is_tested_than_the_page_says(here: Versions, name: str) -> None:
    """The oldest version is the recorded one, and the current one is at least the recorded one."""
    oldest, current = recorded()[name]
    assert here[name][0] == oldest or line(here[name][0]) == line(oldest)
    assert line(here[name][1]) >= line(current)
