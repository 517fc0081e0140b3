"""The simulated API without faults, and what it records."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import date
from typing import TypeAlias

import httpx
import pytest

from exporter.simulator import CallKind, Served, Simulator, World, paced
from exporter.simulator.recorder import Recorder
from exporter.simulator.server import serve

Serving: TypeAlias = Callable[[Simulator], AbstractAsyncContextManager[httpx.AsyncClient]]

NOON = 1705320000.0  # 2024-01-15T12:00:00Z
DAY = date(2024, 1, 15)
TODAY = {"day": "2024-01-15T00:00:00.000Z"}
STATS = "/bucket/b/stats"


def noon() -> float:
    """A clock that stands still."""
    return NOON


async def test_it_answers_as_the_vendors_page_says(serving: Serving) -> None:
    """The response has the world's data for the bucket, day and time, in the vendor's format."""
    async with serving(Simulator(now=noon, seed=3)) as client:
        answer = await client.post(STATS, json=TODAY)
    rows = [node.row() for node in World(3).stats("b", DAY, NOON)]
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.json() == {"success": True, "nodeStats": rows}


async def test_it_answers_without_a_socket_as_over_one(serving: Serving) -> None:
    """A direct call of the simulator returns the same response as over HTTP."""
    scenarios = "churn,hostile-strings,fast-clock"
    async with serving(Simulator(now=noon, scenarios=scenarios)) as client:
        served = await client.post(STATS, json=TODAY)
    api = Simulator(now=noon, scenarios=scenarios)
    reply = api.respond(api.receive(CallKind.STATS, bucket="b", token="token", fields=TODAY))
    assert reply.response.body == served.content
    assert not api.record.served
    assert api.record.calls == {"b": 1}


async def test_equal_simulators_answer_alike(serving: Serving) -> None:
    """The same seed and scenarios give the same responses; another seed gives others."""
    series: list[list[bytes]] = []
    for seed in (1, 1, 2):
        scenarios = "churn,missing-fields,429-storm,5xx,wrong-shape"
        async with serving(Simulator(now=noon, seed=seed, scenarios=scenarios)) as client:
            series.append([(await client.post(STATS, json=TODAY)).content for _ in range(20)])
    assert series[0] == series[1] != series[2]


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Basic dXNlcjpwYXNz", "bearer token", "token"]
)
async def test_it_wants_a_bearer_token(serving: Serving, authorization: str) -> None:
    """A request without a bearer token gets 401."""
    async with serving(Simulator(now=noon)) as client:
        headers = {"Authorization": authorization}
        answer = await client.post(STATS, json=TODAY, headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {"success": False, "message": "Invalid or expired token"}


async def test_it_knows_its_tokens(serving: Serving) -> None:
    """If tokens are configured, only these are accepted, and they can be replaced at run time."""
    simulator = Simulator(now=noon, tokens={"old"})
    async with serving(simulator) as client:
        old = {"Authorization": "Bearer old"}
        assert (await client.post(STATS, json=TODAY)).status_code == 401
        assert (await client.post(STATS, json=TODAY, headers=old)).status_code == 200
        simulator.tokens = {"token"}
        assert (await client.post(STATS, json=TODAY, headers=old)).status_code == 401
        assert (await client.post(STATS, json=TODAY)).status_code == 200


async def test_it_knows_its_buckets(serving: Serving) -> None:
    """Unknown buckets get 404 and forbidden ones 403, but without a valid token both get 401."""
    simulator = Simulator(now=noon, buckets={"b", "c"}, forbidden={"c"}, tokens={"token"})
    async with serving(simulator) as client:
        known = await client.post(STATS, json=TODAY)
        forbidden = await client.post("/bucket/c/stats", json=TODAY)
        unknown = await client.post("/bucket/d/stats", json=TODAY)
        nobody = await client.post("/bucket/d/stats", json=TODAY, headers={"Authorization": ""})
    assert known.status_code == 200
    assert (forbidden.status_code, forbidden.json()["message"]) == (403, "Insufficient permissions")
    assert (unknown.status_code, unknown.json()["message"]) == (404, "Bucket not found")
    assert nobody.status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"day": null}',
        b'{"day": 1705276800}',
        b'{"day": "today"}',
        b'{"day": "2024-02-30T00:00:00.000Z"}',
        b'{"day": "0001-01-01T00:00:00+01:00"}',
        b'{"day": "2024-01-16T00:00:00.000Z"}',
        b"[" * 100_000,
    ],
)
async def test_it_refuses_what_is_no_day(serving: Serving, body: bytes) -> None:
    """A body without a valid day, or with a future day, gets 400."""
    async with serving(Simulator(now=noon)) as client:
        headers = {"Content-Type": "application/json"}
        answer = await client.post(STATS, content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json() == {"success": False, "message": "Invalid date format"}


async def test_it_reads_only_what_is_said_to_be_json(serving: Serving) -> None:
    """A body whose content type is not JSON gets 400."""
    async with serving(Simulator(now=noon)) as client:
        answer = await client.post(STATS, content=b'{"day":"2024-01-15T00:00:00.000Z"}')
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-01-14T00:00:00.000Z", date(2024, 1, 14)),
        ("2024-01-14", date(2024, 1, 14)),
        ("2024-01-14T23:00:00", date(2024, 1, 14)),
        ("2024-01-14T00:00:00+02:00", date(2024, 1, 13)),
    ],
)
async def test_a_day_is_a_utc_day(serving: Serving, text: str, day: date) -> None:
    """Any ISO 8601 time in a request means its UTC day."""
    simulator = Simulator(now=noon)
    async with serving(simulator) as client:
        await client.post(STATS, json={"day": text})
    assert [served.day for served in simulator.record.served] == [day]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", STATS, 405), ("POST", "/", 404), ("POST", "/bucket/a/b/stats", 404)],
)
async def test_there_is_nothing_else(serving: Serving, method: str, path: str, status: int) -> None:
    """Other paths get 404 and other methods 405."""
    async with serving(Simulator(now=noon)) as client:
        assert (await client.request(method, path)).status_code == status


async def test_the_record_is_what_was_sent(serving: Serving) -> None:
    """Each successful response is recorded with its rows as sent, including faulty data."""
    simulator = Simulator(now=noon, scenarios="duplicate-rows,hostile-strings,gzip")
    async with serving(simulator) as client:
        answer = await client.post(STATS, json=TODAY)
    [served] = simulator.record.served
    assert (served.at, served.bucket, served.day) == (NOON, "b", DAY)
    assert list(served.rows) == answer.json()["nodeStats"]
    assert len(served.by_identity()) == 6
    assert simulator.record.answers == {200: 1}


async def test_the_record_shows_time_as_it_is(serving: Serving) -> None:
    """Even if the server's clock is wrong, the record has the true time."""
    simulator = Simulator(now=noon, scenarios="fast-clock")
    async with serving(simulator) as client:
        await client.post(STATS, json=TODAY)
    assert [served.at for served in simulator.record.served] == [NOON]
    assert [asked.at for asked in simulator.record.asked] == [NOON]


