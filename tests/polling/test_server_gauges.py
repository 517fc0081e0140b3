"""The clock skew metric, in virtual time."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from exporter.simulator import User
from tests.harness.simulated_network import LATENCY
from tests.harness.stack import ANYWHERE, Running, document, running

pytestmark = pytest.mark.virtual_time

LIFECYCLE = replace(ANYWHERE, lifecycle=True)
SKEW = "flashback_account_clock_skew_seconds"
OPS = User("ops@example.com", "pa55word")


def text(api: str) -> str:
    """A configuration with one bucket."""
    return document(api, buckets=("b1",))


def expected(at_work: Running, ahead: float = 0.0) -> float:
    """The expected skew: the API responds to the newest request at the moment it arrives."""
    arrived = at_work.api.record.asked[-1].at
    return math.floor(arrived + ahead) + 0.5 - (arrived - LATENCY / 2)


@pytest.mark.parametrize(
    ("scenario", "ahead"), [("", 0.0), ("fast-clock", 180.0), ("slow-clock", -180.0)]
)
async def test_skew_is_the_shift_of_the_apis_clock(scenario: str, ahead: float) -> None:
    """A three-minute clock difference is exported, calculated from the API's Date header."""
    async with running(scenario, text=text) as at_work:
        for _ in range(5):
            await at_work.clock.sleep(66.6)
            value = (await at_work.scrape()).value(SKEW, account="main")
            assert value == pytest.approx(expected(at_work, ahead), abs=1e-5)
            assert abs(value - ahead) <= 0.5 + LATENCY / 2


async def test_skew_shows_a_clock_of_ours_that_was_set() -> None:
    """If the exporter's own clock is set back, the next response shows the skew."""
    async with running(text=text) as at_work:
        at_work.clock.jump_wall(-3600)
        at_work.api.now = lambda: at_work.clock.wall() + 3600
        await at_work.clock.sleep(90)
        page = await at_work.scrape()
        assert page.value(SKEW) == pytest.approx(3600, abs=0.6)


async def test_login_tells_of_the_clock_too() -> None:
    """If polls get no response, the skew comes from the login response."""

    def logging_in(api: str) -> str:
        login = "login: {email: ops@example.com, password: pa55word}"
        return text(api).replace("authorization: {credentials: t0}", login)

    scenario = "hang/share=1,fast-clock/call=login"
    async with running(scenario, text=logging_in, users=[OPS]) as at_work:
        page = await at_work.scrape_when(lambda page: page.has(SKEW, account="main"))
        assert page.value(SKEW) == pytest.approx(180, abs=0.6)


async def test_skew_ends_with_stale_after() -> None:
    """Without a response for stale_after, the skew metric disappears."""
    async with running(text=text) as at_work:
        await at_work.clock.sleep(90)
        at_work.api.play("disconnect/share=1")
        last = at_work.api.record.asked[-1].at
        await at_work.clock.sleep(last + 299 - at_work.clock.wall())
        assert (await at_work.scrape()).has(SKEW)
        await at_work.clock.sleep(2)
        assert not (await at_work.scrape()).has(SKEW)


@pytest.mark.parametrize(
    ("edit", "stays"),
    [
        (("- 'b1'", "- {id: b1, name: renamed}"), True),
        (("127.0.0.1", "localhost"), False),
        (("- name: main", "- name: renamed"), False),
    ],
    ids=["bucket", "API", "account"],
)
async def test_reload_keeps_what_is_known_of_the_same_server(
    edit: tuple[str, str],
    stays: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A reload keeps the skew, unless the account's API or name changes."""
    edits: list[tuple[str, str]] = []

    def edited(api: str) -> str:
        made = text(api)
        for old, new in edits:
            assert old in made
            made = made.replace(old, new)
        return made

    async with running(text=edited, options=LIFECYCLE) as at_work:
        before = await at_work.scrape_when(lambda page: page.has(SKEW))
        at_work.api.play("hang/share=1")
        edits.append(edit)
        assert (await at_work.request("POST", "/-/reload")).status_code == 200
        assert (await at_work.scrape()).all(SKEW) == (before.all(SKEW) if stays else [])
        at_work.api.play("")
        await at_work.scrape_when(lambda page: page.has(SKEW))
