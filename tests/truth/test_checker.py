"""The checker can fail: each kind of untruth on a page made by hand is found, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest

from exporter.simulator import CallKind, Served
from tests.fakes import MIDNIGHT
from tests.truth.handmade import PLAN, Scene, node
from tests.truth.pages import PageError


def edited(pattern: str, replacement: str) -> Callable[[str], str]:
    """An edit of a page that must have something to edit."""

    def edit(text: str) -> str:
        changed, times = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
        assert times == 1
        return changed

    return edit


@pytest.fixture
def scene() -> Scene:
    """Two buckets after two polls."""
    made = Scene()
    for _ in range(2):
        made.poll_all()
        assert made.look() == []
        made.clock.passed += 58
    made.poll_all()
    return made


def test_truthful_pages_pass(scene: Scene) -> None:
    """Hours of truthful pages, fresh and stale, bring no finding."""
    for _ in range(100):
        assert scene.look() == []
        scene.clock.passed += 58
        scene.poll_all()
    scene.clock.passed += 200
    scene.lag = 150
    assert scene.look() == []


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
        (r"(_last_success_.*) 17\d+", r"\1 1705320030", "nothing was handed over for it at"),
        (r"^flashback_bucket_nodes.*\n", "", "it is up, and no reading of it is shown"),
        (r"^(flashback_bucket_nodes.*) 2$", r"\1 3", "it shows 3.0 nodes, as no answer"),
        (r"^(flashback_bucket_up.*) 1$", r"\1 0", "up is 0.0, the reasons of its failure are []"),
        (r"^(flashback_bucket_info.*)name=\"b1\"", r'\1name="b3"', "'name': 'b1'"),
        (r"^flashback_bucket_info.*b1.*\n", "", "has samples and no info"),
        (r"^(flashback_exporter_poll_lag_seconds) 0.0$", r"\1 5000", "the lag is 5000.0"),
        (r"^(.*reload_successful) 1$", r"\1 0", "the last reload"),
    ],
)
def test_untrue_page_is_found(scene: Scene, pattern: str, replacement: str, finding: str) -> None:
    """One word changed on a truthful page is found, and named."""
    assert scene.look() == []
    found = scene.look(edited(pattern, replacement))
    assert found
    assert finding in " ".join(found)


@pytest.mark.parametrize(
    ("pattern", "replacement", "problem"),
    [
        (r"^(flashback_node_uptime_ratio.*\n)", r"\1\1", "is there twice"),
        (r"^(flashback_bucket_up\{bucket_id=.*)$", r"\1 1705320000", "no series"),
        (r'(status="UNKNOWN")', r'\1,status="x"', "no labels, or one twice"),
        (r'(status="UNKNOWN)"', r"\1", "no labels"),
        (r"^(# TYPE .*\n)", r"\1\1", "a second TYPE"),
        (r"^# TYPE flashback_bucket_up gauge\n", "", "stands outside of its family"),
        (r"^(flashback_bucket_up\{.*\}) 1", r"\1 one", "no value of a sample"),
        (r"^# TYPE flashback_bucket_up gauge", "# TYPO", "no comment of a page"),
        (r"\Z", "x", "does not end with a newline"),
    ],
)
def test_page_that_does_not_parse_is_refused(
    scene: Scene, pattern: str, replacement: str, problem: str
) -> None:
    """A sample twice, a time stamp, a broken label: no page at all."""
    with pytest.raises(PageError, match=problem):
        scene.look(edited(pattern, replacement))


def test_stale_value_is_found(scene: Scene) -> None:
    """What was true three minutes ago is not to be shown."""
    page = scene.text()
    assert scene.look() == []
    scene.clock.passed += 185
    scene.lag = 185
    assert "has been stale for" in " ".join(scene.look(lambda _: page))


def test_hidden_value_is_found(scene: Scene) -> None:
    """What was polled just now has to be shown."""
    shown = r'^flashback_(node_\w+|bucket_(nodes|stats_day\w+)){bucket_id="b1".*\n'
    fail = failing("timeout")
    findings = scene.look(lambda text: re.sub(shown, "", fail(text), flags=re.MULTILINE))
    assert "more and is not shown" in " ".join(findings)


def failing(reason: str) -> Callable[[str], str]:
    """An edit of a page on which a bucket then fails for a reason."""
    name = "flashback_bucket_failing"
    down = edited(r'(_up\{bucket_id="b1"\}) 1', r"\1 0")
    said = f'{name}{{bucket_id="b1",reason="{reason}"}} 1'
    why = edited(rf"^(# TYPE {name} gauge)", rf"\1\n{said}")
    return lambda text: why(down(text))


def test_older_answer_and_mixed_answers_are_found(scene: Scene) -> None:
    """Neither the answer before the newest nor parts of both may be shown."""
    old_rows, day, _ = scene.shown["b1"]
    scene.clock.passed += 60
    scene.poll_all()
    new_rows, _, success = scene.shown["b1"]
    assert scene.look() == []
    scene.shown["b1"] = (old_rows, day, success)
    assert "it shows what was said 6" in scene.look()[0]
    scene.shown["b1"] = ([old_rows[0], *new_rows[1:], node("h3", 1, 0)], day, success)
    assert "never said of it" in scene.look()[0]
    scene.shown["b1"] = (new_rows[:1], day, success)
    assert "it shows 1.0 nodes, as no answer" in scene.look()[0]


def test_forgotten_bucket_is_found(scene: Scene) -> None:
    """A bucket that is not asked for any more is found, unless the lag shows it."""
    for _ in range(3):
        assert scene.look() == []
        scene.clock.passed += 60
        scene.poll("b1", node("h1", 98, 0))
    (finding,) = scene.look()
    assert re.match(r"'b2' was due 5\d\.\ds ago or before, and the lag is 0.0", finding)
    scene.lag = 62
    assert scene.look() == []


def test_reason_that_nothing_stands_behind_is_found(scene: Scene) -> None:
    """A failure must come of an answer that was really sent."""
    (finding,) = scene.look(failing("forbidden"))
    assert "'b1': it fails for forbidden, and nothing like it was sent" in finding
    scene.clock.passed += 1
    scene.ledger.codes["b1"][403] = scene.clock.passed
    assert scene.look(failing("forbidden")) == []
    assert scene.look(failing("tls")) == ["'b1': it fails for tls"]


def test_reading_of_another_configuration_is_found(scene: Scene) -> None:
    """After a move to another URL nothing that the old one said may be shown."""
    assert scene.look() == []
    (holder,) = PLAN.holders
    scene.checker.replan(replace(PLAN, holders=(replace(holder, host="localhost"),)))
    assert "and is polled since" in " ".join(scene.look())


def test_token_that_was_never_issued_is_found(scene: Scene) -> None:
    """The end of a token is that of one that was handed out."""
    name = "flashback_account_token_expiry_timestamp_seconds"
    scene.extra = [f"# TYPE {name} gauge", f'{name}{{account="main"}} 1705400000']
    assert scene.look() == ["no token of 'main' was issued that ends at 1705400000.0"]
    scene.ledger.expiries.add(1705400000.0)
    assert scene.look() == []


def test_unknown_node_metric_asks_for_a_rule(scene: Scene) -> None:
    """Who adds a metric of nodes has to say what is true of it."""
    scene.extra = ["# TYPE flashback_node_new gauge"]
    assert scene.look() == ["flashback_node_new is new: teach the checker what is true of it"]


def at_midnight() -> Scene:
    """Polled a few seconds before midnight, and now a minute into the day."""
    scene = Scene(wall=MIDNIGHT - 10)
    scene.poll_all()
    assert scene.look() == []
    scene.clock.passed += 60
    return scene


FULL = (node("h1", 98, 0), node("h2", 97, 0))


@pytest.mark.parametrize("nodes", [(), FULL[:1]], ids=["empty", "half-filled"])
def test_reading_kept_over_midnight_is_true(nodes: tuple[dict[str, object], ...]) -> None:
    """Yesterday's reading may be shown while answers confirm it, but neither longer nor without."""
    scene = at_midnight()
    for _ in range(9):
        for bucket in ("b1", "b2"):
            scene.poll(bucket, *nodes, keep=True)
        assert scene.look() == []
        scene.clock.passed += 60
    scene.clock.passed += 60
    for bucket in ("b1", "b2"):
        scene.poll(bucket, *nodes, keep=True)
    assert "and last polled with success" in scene.look()[0]


