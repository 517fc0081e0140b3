"""The load that a configuration causes, and warnings about limits that are too low."""

from __future__ import annotations

import math

import pytest

from exporter.cli.load_estimate import BASE_CPU, CPU_PER_REQUEST, HEADROOM, load_estimate, shortages
from exporter.config import Config
from exporter.model import Timing
from exporter.upstream.rate_limit import RateLimiter
from tests.config.samples import ACCOUNT, good
from tests.harness.fakes import FakeClock, bucket, reading
from tests.polling.scheduled import ScheduledTargets

TEXT = """\
global: {{{settings}}}
accounts:
  - name: often
    authorization: {{credentials_file: token}}
    poll_interval: 10s
    buckets: [{often}]
  - name: rarely
    authorization: {{credentials_file: token}}
    poll_interval: 1m
    buckets: [{rarely}]
"""


def config(often: int, rarely: int, settings: str = "") -> Config:
    """Two accounts with this many buckets."""
    return good(
        TEXT.format(
            settings=settings,
            often=", ".join(f"o{number}" for number in range(often)),
            rarely=", ".join(f"r{number}" for number in range(rarely)),
        )
    )


def test_demand_adds_up_over_accounts() -> None:
    """Requests are summed per account interval, and series over all buckets."""
    asked = load_estimate(config(10, 60))
    assert asked.buckets == 70
    assert asked.requests_per_second == pytest.approx(2)
    assert asked.response_time == pytest.approx(8)
    assert asked.series == 70 * 72
    previous_days = 70 / 3600
    assert asked.previous_days_per_second == pytest.approx(previous_days)
    assert asked.cpu == pytest.approx(BASE_CPU + (2 + previous_days) * CPU_PER_REQUEST)


def test_buckets_to_be_found_do_not_count() -> None:
    """Discovered buckets are not counted, because their number is unknown."""
    asked = load_estimate(good(f"{ACCOUNT}    discovery: {{}}\n"))
    assert asked.buckets == 1
    assert asked.requests_per_second == pytest.approx(1 / 60)
    none = load_estimate(good(ACCOUNT.replace("buckets: [65f1c0ffee]", "discovery: {}")))
    assert (none.buckets, none.response_time) == (0, math.inf)


def test_more_statuses_are_more_series() -> None:
    """Each known status adds a series per node."""
    assert load_estimate(config(1, 1, "known_statuses: [A]")).series == 2 * (6 * 9 + 6)


def test_enough_is_no_shortage() -> None:
    """If the limits suffice, there is no warning."""
    assert shortages(config(10, 60), "config.yaml") == ()


def test_too_slow_a_rate_is_named_with_what_would_do() -> None:
    """If max_requests_per_second is too low, the warning suggests a rate and an interval."""
    (shortage,) = shortages(config(10, 60, "max_requests_per_second: 1"), "config.yaml")
    assert str(shortage) == (
        "config.yaml: global.max_requests_per_second: too low: 70 buckets need 2.0 requests"
        " per second and 1 are allowed: raise it to 4, or poll_interval from 10s to 40s"
    )


def test_room_to_catch_up_is_needed() -> None:
    """A rate without headroom is too low, because polls that are late would never catch up.

    The rate must also suffice for previous-day requests, which are made within an hour.
    """
    assert len(shortages(config(10, 60, "max_requests_per_second: 2.1"), "config.yaml")) == 1
    assert not shortages(config(10, 60, "max_requests_per_second: 2.3"), "config.yaml")
    many = ACCOUNT.replace("[65f1c0ffee]", str([f"b{number}" for number in range(3600)]))
    rate = "global: {poll_interval: 1h, max_requests_per_second: "
    assert len(shortages(good(f"{rate}1.5}}\n{many}"), "config.yaml")) == 1
    assert not shortages(good(f"{rate}2.2}}\n{many}"), "config.yaml")


def test_too_few_at_once_is_named_with_what_would_do() -> None:
    """If max_concurrent_requests is too low for realistic response times, there is a warning."""
    text = "max_requests_per_second: 100, max_concurrent_requests: 1"
    (shortage,) = shortages(config(40, 60, text), "config.yaml")
    assert "global.max_concurrent_requests: too low: polls fall behind" in str(shortage)
    assert "more than 0.20s" in str(shortage)
    assert "raise it to 3 or more" in str(shortage)


def test_share_of_the_places_is_counted_with() -> None:
    """If an account falls behind while all others hang, there is a warning."""
    few = "max_requests_per_second: 100, max_concurrent_requests: "
    (shortage,) = shortages(config(50, 60, f"{few}5"), "config.yaml")
    assert str(shortage) == (
        "config.yaml: global.max_concurrent_requests: too low: an account falls behind while the"
        " APIs of all others hang: raise it to 6 or more"
    )
    assert not shortages(config(50, 60, f"{few}6"), "config.yaml")
    assert not shortages(config(50, 3, f"{few}4"), "config.yaml"), "three can hold half a place"


def test_more_accounts_than_places_is_a_warning() -> None:
    """max_concurrent_requests must be at least the number of accounts, as each can hang."""
    accounts = "".join(ACCOUNT.replace("main", f"a{number}") for number in range(17))
    assert ACCOUNT.startswith("accounts:")
    text = "accounts:\n" + accounts.replace("accounts:\n", "").replace(
        "buckets: [65f1c0ffee]", "discovery: {}"
    )
    (shortage,) = shortages(good(text), "config.yaml")
    assert "raise it to 17 or more" in str(shortage)


def test_advice_is_enough() -> None:
    """With the suggested limits there is no warning."""
    asked = load_estimate(config(200, 60))
    advised = math.ceil(asked.requests_per_second * HEADROOM)
    followed = f"max_requests_per_second: {advised}, max_concurrent_requests: 20"
    assert not shortages(config(200, 60, followed), "config.yaml")


@pytest.mark.parametrize(("headroom", "late"), [(HEADROOM, 0.5), (1.2, 20.5)])
def test_advised_rate_keeps_the_first_rounds_apart(headroom: float, late: float) -> None:
    """At the suggested rate no poll is late after a start; with less headroom some are."""
    assert latest_poll(buckets=600, headroom=headroom) <= late
    assert headroom == HEADROOM or latest_poll(buckets=600, headroom=headroom) > late - 1


def latest_poll(buckets: int, headroom: float) -> float:
    """The longest delay of a regular poll in the first three intervals, in seconds."""
    clock, timing = FakeClock(), Timing()
    rate_limiter = RateLimiter(buckets / timing.poll_interval * headroom, clock)
    scheduler = ScheduledTargets(clock.now())
    start, latest = clock.monotonic(), 0.0
    scheduler.poll([(bucket(f"b{number}"), timing) for number in range(buckets)], start)
    while clock.monotonic() < start + 3 * timing.poll_interval:
        slot = None if rate_limiter.delay() else scheduler.pop_due(clock.monotonic())
        if slot is None:
            clock.move_to(clock.monotonic() + max(rate_limiter.delay(), 0.01))
            continue
        rate_limiter.reserve()
        if slot.due > start:
            latest = max(latest, clock.monotonic() - slot.due)
        scheduler.complete(slot, reading(clock.now()), clock.now())
    return latest
