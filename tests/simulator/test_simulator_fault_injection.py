"""How scenarios are named, limited and mixed."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulator import (
    SCENARIOS,
    CallKind,
    ScenarioError,
    Window,
    World,
    text_to_faults,
)
from exporter.simulator.buckets import bucket_to_entry, existing
from exporter.simulator.calls import ApiCall, json_response, listing_response, stats_response
from exporter.simulator.fault_injection import FaultPlan, plan
from exporter.simulator.world import draw, pick, unix_to_day

MIDNIGHT = 1705276800  # 2024-01-15T00:00:00Z
NOON = MIDNIGHT + 12 * 3600
LIMITS = "share=0.5, bucket=ID, call=KIND, window=HH:MM-HH:MM"


def call(number: int = 0, bucket: str = "b", now: float = NOON, seed: int = 1) -> ApiCall:
    """A call for today."""
    return ApiCall(seed, bucket, number, now, unix_to_day(now))


def hit(text: str, **differently: object) -> list[str]:
    """The scenarios that hit a call, by default the first one for bucket b at noon."""
    given_call = replace(call(), **differently)  # type: ignore[arg-type] # fields of ApiCall, by name
    return [scenario.name for scenario in plan(text_to_faults(text), given_call).scenarios]


def test_nothing_means_no_fault() -> None:
    """An empty list of scenarios is valid and does nothing."""
    assert text_to_faults("") == text_to_faults(" , ") == ()


def test_scenarios_mix_in_the_order_named() -> None:
    """All scenarios of a list are active, in its order."""
    assert hit("churn, gzip,node-outage") == ["churn", "gzip", "node-outage"]


def test_a_scenario_has_its_own_limits() -> None:
    """Without limits in the text, a scenario has its own share and window."""
    [storm] = text_to_faults("429-storm")
    [new_day] = text_to_faults("empty-new-day")
    assert (storm.share, storm.window, storm.buckets) == (0.3, None, frozenset())
    assert (new_day.share, new_day.window) == (1.0, Window(0, 300))


@given(share=st.floats(0, 1), seed=st.integers(0, 1000))
def test_a_share_of_calls_is_hit(share: float, seed: int) -> None:
    """About as many calls are hit as the share says, and the same ones each time."""
    faults = text_to_faults(f"5xx/share={share:f}")
    calls = [call(number, seed=seed) for number in range(1000)]
    hits = [bool(plan(faults, one).scenarios) for one in calls]
    assert sum(hits) == pytest.approx(1000 * share, abs=80)
    assert hits == [bool(plan(faults, one).scenarios) for one in calls]


def test_which_calls_are_hit_depends_on_seed_bucket_and_scenario() -> None:
    """For each bucket, scenario and seed, other calls are hit."""
    fates = {
        tuple(
            bool(plan(text_to_faults(text), call(number, bucket, seed=seed)).scenarios)
            for number in range(50)
        )
        for text in ("5xx/share=0.5", "hang/share=0.5")
        for bucket in ("a", "b")
        for seed in (1, 2)
    }
    assert len(fates) == 8


def test_a_fault_can_be_limited_to_buckets() -> None:
    """With `bucket=`, only calls for these buckets are hit."""
    text = "churn/bucket=b/bucket=c"
    assert hit(text) == hit(text, bucket="c") == ["churn"]
    assert hit(text, bucket="d") == []


def test_a_scenario_hits_the_calls_that_it_is_for() -> None:
    """A scenario hits stats or the call in its name; tokens-revoked hits stats and lists."""
    for name, scenario in SCENARIOS.items():
        about = name.partition("-")[0]
        calls = {CallKind(about)} if about in list(CallKind) else {CallKind.STATS}
        expected = {CallKind.STATS, CallKind.LIST} if name == "tokens-revoked" else calls
        hits = {kind for kind in CallKind if hit(f"{name}/share=1/window=00:00-23:59", kind=kind)}
        assert hits == scenario.calls == expected


def test_a_fault_can_be_told_which_calls_to_hit() -> None:
    """With `call=`, a scenario hits these kinds of calls instead of its own."""
    text = "hang/share=1/call=login/call=refresh"
    hits = {kind for kind in CallKind if hit(text, kind=kind)}
    assert hits == {CallKind.LOGIN, CallKind.REFRESH}
    assert hit("list-403/share=1/call=stats") == ["list-403"]


def test_draws_differ_by_kind_and_user() -> None:
    """Draws differ by kind of call and by user, even if a bucket is named like a kind."""
    lucks = {
        tuple(replace(call(number, bucket), kind=kind, whose=whose).draw() for number in range(9))
        for bucket, kind, whose in (
            ("b", CallKind.STATS, ""),
            ("list", CallKind.STATS, ""),
            ("", CallKind.LIST, ""),
            ("", CallKind.LOGIN, "a@example.com"),
            ("", CallKind.LOGIN, "b@example.com"),
            ("", CallKind.REFRESH, "a@example.com"),
        )
    }
    assert len(lucks) == 6


@pytest.mark.parametrize(
    ("window", "minutes", "expected"),
    [
        ("12:00-13:00", 0, True),
        ("12:00-13:00", 59.9, True),
        ("12:00-13:00", 60, False),
        ("12:00-13:00", -0.1, False),
        ("12:00:30-12:01", 0.4, False),
        ("12:00:30-12:01", 0.5, True),
        ("23:55-12:05", 0, True),
        ("23:55-12:05", 5, False),
        ("23:55-00:00", 0, False),
        ("23:55-00:00", 11 * 60 + 59, True),
    ],
)
def test_a_fault_can_be_limited_to_a_time_of_day(
    window: str, minutes: float, *, expected: bool
) -> None:
    """Only calls within the window are hit, its end excluded; a window may span midnight."""
    assert bool(hit(f"churn/window={window}", now=NOON + 60 * minutes)) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chrun", "unknown scenario 'chrun': did you mean 'churn'?"),
        ("churn,", None),
        ("zzz", f"unknown scenario 'zzz': use one of {', '.join(SCENARIOS)}"),
        ("churn/share=2", "'2' is not a share: write a number from 0 to 1"),
        ("churn/share=nan", "'nan' is not a share: write a number from 0 to 1"),
        ("churn/share=", "'' is not a share: write a number from 0 to 1"),
        ("churn/share=1.0", None),
        ("churn/share=0", None),
        ("churn/bucket=", f"'bucket=' is not a limit: use {LIMITS}"),
        ("churn/", f"'' is not a limit: use {LIMITS}"),
        ("churn/rate=1", f"'rate=1' is not a limit: use {LIMITS}"),
        ("churn/call=x", "unknown call 'x': use one of stats, list, login, refresh"),
        ("churn/call=", "unknown call '': use one of stats, list, login, refresh"),
        (
            "list-403/bucket=a",
            "'list-403/bucket=a' affects no call: only stats calls have a bucket",
        ),
        (
            "hang/bucket=a/call=login",
            "'hang/bucket=a/call=login' affects no call: only stats calls have a bucket",
        ),
        ("hang/call=login/bucket=a/call=stats", None),
        ("churn/window=1-2", "'1' is not a time of day: write the window as HH:MM-HH:MM"),
        ("churn/window=10:00", "'' is not a time of day: write the window as HH:MM-HH:MM"),
        (
            "churn/window=10:00-24:00",
            "'24:00' is not a time of day: write the window as HH:MM-HH:MM",
        ),
        ("churn/window=10:00-10:00", "the window '10:00-10:00' is empty"),
    ],
)
def test_mistakes_are_named(text: str, message: str | None) -> None:
    """The error about an invalid text says what is wrong with it. None: the text is valid."""
    if message is None:
        assert text_to_faults(text)
        return
    with pytest.raises(ScenarioError) as caught:
        text_to_faults(text)
    assert str(caught.value) == message


def test_names_are_kebab_case_and_described() -> None:
    """Each scenario's name needs no quotes in a shell, and its summary fits a line of help."""
    for name, scenario in SCENARIOS.items():
        assert name == scenario.name
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert 0 < len(scenario.summary) < 90
    assert SCENARIOS["5xx"].summary == "500, 502, 503 or 504; 30% of calls"
    assert SCENARIOS["login-5xx"].summary == "login: 500, 502, 503 or 504; 30% of calls"
    assert SCENARIOS["tokens-revoked"].summary.startswith("stats, list: the current token")
    assert SCENARIOS["private-nodes"].summary == "three private nodes besides the public ones"