def test_reading_kept_without_need_is_found() -> None:
    """An answer with every node takes the place of yesterday's reading."""
    scene = at_midnight()
    for bucket in ("b1", "b2"):
        scene.poll(bucket, *FULL, keep=True)
    assert "and last polled with success" in scene.look()[0]


def test_reading_given_up_too_soon_is_found() -> None:
    """In the grace an answer that lacks a node does not take the place of yesterday's reading."""
    scene = at_midnight()
    for bucket in ("b1", "b2"):
        scene.poll(bucket, *FULL[:1])
    assert "yesterday's reading was given up 50s into the day" in scene.look()[0]


def test_day_that_is_over_is_found() -> None:
    """An hour after midnight an answer for yesterday is not one for today."""
    scene = Scene(wall=MIDNIGHT + 3600)
    for bucket in ("b1", "b2"):
        scene.poll(bucket, *FULL, asked=date(2024, 1, 15))
    assert scene.look()[0] == "'b1': it shows 2024-01-15, and was polled on 2024-01-16"


UPTIME_BEFORE = "flashback_node_uptime_previous_day_ratio"
LATENCY_BEFORE = "flashback_node_latency_average_previous_day_seconds"


def claim_previous_day(scene: Scene, uptime: float = 0.98) -> None:
    """Let the page show these figures of the previous day for a node of b1."""
    labels = 'bucket_id="b1",ip="192.0.2.1",host="h1"'
    scene.extra = [
        f"# TYPE {UPTIME_BEFORE} gauge",
        f"{UPTIME_BEFORE}{{{labels}}} {uptime}",
        f"# TYPE {LATENCY_BEFORE} gauge",
        f"{LATENCY_BEFORE}{{{labels}}} 0.0205",
    ]


