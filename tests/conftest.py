"""What holds for every test."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.harness.virtual_loop import VirtualLoop

# No test asserts how fast the machine is, property tests neither.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """Leave logging as it was: a level that one test sets must not slow or fail another."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)  # not the attribute: loggers remember what is enabled
    structlog.reset_defaults()


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests that are marked with `virtual_time` run on a loop whose clock jumps."""
    if item.get_closest_marker("virtual_time"):
        return {"virtual": VirtualLoop}
    return {"system": asyncio.new_event_loop}