@given(
    names=st.lists(st.sampled_from(list(SCENARIOS)), max_size=8),
    number=st.integers(0, 1000),
    now=st.floats(MIDNIGHT, MIDNIGHT + 86400, exclude_max=True),
)
@settings(deadline=None)  # the first bomb is packed here
def test_any_mixture_gives_an_answer(names: list[str], number: int, now: float) -> None:
    """Any mixture of scenarios, in any order, gives a response to a stats call."""
    asked = call(number, now=now)
    steps = FaultPlan(tuple(SCENARIOS[name] for name in names))
    nodes = steps.world(World(1)).stats("b", unix_to_day(now), now)
    rows = steps.rows([node.row() for node in nodes], asked)
    answer = steps.response(stats_response(rows), asked)
    assert 200 <= answer.status < 600
    assert steps.deliver is not None


@given(names=st.lists(st.sampled_from(list(SCENARIOS)), max_size=8), number=st.integers(0, 1000))
@settings(deadline=None)  # the first bomb is packed here
def test_any_mixture_responds_to_list(names: list[str], number: int) -> None:
    """Any mixture of scenarios gives a response to a list call."""
    asked = replace(call(number, bucket=""), kind=CallKind.LIST, day=None)
    steps = FaultPlan(tuple(SCENARIOS[name] for name in names))
    entries = steps.rows([bucket_to_entry(1, bucket) for bucket in existing(None, 1)], asked)
    assert 200 <= steps.response(listing_response(entries), asked).status < 600


def test_the_last_of_two_replacements_wins() -> None:
    """Of two scenarios that replace the response, or its delivery, the last one is used."""
    steps = FaultPlan((SCENARIOS["hang"], SCENARIOS["429-storm"], SCENARIOS["truncated"]))
    assert steps.deliver is SCENARIOS["truncated"].deliver
    both = FaultPlan((SCENARIOS["429-storm"], SCENARIOS["proxy-502"]))
    assert both.response(json_response(200, {}), call()).status == 502


def test_skews_add_up() -> None:
    """Clock skews are added: with a fast and a slow clock together there is none."""
    assert FaultPlan((SCENARIOS["fast-clock"], SCENARIOS["slow-clock"])).clock == 0


@given(key=st.tuples(st.integers(), st.text(), st.floats()))
def test_draws_repeat_and_stay_in_range(key: tuple[object, ...]) -> None:
    """A draw depends on its key alone and lies in [0, 1)."""
    assert 0 <= draw(*key) < 1
    assert draw(*key) == draw(*key)


def test_picks_reach_every_option() -> None:
    """Each option is picked about as often as the others."""
    picks = [pick("abc", number) for number in range(3000)]
    assert all(800 < picks.count(option) < 1200 for option in "abc")
