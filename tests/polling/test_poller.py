"""The loop that polls the buckets that are due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

import pytest

from exporter.model import Bucket, PollResult, Reason, Timing
from exporter.polling.poller import HEARTBEAT_LIMIT, Poller
from exporter.polling.targets import Target
from exporter.upstream.rate_limit import RateLimiter, RequestSlots
from tests.harness.fakes import FakeClock, bucket, failure, reading, settle
from tests.polling.scheduled import ScheduledTargets


class Upstream:
    """A fake API with slow polls, which records what was polled and published."""

    def __init__(self, clock: FakeClock, seconds: float = 0.1) -> None:
        self.clock = clock
        self.seconds = seconds
        self.running: list[str] = []
        self.most_running = 0
        self.started: list[tuple[float, str]] = []
        self.published: list[tuple[str, PollResult]] = []
        self.reasons: dict[str, Reason] = {}
        self.spares_left = self.spares_running = self.most_spares_running = 0

    async def poll(self, polled: Bucket) -> PollResult:
        self.started.append((self.clock.monotonic(), polled.id))
        self.running.append(polled.id)
        self.most_running = max(self.most_running, len(self.running))
        await self.clock.sleep(self.seconds)
        self.running.remove(polled.id)
        reason = self.reasons.get(polled.id)
        now = self.clock.now()
        return reading(now) if reason is None else failure(now, reason)

    def publish(self, polled: Target, result: PollResult) -> None:
        self.published.append((polled.bucket.id, result))

    def background_accounts(self) -> dict[str, float]:
        return {"main": 0.0} if self.spares_left else {}

    def background_work(self, account: str) -> Coroutine[None, None, None]:
        assert account == "main"
        self.spares_left -= 1
        return self.fill_in()

    async def fill_in(self) -> None:
        """Do background work, such as a previous-day request."""
        self.spares_running += 1
        self.most_spares_running = max(self.most_spares_running, self.spares_running)
        self.started.append((self.clock.monotonic(), "spare"))
        await self.clock.sleep(self.seconds)
        self.spares_running -= 1


class Buggy(Upstream):
    """An upstream whose publish raises an exception."""

    def publish(self, polled: Target, result: PollResult) -> None:
        raise ZeroDivisionError


async def forever(upstream: Upstream) -> None:
    """Poll one bucket until an exception ends the loop."""
    async with polling(upstream, 1):
        await upstream.clock.advance(1)
        await asyncio.Event().wait()


@asynccontextmanager
async def polling(
    upstream: Upstream,
    count: int,
    *,
    max_concurrent: int = 16,
    rate: float = 1000,
    scheduler: ScheduledTargets | None = None,
) -> AsyncIterator[Poller]:
    """Run a poller with `count` buckets and a one-minute interval."""
    clock = upstream.clock
    scheduler = scheduler or ScheduledTargets(clock.now())
    scheduler.poll([(bucket(f"b{number}"), Timing()) for number in range(count)], clock.monotonic())
    poller = Poller(
        scheduler,
        upstream.poll,
        upstream.publish,
        upstream,
        slots=RequestSlots(max_concurrent, clock),
        rate_limiter=RateLimiter(rate, clock),
        clock=clock,
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(poller.run())
        yield poller
        task.cancel()


async def test_each_bucket_is_polled_at_once_and_then_once_per_interval() -> None:
    """All buckets are polled at startup, then each of them once a minute."""
    upstream = Upstream(FakeClock())
    async with polling(upstream, 5):
        await upstream.clock.advance(1)
        assert sorted(name for name, _ in upstream.published) == ["b0", "b1", "b2", "b3", "b4"]
        await upstream.clock.advance(90)
        upstream.published.clear()
        await upstream.clock.advance(600)
    names = [name for name, _ in upstream.published]
    assert {name: names.count(name) for name in names} == {f"b{n}": 10 for n in range(5)}


async def test_concurrency_is_bounded() -> None:
    """At most max_concurrent polls run at once, and every bucket is still polled."""
    upstream = Upstream(FakeClock(), seconds=1)
    async with polling(upstream, 20, max_concurrent=3):
        await upstream.clock.advance(10)
    assert upstream.most_running == 3
    assert len(upstream.published) == 20


async def test_rate_is_bounded() -> None:
    """Polls start no faster than the rate limit."""
    upstream = Upstream(FakeClock())
    async with polling(upstream, 20, rate=2):
        await upstream.clock.advance(5.1)
        assert 10 <= len(upstream.started) <= 11
        await upstream.clock.advance(10)
    assert len({name for _, name in upstream.started}) == 20


@pytest.mark.parametrize("rate", [10, 1000])
async def test_what_can_wait_comes_after_what_is_due(rate: float) -> None:
    """Due polls start before background requests, which take at most half of the slots."""
    upstream = Upstream(FakeClock(), seconds=1)
    upstream.spares_left = 20
    async with polling(upstream, 12, max_concurrent=4, rate=rate):
        await upstream.clock.advance(20)
    names = [name for _, name in upstream.started]
    assert names[12:] == ["spare"] * 20
    assert upstream.most_spares_running == 2
    assert upstream.spares_left == 0


async def test_failing_bucket_does_not_disturb_the_others() -> None:
    """A failing bucket is polled less often; the other buckets keep their interval."""
    upstream = Upstream(FakeClock())
    upstream.reasons["b0"] = Reason.NOT_FOUND
    async with polling(upstream, 2):
        await upstream.clock.advance(3700)
    polls = [name for _, name in upstream.started]
    assert polls.count("b1") in {62, 63}
    assert polls.count("b0") < polls.count("b1") / 3


async def test_what_becomes_due_unexpectedly_is_polled_at_once() -> None:
    """A bucket that is added while the loop sleeps is polled immediately."""
    upstream = Upstream(FakeClock())
    scheduler = ScheduledTargets(upstream.clock.now())
    async with polling(upstream, 0, scheduler=scheduler) as poller:
        await upstream.clock.advance(1)
        scheduler.poll([(bucket("new"), Timing())], upstream.clock.monotonic())
        poller.wake()
        await upstream.clock.advance(0.2)
    assert [name for name, _ in upstream.published] == ["new"]


async def test_retired_poller_takes_nothing_more() -> None:
    """A poller that was stopped starts no more polls and leaves due buckets to its successor."""
    upstream = Upstream(FakeClock())
    scheduler = ScheduledTargets(upstream.clock.now())
    async with polling(upstream, 0, scheduler=scheduler) as poller:
        poller.stop()
        scheduler.poll([(bucket("new"), Timing())], upstream.clock.monotonic())
        poller.wake()
        await upstream.clock.advance(10)
    assert upstream.started == []
    assert scheduler.pop_due(upstream.clock.monotonic()) is not None


async def test_polls_that_end_after_retirement_count_for_nothing() -> None:
    """A poll that ends after a reload is discarded: its 429 does not pause the new account."""
    upstream = Upstream(FakeClock(), seconds=1)
    upstream.reasons["b0"] = Reason.RATE_LIMITED
    scheduler = ScheduledTargets(upstream.clock.now())
    async with polling(upstream, 1, scheduler=scheduler) as poller:
        await upstream.clock.advance(0.5)
        poller.stop()
        scheduler.drop_account("main")
        await upstream.clock.advance(10)
    assert upstream.published == []
    assert scheduler.paused(upstream.clock.monotonic()) == {}


async def test_bug_in_a_poll_ends_the_loop() -> None:
    """An unexpected exception is not treated as a failed poll; it ends the loop."""
    upstream = Buggy(FakeClock(), seconds=0)
    with pytest.raises(ExceptionGroup) as caught:
        await forever(upstream)
    assert caught.group_contains(ZeroDivisionError)


async def test_loop_beats_with_nothing_to_do_and_with_everything_busy() -> None:
    """The loop is alive while idle or waiting for slow polls, and not after it has ended."""
    idle = Upstream(FakeClock())
    async with polling(idle, 0) as poller:
        await idle.clock.advance(1000)
        assert poller.is_alive()
    busy = Upstream(FakeClock(), seconds=500)
    async with polling(busy, 2, max_concurrent=1) as poller:
        await busy.clock.advance(400)
        assert poller.is_alive()
    await busy.clock.advance(HEARTBEAT_LIMIT + 1)
    assert not poller.is_alive()


async def test_stop_cancels_running_polls() -> None:
    """Polls that are cancelled at shutdown publish no result."""
    upstream = Upstream(FakeClock(), seconds=100)
    async with polling(upstream, 3):
        await settle()
        assert len(upstream.running) == 3
    assert upstream.published == []
