"""An API in trouble, clocks that jump: what the exporter does in the long run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from exporter.simulator import CallKind
from tests.harness.fakes import MIDNIGHT
from tests.harness.scrapes import Scrape
from tests.harness.stack import BUCKETS, all_polled, document, running

MANY = tuple(f"b{number}" for number in range(60))


def many(**settings: object) -> Callable[[str], str]:
    """A configuration with many buckets at a short interval."""
    chosen = {"poll_interval": "10s", "poll_timeout": "5s", **settings}
    return lambda api: document(api, buckets=MANY, **chosen)


def count_up(page: Scrape) -> int:
    """How many buckets are up."""
    return sum(sample.value == 1 for sample in page.all("flashback_bucket_up"))


@pytest.mark.parametrize("scenario", ["hang/share=1", "disconnect/share=1", "5xx/share=1"])
async def test_whole_api_in_trouble_recovers(scenario: str) -> None:
    """While nothing is answered, few connections are open; then every bucket is back."""
    text = many(max_concurrent_requests=8, max_requests_per_second=100)
    async with running(text=text, speed=10) as at_work:
        await at_work.scrape_when(lambda page: count_up(page) == len(MANY))
        at_work.api.play(scenario)
        await at_work.scrape_when(lambda page: count_up(page) == 0)
        assert at_work.api.record.most_at_once[CallKind.STATS] <= 8
        at_work.api.play("")
        await at_work.scrape_when(lambda page: count_up(page) == len(MANY))
        assert at_work.api.record.most_at_once[CallKind.STATS] <= 8


async def test_requests_keep_to_the_rate_also_in_trouble() -> None:
    """Retries are requests: together with the polls they stay below max_requests_per_second."""
    text = many(max_requests_per_second=5)
    async with running("5xx/share=1", text=text, speed=10) as at_work:
        record = at_work.api.record
        await at_work.wait_until(lambda: sum(record.calls.values()) > 20)
        start, before = at_work.clock.monotonic(), sum(record.calls.values())
        await at_work.wait_until(lambda: sum(record.calls.values()) > before + 100)
        assert at_work.clock.monotonic() - start > 100 / 5 * 0.8


class Peer:
    """An API whose connections misbehave."""

    def __init__(self) -> None:
        self.connections = 0
        self.silent_from = 1_000_000  # answers on a connection after which it says nothing more
        self.closes_after = 1_000_000  # answers on a connection after which it is closed
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        answered = 0
        body = b'{"success":true,"nodeStats":[]}'
        try:
            while answered < self.closes_after:
                await reader.readuntil(b'Z"}')
                if answered >= self.silent_from:
                    await reader.read()  # until the client has had enough
                    break
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
                answered += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def peering(peer: Peer) -> AsyncIterator[Peer]:
    """Serve it on a free loopback port."""
    async with asyncio.TaskGroup() as group:
        server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
        peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        serving = group.create_task(server.serve_forever())
        yield peer
        serving.cancel()


async def test_connections_closed_at_random_cost_no_reading() -> None:
    """A server that closes kept connections between requests is asked again on another one."""
    peer = Peer()
    peer.closes_after = 2
    async with peering(peer):
        text = document(peer.url, poll_interval="5s")
        async with running(text=lambda _: text, speed=20) as at_work:
            await at_work.scrape_when(all_polled)
            while peer.connections < 12:
                page = await at_work.scrape()
                assert not page.has("flashback_bucket_failing")


async def test_half_open_connection_costs_one_time_out() -> None:
    """A kept connection that goes silent is given up, and the next poll takes another one."""
    peer = Peer()
    peer.silent_from = 1
    async with peering(peer):
        text = document(peer.url, poll_interval="5s", poll_timeout="2s")
        async with running(text=lambda _: text, speed=10) as at_work:
            await at_work.scrape_when(lambda page: page.has("flashback_bucket_failing"))
            peer.silent_from = 1_000_000
            await at_work.scrape_when(lambda page: count_up(page) == len(BUCKETS))


@pytest.mark.parametrize("seconds", [3600, 86400, 40 * 86400, -3600, -86400, -40 * 86400])
async def test_wall_clock_may_jump(seconds: float) -> None:
    """Setting the clock makes nothing stale, stops no poll, and asks for the new day."""
    async with running(text=lambda api: document(api, poll_interval="5s"), speed=10) as at_work:
        await at_work.scrape_when(lambda page: count_up(page) == len(BUCKETS))
        at_work.clock.jump_wall(seconds)
        page = await at_work.scrape()
        assert count_up(page) == len(BUCKETS)
        day = at_work.clock.wall() // 86400 * 86400
        days = "flashback_bucket_stats_day_timestamp_seconds"
        page = await at_work.scrape_when(
            lambda page: {sample.value for sample in page.all(days)} == {day}
        )
        assert await at_work.status("/-/healthy") == 200


async def test_jump_over_midnight_into_an_empty_day() -> None:
    """A clock set to just after midnight, where the API has nothing yet, keeps what there was."""
    async with running("empty-new-day", wall=MIDNIGHT - 7200, speed=20) as at_work:
        await at_work.scrape_when(all_polled)
        at_work.clock.jump_wall(7200 + 30)
        calls = sum(at_work.api.record.calls.values())
        await at_work.wait_until(
            lambda: sum(at_work.api.record.calls.values()) >= calls + 2 * len(BUCKETS)
        )
        page = await at_work.scrape()
        assert all(sample.value == 6 for sample in page.all("flashback_bucket_nodes"))
        assert count_up(page) == len(BUCKETS)