async def test_only_good_answers_are_recorded_as_served(serving: Serving) -> None:
    """Refused and replaced responses are counted, but not recorded as served."""
    simulator = Simulator(now=noon, buckets={"b", "x"}, scenarios="not-json/share=1/bucket=x")
    async with serving(simulator) as client:
        for bucket in ("b", "x", "x", "unknown"):
            await client.post(f"/bucket/{bucket}/stats", json=TODAY)
    assert simulator.record.calls == {"b": 1, "x": 2, "unknown": 1}
    assert simulator.record.answers == {200: 3, 404: 1}
    assert [served.bucket for served in simulator.record.served] == ["b"]


async def test_requests_are_recorded_as_they_came(serving: Serving) -> None:
    """Path, token and user agent are recorded as sent, and the bucket ID is unquoted."""
    simulator = Simulator(now=noon)
    async with serving(simulator) as client:
        await client.post("/bucket/a%2Fb%20%E2%98%83%25/stats?x=1", json=TODAY)
        del client.headers["Authorization"], client.headers["User-Agent"]
        await client.get("/bucket")
    first, second = simulator.record.asked
    assert first.raw_path == "/bucket/a%2Fb%20%E2%98%83%25/stats?x=1"
    assert (first.method, first.authorization, first.user_agent) == (
        "POST",
        "Bearer token",
        "test/1",
    )
    assert (second.method, second.raw_path) == ("GET", "/bucket")
    assert (second.authorization, second.user_agent) == (None, None)
    assert simulator.record.newest("a/b ☃%") is not None