def answer_for_yesterday(scene: Scene) -> None:
    """Let the API answer for yesterday, after today's poll."""
    scene.ledger.count_call(CallKind.STATS, "b1")
    scene.ledger.statuses[200] += 1
    scene.requests += 1
    yesterday = scene.today - timedelta(days=1)
    row = dict(node("h1", 98, 0))
    scene.ledger.served.append(Served(scene.clock.wall(), "b1", yesterday, (row,)))


def test_figures_of_the_day_before_must_be_final() -> None:
    """They are those of an answer for a day that was over when it was given."""
    scene = at_midnight()
    scene.poll_all()
    claim_previous_day(scene)
    (finding,) = scene.look()
    assert "'b1': never said of a day that was over" in finding


def test_figures_of_the_day_before_must_be_those_of_that_day() -> None:
    """The newest previous day's are true until the next grace ends, and outdated from then on."""
    scene = Scene()
    scene.poll_all()
    answer_for_yesterday(scene)
    claim_previous_day(scene)
    assert scene.look() == []
    claim_previous_day(scene, uptime=0.97)
    (finding,) = scene.look()
    assert "never said of a day that was over" in finding
    claim_previous_day(scene)
    scene.clock.passed += 12 * 3600 + PLAN.rollover_grace - 60
    assert not [each for each in scene.look() if "previous day" in each]
    scene.clock.passed += 60
    assert [each for each in scene.look() if "its previous day is 2024-01-14" in each]
