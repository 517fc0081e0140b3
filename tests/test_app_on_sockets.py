"""The whole exporter against the simulator over real sockets, for what needs them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import trustme

from exporter.app import Options
from exporter.polling.runner import NO_CHANGE, Runner
from exporter.simulator import CallKind, SimulatedBucket
from exporter.web.server import ListenAddress, ListenError
from tests.harness.stack import (
    BUCKETS,
    FIELDS,
    all_polled,
    document,
    running_on_sockets,
    was_served,
)
from tests.upstream import scripted


async def test_page_says_what_the_api_said() -> None:
    """Every bucket has six nodes, with exactly the values that the API returned."""
    async with running_on_sockets() as at_work:
        page = await at_work.scrape_when(all_polled)
        for name in FIELDS:
            samples = page.all(name)
            assert len(samples) == 6 * len(BUCKETS)
            assert all(was_served(at_work.api, sample) for sample in samples)


async def test_tls_trouble_shows_as_its_reason() -> None:
    """An API that does not speak TLS is exported with the reason `tls`."""
    async with running_on_sockets(
        text=lambda api: document(api.replace("http:", "https:"))
    ) as at_work:
        page = await at_work.scrape_when(all_polled)
        reasons = {sample.labels["reason"] for sample in page.all("flashback_bucket_failing")}
        assert reasons == {"tls"}


async def test_end_of_the_apis_certificate_is_shown(tmp_path: Path) -> None:
    """The certificate expiry is exported for an account with TLS, and missing without TLS."""
    authority, end = trustme.CA(), datetime(2030, 6, 1, tzinfo=UTC)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", not_after=end).configure_cert(context)

    async def answer(asked: scripted.Client) -> None:
        await asked.send(scripted.http(b'{"success":true,"nodeStats":[]}'))

    async with scripted.scripted(answer, context) as secure:
        account = (
            f"  - name: secure\n    base_url: {secure.url}\n"
            f"    tls_config: {{ca_file: {tmp_path}/ca.pem}}\n"
            "    authorization: {credentials: t1}\n    buckets: [b4]\n"
        )
        async with running_on_sockets(text=lambda api: document(api) + account) as at_work:
            page = await at_work.scrape_when(lambda page: len(page.all("flashback_bucket_up")) == 4)
            assert {each.value for each in page.all("flashback_bucket_up")} == {1}
            (shown,) = page.all("flashback_account_certificate_expiry_timestamp_seconds")
            assert (shown.labels, shown.value) == ({"account": "secure"}, end.timestamp())


@pytest.mark.parametrize(
    "bucket_id", ["a/b", "50%", "a b?c#d", "é", "a+b", "0123", "...", "%2e", "{x}"]
)
async def test_odd_ids_arrive_as_they_are(bucket_id: str) -> None:
    """A bucket id with special characters is unchanged in the request and in the labels."""
    async with running_on_sockets(text=lambda api: document(api, buckets=(bucket_id,))) as at_work:
        page = await at_work.scrape_when(lambda page: page.has("flashback_bucket_up"))
        assert page.value("flashback_bucket_up", bucket_id=bucket_id) == 1
        assert set(at_work.api.record.calls) == {bucket_id}


async def test_address_that_is_taken_is_an_error() -> None:
    """If the listen address is in use, the exporter does not start."""
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as taken:
        address = ListenAddress("127.0.0.1", taken.sockets[0].getsockname()[1])
        with pytest.raises(ListenError, match="in use"):
            async with running_on_sockets(options=Options((address,))):
                pass


class Peer:
    """An API whose connections go silent or close."""

    def __init__(self) -> None:
        self.connections = 0
        self.silent_from = 1_000_000  # responses on a connection before it goes silent
        self.closes_after = 1_000_000  # responses on a connection before it is closed
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        answered = 0
        body = b'{"success":true,"nodeStats":[]}'
        try:
            while answered < self.closes_after:
                await reader.readuntil(b'Z"}')
                if answered >= self.silent_from:
                    await reader.read()  # until the client closes the connection
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
    """Run the API on a free loopback port."""
    async with asyncio.TaskGroup() as group:
        server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
        peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        serving = group.create_task(server.serve_forever())
        yield peer
        serving.cancel()


@pytest.mark.long
async def test_connections_closed_at_random_cost_no_reading() -> None:
    """If the server closes kept connections, requests are retried on new ones and no poll fails."""
    peer = Peer()
    peer.closes_after = 2
    async with peering(peer):
        text = document(peer.url, poll_interval="5s")
        async with running_on_sockets(text=lambda _: text) as at_work:
            await at_work.scrape_when(all_polled)
            while peer.connections < 5:
                page = await at_work.scrape()
                assert not page.has("flashback_bucket_failing")
                await asyncio.sleep(0.1)


@pytest.mark.long
async def test_half_open_connection_costs_one_time_out() -> None:
    """After a kept connection goes silent and one poll timed out, a new connection is used."""
    peer = Peer()
    peer.silent_from = 1
    async with peering(peer):
        text = document(peer.url, poll_interval="5s", poll_timeout="2s")
        async with running_on_sockets(text=lambda _: text) as at_work:
            await at_work.scrape_when(lambda page: page.has("flashback_bucket_failing"))
            peer.silent_from = 1_000_000
            await at_work.scrape_when(
                lambda page: len(page.all("flashback_bucket_nodes")) == len(BUCKETS)
            )


FOUND = (SimulatedBucket("d1"), SimulatedBucket("d2"), SimulatedBucket("d3"))


async def test_listings_that_arrive_together_are_planned_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thirty list responses that arrive together cause at most five plans, not thirty."""
    plan, plans, answered = Runner.plan, [0], Event()

    def slow_plan(self: Runner, known: Any, change: Any = NO_CHANGE) -> Any:  # noqa: ANN401 - as it is
        plans[0] += 1
        if change.listed:
            answered.wait(60)
        return plan(self, known, change)

    monkeypatch.setattr(Runner, "plan", slow_plan)
    accounts = "".join(
        f"  - {{name: a{number}, authorization: {{credentials: t}}, discovery: {{}}}}\n"
        for number in range(30)
    )

    def text(api: str) -> str:
        return (
            f"global: {{base_url: '{api}', max_requests_per_second: 1000}}\naccounts:\n{accounts}"
        )

    async with running_on_sockets(text=text, buckets=FOUND) as at_work:
        await at_work.wait_until(lambda: at_work.api.record.calls_by_kind[CallKind.LIST] == 30)
        page = await at_work.scrape()
        assert not page.has("flashback_account_discovery_up"), (
            "listed and known at once, or neither"
        )
        assert page.value("flashback_exporter_buckets") == 0
        answered.set()
        page = await at_work.scrape_when(
            lambda page: len(page.all("flashback_account_discovery_up")) == 30
        )
        assert page.value("flashback_exporter_buckets") == len(FOUND)
    assert plans[0] <= 5, "the first, one for what came first, a few for what came meanwhile"