async def test_the_record_is_bounded(serving: Serving) -> None:
    """Only the newest responses and requests are kept, but all are counted."""
    simulator = Simulator(now=noon, keep=2)
    async with serving(simulator) as client:
        for bucket in "abc":
            await client.post(f"/bucket/{bucket}/stats", json=TODAY)
    assert [served.bucket for served in simulator.record.served] == ["b", "c"]
    assert [asked.raw_path for asked in simulator.record.asked] == [
        "/bucket/b/stats",
        "/bucket/c/stats",
    ]
    assert simulator.record.answers == {200: 3}


def test_record_queries() -> None:
    """The record returns a bucket's responses, the newest one, and all values of a node's field."""
    record = Recorder(keep=10)
    identity = ("192.0.2.1", "h")
    for at, bucket, day, latency in (
        (1.0, "a", date(2024, 1, 14), 5),
        (2.0, "b", date(2024, 1, 15), 6),
        (3.0, "a", date(2024, 1, 15), 7),
    ):
        row: dict[str, object] = {"ip": "192.0.2.1", "host": "h", "last_latency_ms": latency}
        record.served.append(Served(at, bucket, day, (row, {"version": "1"})))
    first, second = record.served_to("a")
    assert (first.at, second.at) == (1.0, 3.0)
    assert record.newest("a") == second
    assert record.newest("a", date(2024, 1, 14)) == first
    assert record.newest("a", date(2024, 1, 13)) is None
    assert record.newest("c") is None
    assert record.sent("a", identity, "last_latency_ms") == [5, 7]
    assert record.sent("a", identity, "version") == []
    assert record.sent("a", (None, None), "version") == ["1", "1"]


async def test_scenarios_can_be_changed_while_it_serves(serving: Serving) -> None:
    """Changed scenarios apply from the next call on."""
    simulator = Simulator(now=noon, scenarios="proxy-502/share=1")
    async with serving(simulator) as client:
        assert (await client.post(STATS, json=TODAY)).status_code == 502
        simulator.play("")
        assert (await client.post(STATS, json=TODAY)).status_code == 200


async def test_it_serves_where_it_is_told(unused_tcp_port: int) -> None:
    """A configured port is used, and is free again afterwards."""
    for _ in range(2):
        async with serve(Simulator(now=noon), port=unused_tcp_port) as url:
            assert url == f"http://127.0.0.1:{unused_tcp_port}"


async def test_a_taken_port_is_an_error() -> None:
    """The error about a port that is in use is that of the operating system."""
    async with serve(Simulator(now=noon)) as url:
        with pytest.raises(OSError, match="address already in use"):
            async with serve(Simulator(now=noon), port=int(url.rpartition(":")[2])):
                raise AssertionError


def test_time_runs_at_a_chosen_speed() -> None:
    """A paced clock starts at a given time and runs faster than real time by a given factor."""
    readings = iter([100.0, 100.0, 101.0, 104.5])
    now = paced(NOON, 60, monotonic=lambda: next(readings))
    assert [now(), now(), now()] == [NOON, NOON + 60, NOON + 270]


def test_time_runs_as_it_does() -> None:
    """Without a speed, simulated time passes as real time does."""
    now = paced(NOON)
    assert NOON <= now() <= now() < NOON + 60
