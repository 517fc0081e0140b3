"""Fairness between the accounts of one process: slow or failing ones do not delay the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, nullcontext
from math import ceil
from random import Random

import httpx
import pytest

from exporter.model import Bucket, GoodPoll, PollResult, Timing
from exporter.polling.poller import Poller
from exporter.polling.targets import Target
from exporter.upstream.client import Client
from exporter.upstream.credentials import Credentials, StaticToken, Waiting
from exporter.upstream.parsing import ResponseLimits
from exporter.upstream.rate_limit import RateLimiter, RequestSlots
from exporter.upstream.request import Requester
from exporter.upstream.transport import Transport
from tests.harness.fakes import FakeClock, Recorder, bucket, settle
from tests.polling.scheduled import ScheduledTargets

Answering = Callable[[], Awaitable[httpx.Response]]

TIMING = Timing()
GOOD = b'{"success": true, "nodeStats": []}'
SECONDS = 0.1
"""Response time of a healthy API."""


class SlowLogin:
    """Credentials whose login and refresh take `seconds`."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._token: str | None = None

    async def token(self, waiting: Waiting = nullcontext) -> str:
        if self._token is None:
            async with waiting():
                await self._clock.sleep(self._seconds)
                self._token = "t"
        return self._token

    async def refresh(self, refused: str) -> str | None:
        await self._clock.sleep(self._seconds)
        return f"{refused}+"

    async def run(self, news: Callable[[], None]) -> None:
        pass

    def resume(self, previous: object) -> None:
        pass

    def expiry(self) -> float | None:
        return None


class Process:
    """Accounts polled together, each with its own API; records every account's requests."""

    def __init__(self, slots: int = 16, rate: float = 1000) -> None:
        self.clock = FakeClock()
        self.start = self.clock.monotonic()
        self.scheduler = ScheduledTargets(self.clock.now())
        self.slots = RequestSlots(slots, self.clock)
        self.requests: list[tuple[float, str]] = []
        self.in_flight = self.most_under_way = 0
        self.results: dict[str, list[PollResult]] = {}
        self.wanted: dict[str, int] = {}  # previous-day requests by account
        self.background: list[tuple[float, str]] = []
        self._late: dict[str, list[float]] = {}
        self._rate_limiter = RateLimiter(rate, self.clock)
        self._buckets: list[Bucket] = []
        self._clients: dict[str, Client] = {}
        self.poller = Poller(
            self.scheduler,
            self._poll,
            self._publish,
            self,
            slots=self.slots,
            rate_limiter=self._rate_limiter,
            clock=self.clock,
        )

    def add(
        self, account: str, buckets: int, answer: Answering, credentials: Credentials | None = None
    ) -> None:
        """Add an account whose API responds to every request with `answer`."""

        async def counted(_request: httpx.Request) -> httpx.Response:
            self.requests.append((self.clock.monotonic() - self.start, account))
            self.in_flight += 1
            self.most_under_way = max(self.most_under_way, self.in_flight)
            try:
                return await answer()
            finally:
                self.in_flight -= 1

        requester = Requester(
            account,
            "http://api.example",
            transport=Transport(httpx.MockTransport(counted)),
            timeout=TIMING.poll_timeout,
            max_response_bytes=10_000,
            user_agent="test",
            clock=self.clock,
            observer=Recorder(),
        )
        self._clients[account] = Client(
            requester,
            credentials or StaticToken("t"),
            response_limits=ResponseLimits(frozenset(), 10),
            deadline=TIMING.poll_interval,
            turns=self.slots.of(account),
            clock=self.clock,
            rng=Random(0),
        )
        self._buckets += (bucket(f"{account}-{number}", account) for number in range(buckets))

    def background_accounts(self) -> dict[str, float]:
        return {name: self.start for name, count in self.wanted.items() if count}

    def background_work(self, account: str) -> Coroutine[None, None, None]:
        self.wanted[account] -= 1
        return self._ask_previous_day(account)

    async def list_buckets(self, account: str) -> None:
        """Make one discovery request."""
        async with self.slots.listing(account):
            await self._clients[account].buckets(None)

    async def after_seconds(
        self, answer: httpx.Response, seconds: float = SECONDS
    ) -> httpx.Response:
        """Return this response after a delay."""
        await self.clock.sleep(seconds)
        return answer

    async def well(self) -> httpx.Response:
        """Respond like a healthy API."""
        return await self.after_seconds(httpx.Response(200, content=GOOD))

    async def hangs(self) -> httpx.Response:
        """Never respond."""
        await asyncio.Event().wait()
        raise AssertionError

    def times(self, account: str) -> list[float]:
        """When an account's requests were made, in seconds since the start."""
        return [at for at, name in self.requests if name == account]

    def latest(self, account: str) -> float:
        """The longest delay between due time and start of an account's polls, in seconds."""
        return max(self._late[account])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.TaskGroup]:
        """Make all buckets due at once and poll them while the body runs."""
        self.scheduler.poll([(each, TIMING) for each in self._buckets], self.start)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.poller.run())
            yield group
            task.cancel()

    async def _poll(self, polled: Bucket) -> PollResult:
        (scheduled,) = (each for each in self.scheduler.targets if each.bucket is polled)
        self._late.setdefault(polled.account, []).append(self.clock.monotonic() - scheduled.due)
        return await self._clients[polled.account].poll(polled)

    def _publish(self, polled: Target, result: PollResult) -> None:
        self.results.setdefault(polled.bucket.account, []).append(result)

    async def _ask_previous_day(self, account: str) -> None:
        self.background.append((self.clock.monotonic() - self.start, account))
        await self._clients[account].day_stats("b", self.clock.now().day)


