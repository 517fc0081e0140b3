"""Polls that share a login, over many minutes: retries, and what happens to the buckets.

Scheduler, poller, client and login are the exporter's own; the API is a fake.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random
from typing import NoReturn

import httpx
import pytest

from exporter.model import FailedPoll, GoodPoll, PollResult, Reason, Timing
from exporter.polling.poller import Poller
from exporter.polling.targets import Target
from exporter.upstream.client import Client
from exporter.upstream.login import LoginCredentials
from exporter.upstream.parsing import ResponseLimits
from exporter.upstream.rate_limit import RateLimiter, RequestSlots
from exporter.upstream.request import Requester
from exporter.upstream.transport import Transport
from tests.harness.fakes import FakeClock, Recorder, bucket
from tests.polling.scheduled import ScheduledTargets

HOUR = 3600.0


class Api:
    """A fake API for login, refresh and stats, whose delays and refusals a test sets."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.seconds = {"login": 0.2, "refresh": 0.2, "stats": 0.1}
        self.refused = {"login": 0, "refresh": 0}  # respond with this status; 0: grant a token
        self.called: list[tuple[float, str]] = []
        self.bad_tokens: set[str] = set()
        self.gives_bad_tokens: set[str] = set()  # calls whose new tokens the API then refuses
        self._issued = 0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        call = request.url.path.rsplit("/", 1)[1]
        self.called.append((self.clock.monotonic(), call))
        await self.clock.sleep(self.seconds[call])
        if call == "stats":
            refused = request.headers["Authorization"].removeprefix("Bearer ") in self.bad_tokens
            return httpx.Response(401 if refused else 200, content=b'{"nodeStats": []}')
        return httpx.Response(self.refused[call]) if self.refused[call] else self._grant(call)

    def revoke(self) -> None:
        """Refuse every token that was issued so far."""
        self.bad_tokens |= {f"token-{number}" for number in range(self._issued + 1)}

    def times(self, call: str) -> list[float]:
        """When a call was made, in seconds after the first call of its kind."""
        times = [time for time, each in self.called if each == call]
        return [time - times[0] for time in times]

    def _grant(self, call: str) -> httpx.Response:
        self._issued += 1
        token = f"token-{self._issued}"
        if call in self.gives_bad_tokens:
            self.bad_tokens.add(token)
        body = {"accessToken": token, "refreshToken": f"refresh-{self._issued}"}
        return httpx.Response(200, content=json.dumps(body))


class World:
    """An account's buckets, polled by the exporter's own components."""

    def __init__(self, count: int, timing: Timing) -> None:
        self.clock = FakeClock()
        self.api = Api(self.clock)
        self.newest: dict[str, PollResult] = {}
        self.failures: list[FailedPoll] = []
        rate_limiter, seen = RateLimiter(1000, self.clock), Recorder()
        slots = RequestSlots(16, self.clock)
        requester = Requester(
            "main",
            "https://api.example",
            transport=Transport(httpx.MockTransport(self.api.answer)),
            timeout=timing.poll_timeout,
            max_response_bytes=10_000,
            user_agent="test",
            clock=self.clock,
            observer=seen,
        )
        self.login = LoginCredentials(
            "main",
            "ops@example.com",
            "s3cret",
            requester=requester,
            timing=timing,
            rate_limiter=rate_limiter,
            clock=self.clock,
            rng=Random(0),
        )
        client = Client(
            requester,
            self.login,
            response_limits=ResponseLimits(frozenset(), 10),
            deadline=timing.poll_interval,
            turns=slots.of("main"),
            clock=self.clock,
            rng=Random(0),
        )
        self.scheduler = ScheduledTargets(self.clock.now())
        buckets = [(bucket(f"b{number}"), timing) for number in range(count)]
        self.scheduler.poll(buckets, self.clock.monotonic())
        self.poller = Poller(
            self.scheduler,
            client.poll,
            self._publish,
            self,
            slots=slots,
            rate_limiter=rate_limiter,
            clock=self.clock,
        )

    def background_accounts(self) -> dict[str, float]:
        return {}

    def background_work(self, account: str) -> NoReturn:
        raise AssertionError(account)

    def recheck(self) -> None:
        """Re-poll the refused buckets, as the exporter does when a login sends a notification."""
        self.scheduler.retry_now("main", self.clock.monotonic())
        self.poller.wake()

    def up(self) -> int:
        """How many buckets had a good newest poll."""
        return sum(isinstance(result, GoodPoll) for result in self.newest.values())

    def _publish(self, polled: Target, result: PollResult) -> None:
        self.newest[polled.bucket.id] = result
        if isinstance(result, FailedPoll):
            self.failures.append(result)


