"""Options, markers and fixtures for all tests."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.harness.virtual_loop import VirtualLoop

ROOT = Path(__file__).parent
SLOWER_PLACES = {
    "chart",
    "cli",
    "deploy",
    "real",
    "test_app_on_sockets.py",
    "test_broken_framing.py",
}
"""Directories and files that `--fast` does not collect: they start programs or use sockets."""
SLOWER = ("long", "virtual_time", "hypothesis")
"""Markers of other tests that `--fast` skips."""

SHARED_PROGRAMS = {
    "tests/real/test_browser.py",
    "tests/real/test_dashboards.py",
    "tests/real/test_image.py",
    "tests/real/test_prometheus.py",
}
"""Files whose tests share programs that are started only once."""

LONGEST = ("tests/real/test_alerting", "tests/truth/")
"""The slowest tests; they start first, so that the run does not end waiting for one of them."""

AT_NIGHT = {
    "test_a_fourth_shard_joins_by_restart[oldest-all_at_once]",
    "test_a_fourth_shard_joins_by_restart[oldest-one_after_the_other]",
    "test_alerts_on_history[oldest]",
    "test_rules_do_what_they_say[oldest-burning]",
    "test_rules_do_what_they_say[oldest-connections]",
    "test_rules_do_what_they_say[oldest-nodes]",
    "test_rules_do_what_they_say[oldest-not_listed]",
    "test_rules_use_backfilled_days[oldest]",
}
"""Tests that take a minute each, and rarely find more than those with current versions."""

LONG = "takes long"
NIGHTLY = "runs at night"
NO_PROGRAM = "is not installed"

# Shells start background jobs with SIGINT ignored, and programs started by tests inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: no test may depend on the speed of the machine, property tests included.
settings.register_profile(
    "quick", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=25
)
settings.register_profile("long", settings.get_profile("quick"), max_examples=1000)
settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        choices=("without", "only", "with"),
        default="without",
        help="the tests that take long: leave them out (as ever), run nothing else, or run all",
    )
    parser.addoption(
        "--nightly",
        action="store_true",
        help="run also what takes minutes each",
    )
    parser.addoption(
        "--fast",
        action="store_true",
        help="run only what needs no programs, no virtual time and no examples made up by chance",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip collecting, and so importing, what `--fast` leaves out."""
    if config.getoption("--fast") and collection_path.parent == ROOT:
        return collection_path.name in SLOWER_PLACES or None
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip or deselect tests by `--long`, `--nightly` and `--fast`."""
    wanted = config.getoption("--long")
    if not config.getoption("--nightly"):
        for item in items:
            if item.get_closest_marker("nightly") or item.name in AT_NIGHT:
                item.add_marker(pytest.mark.skip(reason=NIGHTLY))
    long = {item for item in items if item.get_closest_marker("long")}
    if config.getoption("--fast"):
        items[:] = [item for item in items if not any(map(item.get_closest_marker, SLOWER))]
    elif wanted == "without":
        for item in long:
            item.add_marker(pytest.mark.skip(reason=LONG))
    elif wanted == "only":
        items[:] = [item for item in items if item in long]
        items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


class _Scheduler(LoadScopeScheduling):
    """Schedules tests one by one, but all tests of a file in SHARED_PROGRAMS on the same worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in SHARED_PROGRAMS else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Use the scheduler that starts shared programs once per run, not once per worker."""
    return _Scheduler(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """At the end, print which tests were skipped and how to run them."""
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])]
    skipped = Counter(
        "long"
        if LONG in reason
        else "nightly"
        if NIGHTLY in reason
        else "program"
        if NO_PROGRAM in reason
        else "other"
        for reason in reasons
    )
    texts = {
        "long": "{} that take long: make test-all",
        "nightly": "{} that run at night: make coverage",
        "program": "{} without the real programs: make test-tools",
        "other": "{} for other reasons, listed above",
    }
    parts = [texts[why].format(count) for why, count in sorted(skipped.items())]
    if parts:
        terminalreporter.write_line(f"left out: {'; '.join(parts)}", yellow=True)


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run tests with the marker `virtual_time` on a virtual event loop."""
    if item.get_closest_marker("virtual_time"):
        return {"virtual": VirtualLoop}
    return {"system": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """Restore logging after each test, so that a changed level does not affect other tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)  # setLevel also clears the loggers' cached levels
    structlog.reset_defaults()