async def test_hung_account_makes_no_other_late() -> None:
    """One account's 600 hanging buckets fill all slots, yet a healthy account is polled in time."""
    process = Process()
    process.add("hung", 600, process.hangs)
    process.add("well", 1, process.well)
    async with process.running():
        await process.clock.advance(480)
    times = process.times("well")
    assert times[0] <= TIMING.poll_timeout
    assert process.latest("well") <= TIMING.poll_timeout
    assert len(times) >= 8
    assert all(isinstance(each, GoodPoll) for each in process.results["well"])
    assert process.most_under_way == 16
    assert len(process.times("hung")) >= 16 * 47, "all that the other one leaves"


async def test_fifteen_hung_accounts_make_no_other_late() -> None:
    """With no more accounts than request slots, a poll waits for at most one timeout."""
    process = Process()
    for number in range(15):
        process.add(f"hung-{number}", 40, process.hangs)
    process.add("well", 1, process.well)
    async with process.running():
        await process.clock.advance(400)
    assert process.latest("well") <= TIMING.poll_timeout


async def test_more_accounts_than_places_take_turns() -> None:
    """With more hung accounts than request slots, the account that waited longest is next."""
    process = Process(slots=4)
    for number in range(12):
        process.add(f"hung-{number}", 20, process.hangs)
    process.add("well", 1, process.well)
    async with process.running():
        await process.clock.advance(600)
    turns = {f"hung-{number}": len(process.times(f"hung-{number}")) for number in range(12)}
    assert max(turns.values()) - min(turns.values()) <= 1
    assert process.latest("well") <= ceil(13 / 4) * TIMING.poll_timeout


async def test_retries_hold_no_place_between_attempts() -> None:
    """A slowly failing poll frees its slot after each attempt, not only after the last retry."""
    process = Process(slots=4)

    async def fails_slowly() -> httpx.Response:
        return await process.after_seconds(httpx.Response(502), 9.5)

    process.add("failing", 50, fails_slowly)
    process.add("well", 1, process.well)
    async with process.running():
        await process.clock.advance(400)
    assert process.latest("well") <= TIMING.poll_timeout
    assert process.most_under_way == 4


async def test_who_waits_for_a_token_holds_no_place() -> None:
    """A hanging login delays only the polls of its own account."""
    process = Process(slots=4)
    process.add("logging-in", 50, process.well, SlowLogin(process.clock, 1e6))
    process.add("well", 1, process.well)
    async with process.running():
        await process.clock.advance(400)
    assert process.times("logging-in") == []
    assert process.latest("well") <= SECONDS
    assert len(process.times("well")) >= 6


async def test_polls_that_waited_for_a_token_keep_to_the_places() -> None:
    """Polls that waited for a login still respect the limit on concurrent requests."""
    process = Process(slots=4)
    process.add("logging-in", 50, process.well, SlowLogin(process.clock, 30))
    process.add("well", 1, process.well)
    async with process.running():
        await process.clock.advance(50)
    assert len(set(process.times("logging-in"))) > 10
    assert process.most_under_way == 4


