"""The processes with which `make test-busy` keeps the CPUs busy."""

from __future__ import annotations

import signal

from tests.busy import burners


def test_burners_end_with_the_body() -> None:
    """The processes run while the body does, and are terminated after it."""
    with burners(2, 60) as processes:
        assert [each.poll() for each in processes] == [None, None]
    assert [each.returncode for each in processes] == [-signal.SIGTERM] * 2


def test_burner_ends_by_itself() -> None:
    """A process that is not terminated ends after its time."""
    with burners(1, 0.01) as (process,):
        assert process.wait(60) == 0