@asynccontextmanager
async def polling(count: int, timing: Timing | None = None) -> AsyncIterator[World]:
    """Poll this many buckets while the body runs."""
    world = World(count, timing or Timing())
    async with asyncio.TaskGroup() as group:
        running = [
            group.create_task(each) for each in (world.login.run(world.recheck), world.poller.run())
        ]
        yield world
        for task in running:
            task.cancel()


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_refused_login_is_rechecked_at_the_promised_times(count: int) -> None:
    """A refused login is retried after one interval, then with waits that double to the limit."""
    async with polling(count) as world:
        world.api.refused["login"] = 401
        await world.clock.advance(1100)
        minutes = [time / 60 for time in world.api.times("login")]
        assert minutes == pytest.approx([0, 1, 3, 7, 12, 17], abs=0.1)
        assert {each.error.reason for each in world.failures} == {Reason.UNAUTHORIZED}


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_login_that_works_again_is_noticed_by_all_buckets(count: int) -> None:
    """Once the login succeeds, all buckets are polled at once, then at their interval."""
    async with polling(count) as world:
        world.api.refused["login"] = 401
        await world.clock.advance(170)
        assert world.up() == 0
        world.api.refused["login"] = 0
        await world.clock.advance(20)
        assert world.up() == count
        assert len(world.api.times("login")) == 3
        await world.clock.advance(120)
        assert len(world.api.times("stats")) >= 2 * count


async def test_hanging_login_is_tried_a_few_times_a_minute() -> None:
    """A hanging login is retried a few times a minute, and each attempt has its full timeout."""
    async with polling(60, Timing(poll_interval=10, poll_timeout=10)) as world:
        world.api.seconds["login"] = 1e6
        await world.clock.advance(60)
        assert world.api.times("login") == pytest.approx([0, 15, 35, 55], abs=0.1)
        assert {each.error.reason for each in world.failures} == {Reason.TIMEOUT}
        world.api.seconds["login"] = 0.2
        await world.clock.advance(30)
        assert world.up() == 60


async def test_login_slower_than_its_polls_gets_through() -> None:
    """A slow refresh and login that together take longer than a poll_timeout still succeed."""
    async with polling(20, Timing(poll_interval=10, poll_timeout=10)) as world:
        await world.clock.advance(15)
        assert world.up() == 20
        world.api.revoke()
        world.api.seconds |= {"login": 8.0, "refresh": 8.0}
        world.api.refused["refresh"] = 401
        await world.clock.advance(40)
        assert world.up() == 20
        assert (len(world.api.times("refresh")), len(world.api.times("login"))) == (1, 2)


@pytest.mark.parametrize("count", [1, 20])
async def test_refresh_whose_tokens_are_refused_leads_to_a_login(count: int) -> None:
    """If the API refuses tokens from refresh, one login restores the account."""
    async with polling(count) as world:
        await world.clock.advance(100)
        assert world.up() == count
        world.api.revoke()
        world.api.gives_bad_tokens = {"refresh"}
        await world.clock.advance(200)
        assert world.up() == count
        assert (len(world.api.times("refresh")), len(world.api.times("login"))) == (1, 2)


@pytest.mark.parametrize("count", [1, 20])
async def test_api_that_refuses_every_token_is_not_hammered(count: int) -> None:
    """If every token is refused, there is at most one refresh and one login per interval."""
    async with polling(count) as world:
        world.api.gives_bad_tokens = {"login", "refresh"}
        await world.clock.advance(HOUR)
        for call in ("login", "refresh"):
            times = world.api.times(call)[1:]  # the first login is for the first token
            assert all(later - earlier >= 59 for earlier, later in pairwise(times))
        assert {each.error.reason for each in world.failures} == {Reason.UNAUTHORIZED}