async def test_other_token_is_waited_for_without_a_place() -> None:
    """During the refresh of a rejected token, others can use the slot; then the poll is retried."""
    process = Process(slots=1)
    answers = [httpx.Response(401), httpx.Response(200, content=GOOD)]

    async def refuses_once() -> httpx.Response:
        return await process.after_seconds(answers.pop(0))

    credentials = SlowLogin(process.clock, 20)
    process.add("refused", 1, refuses_once, credentials)
    process.add("well", 1, process.well)
    async with process.running():
        await process.clock.advance(40)
        assert process.times("refused") == [pytest.approx(20.0, abs=1)]
        assert process.times("well")[0] < 1
        await process.clock.advance(30)
    assert len(process.times("refused")) == 2
    assert [isinstance(each, GoodPoll) for each in process.results["refused"]] == [True]


async def test_failing_accounts_retries_starve_nobody_of_requests() -> None:
    """At a low rate limit, an account whose connections are all refused does not starve others."""
    process = Process(rate=5)

    async def refuses() -> httpx.Response:
        raise httpx.ConnectError("refused")

    process.add("failing", 600, refuses)
    process.add("well", 20, process.well)
    async with process.running():
        await process.clock.advance(65)
        assert len(process.times("well")) >= 20
        await process.clock.advance(600)
    polls = len(process.results["well"])
    assert polls >= 20 * 10


async def test_one_account_keeps_to_the_places() -> None:
    """A single account never has more polls in progress than slots, including polls in back-off."""
    process = Process(slots=3)

    async def fails() -> httpx.Response:
        return await process.after_seconds(httpx.Response(500))

    process.add("failing", 30, fails)
    async with process.running():
        await settle()
        for _ in range(50):
            await process.clock.advance(0.1)
            assert sum(scheduled.is_running for scheduled in process.scheduler.targets) <= 3
    assert process.most_under_way == 3


async def test_listings_that_hang_leave_polls_their_places() -> None:
    """Hanging discovery requests take at most half of the slots, and every account gets a turn."""
    process = Process()
    process.add("well", 30, process.well)
    for number in range(100):
        process.add(f"hung-{number}", 0, process.hangs)
    async with process.running() as group:
        for number in range(100):
            group.create_task(process.list_buckets(f"hung-{number}"))
        await process.clock.advance(1)
        assert len(process.times("well")) == 30
        assert process.in_flight == 8
        await process.clock.advance(140)
        assert len(process.requests) - len(process.times("well")) == 100


async def test_polls_that_hang_leave_listings_their_turn() -> None:
    """While 600 buckets hang, another account's discovery waits for at most one timeout."""
    process = Process()
    process.add("hung", 600, process.hangs)
    process.add("well", 0, process.well)
    async with process.running() as group:
        await process.clock.advance(5)
        group.create_task(process.list_buckets("well"))
        await process.clock.advance(TIMING.poll_timeout)
        assert len(process.times("well")) == 1


async def test_polls_that_hang_leave_previous_days_their_turn() -> None:
    """While 600 buckets hang, another account's previous-day requests are still made."""
    process = Process()
    process.add("hung", 600, process.hangs)
    process.add("well", 0, process.well)
    process.wanted = {"well": 30}
    async with process.running():
        await process.clock.advance(30)
    assert len(process.background) == 30


async def test_previous_days_that_hang_leave_others_their_turn() -> None:
    """Hanging previous-day requests take at most half of the slots; other accounts get the next."""
    process = Process()
    process.add("hung", 0, process.hangs)
    process.add("well", 1, process.well)
    process.wanted = {"hung": 500}
    async with process.running():
        await process.clock.advance(5)
        assert process.in_flight == 8
        process.wanted["well"] = 3
        await process.clock.advance(TIMING.poll_timeout)
    assert [name for _, name in process.background[:16]].count("well") >= 3


async def test_cancelled_wait_frees_its_slot() -> None:
    """Cancelling a wait frees its slot, even right after it was granted; taken slots stay taken."""
    clock = FakeClock()
    slots = RequestSlots(1, clock)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_listed(slots, name)) for name in ("a", "b")]
        await settle()
        assert slots.grant("a")
        for task in tasks:
            task.cancel()
    assert slots.wanted() == {}
    assert slots.free == 1
    slots.take("a")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(slots.acquire("a"))
        await settle()
        assert slots.free == 1
        task.cancel()
    assert slots.free == 0, "it is its call's, which will give it back"


async def _listed(slots: RequestSlots, account: str) -> None:
    async with slots.listing(account):
        await asyncio.Event().wait()
