"""The checker finds each kind of error on an edited page, and none on correct pages."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.truth.builders import HandMadeRun, node
from tests.truth.pages import PageError


def edited(pattern: str, replacement: str) -> Callable[[str], str]:
    """An edit of a page that fails if there is nothing to edit."""

    def edit(text: str) -> str:
        changed, times = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
        assert times == 1
        return changed

    return edit


@pytest.fixture
def made() -> HandMadeRun:
    """Two buckets, polled three times, with correct pages."""
    made = HandMadeRun()
    for _ in range(2):
        made.poll_all()
        assert made.look() == []
        made.now += 58
    made.poll_all()
    return made


def test_truthful_pages_pass(made: HandMadeRun) -> None:
    """The checker reports nothing for correct pages, with fresh or stale readings."""
    for _ in range(100):
        assert made.look() == []
        made.now += 58
        made.poll_all()
    made.now += 200
    made.lag = 150
    assert made.look() == []


@pytest.mark.parametrize(
    ("pattern", "replacement", "finding"),
    [
        (r"(_uptime_ratio\{.*h1.*) 0.98$", r"\1 0.97", "'b1': never said of it on 2024-01-15"),
        (r"(_uptime_ratio\{.*b2.*h1.*) 0.99$", r"\1 0.98", "'b2': never said of it"),
        (r"(_uptime_ratio\{.*) 0.975$", r"\1 97.5", "never said"),
        (r"^flashback_node_latency_last_seconds.*\n", "", "as no answer for 2024-01-15 did"),
        (r"^(flashback_node_info.*)1\.2\.3", r"\g<1>1.2.4", "never said"),
        (r'("h1",status="OFFLINE"\}) 0', r"\1 1", "not exactly one status of"),
        (r'("h1",status="ONLINE"\}) 1', r"\1 0", "not exactly one status of"),
        (r'^.*"h1",status="UNKNOWN".*\n', "", "has the statuses"),
        (r"^(flashback_api_requests_total.*) \d+$", r"\1 3", "went from 6.0 to 3.0"),
        (r"^flashback_api_requests_total.*\n", "", "went from 6.0 to None"),
        (r"^(flashback_api_requests_total.*) \d+$", r"\1 77", "77 answers with 200 are counted"),
        (r"(_stats_day_.*) 1705276800.0", r"\1 1705190400.0", "never said of it on 2024-01-14"),
        (r"(_stats_day_.*) 1705276800.0", r"\1 1705276801.0", "does not start at midnight"),
        (r"(_last_success_.*) 17\d+", r"\1 1705320030", "nothing was sent for it at"),
        (r"^flashback_bucket_nodes.*\n", "", "it is up, and no reading of it is shown"),
        (r"^(flashback_bucket_nodes.*) 2$", r"\1 3", "it shows 3.0 nodes, as no answer"),
        (r"^(flashback_bucket_up.*) 1$", r"\1 0", "up is 0.0, the reasons of its failure are []"),
        (r"^(flashback_bucket_info.*)name=\"b1\"", r'\1name="b3"', "'name': 'b1'"),
        (r"^flashback_bucket_info.*b1.*\n", "", "has samples and no info"),
        (r"^(flashback_exporter_poll_lag_seconds) 0.0$", r"\1 5000", "the lag is 5000.0"),
        (r"^(.*reload_successful) 1$", r"\1 0", "the last reload"),
    ],
)
def test_untrue_page_is_found(
    made: HandMadeRun, pattern: str, replacement: str, finding: str
) -> None:
    """The checker reports a wrong value on an otherwise correct page, and says what is wrong."""
    assert made.look() == []
    found = made.look(edited(pattern, replacement))
    assert found
    assert finding in " ".join(found)


def test_sample_that_is_there_twice_is_found(made: HandMadeRun) -> None:
    """A page with a duplicate sample is invalid."""
    with pytest.raises(PageError, match="is there twice"):
        made.look(edited(r"^(flashback_node_uptime_ratio.*\n)", r"\1\1"))


def test_stale_value_is_found(made: HandMadeRun) -> None:
    """The checker reports a reading that is shown although it is stale."""
    page = made.text()
    assert made.look() == []
    made.now += 185
    made.lag = 185
    assert "has been stale for" in " ".join(made.look(lambda _: page))


def test_forgotten_bucket_is_found(made: HandMadeRun) -> None:
    """The checker reports a bucket that is not polled any more, unless the lag shows it."""
    for _ in range(3):
        assert made.look() == []
        made.now += 58
        made.poll("b1", node("h1", 98, 0))
    (finding,) = made.look()
    assert re.match(r"'b2' was due 5\d\.\ds ago or before, and the lag is 0.0", finding)
    made.lag = 62
    assert made.look() == []
