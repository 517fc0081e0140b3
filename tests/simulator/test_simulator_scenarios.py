"""Each scenario for stats does what its name says, seen over a real socket."""

import asyncio
import gzip
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias

import httpx
import pytest

from exporter.simulator import SCENARIOS, CallKind, InjectedFault, Simulator
from exporter.simulator.data_faults import HOSTILE, UNKNOWN_STATUSES
from exporter.simulator.delivery import TRICKLE_PAUSE, Delivery, never
from exporter.simulator.response_faults import BOMB_BYTES, HUGE_BYTES, RETRY_AFTER_SECONDS
from exporter.simulator.server import serve

Serving: TypeAlias = Callable[[Simulator], AbstractAsyncContextManager[httpx.AsyncClient]]
Nodes: TypeAlias = list[dict[str, Any]]

MIDNIGHT = 1705276800  # 2024-01-15T00:00:00Z
NOON = MIDNIGHT + 12 * 3600
TODAY = {"day": "2024-01-15T00:00:00.000Z"}
YESTERDAY = {"day": "2024-01-14T00:00:00.000Z"}
STATS = "/bucket/b/stats"
FIELDS = {
    "ip",
    "host",
    "perc_uptime",
    "avg_latency_ms",
    "version",
    "node_status",
    "last_updated",
    "last_latency_ms",
}
NUMBERS = ("perc_uptime", "avg_latency_ms", "last_latency_ms")


def playing(name: str, now: float = NOON) -> Simulator:
    """A simulator in which a scenario hits every call within its window."""
    scenario = SCENARIOS[name]
    return Simulator(
        now=lambda: now, scenarios=[InjectedFault(scenario, 1.0, window=scenario.window)]
    )


def statuses(nodes: Nodes) -> dict[str, str]:
    """Each host's status."""
    return {node["host"]: node["node_status"] for node in nodes}


def is_odd_date(value: object) -> bool:
    """Whether this is not a time of today in the API's format."""
    return not (isinstance(value, str) and value.startswith("2024-01-15T") and value.endswith("Z"))


NODES_SHOW: dict[str, tuple[float, Callable[[Nodes], bool]]] = {
    "node-outage": (
        NOON + 15 * 60,
        lambda nodes: statuses(nodes)["*-us-east-1-aws.flashback.tech"] == "OFFLINE",
    ),
    "latency-spike": (
        NOON + 35 * 60,
        lambda nodes: all(
            node["last_latency_ms"] > 300 for node in nodes if "eu-central-1" in node["host"]
        ),
    ),
    "private-nodes": (NOON, lambda nodes: len(nodes) == 9),
    "hundreds-of-nodes": (NOON, lambda nodes: len(nodes) == 306),
    "whole-day-denominator": (
        NOON,
        lambda nodes: all(node["perc_uptime"] <= 50 for node in nodes),
    ),
    "fast-clock": (
        NOON,
        lambda nodes: all(node["last_updated"] > "2024-01-15T12:02:00Z" for node in nodes),
    ),
    "churn": (NOON + 20 * 60, lambda nodes: 0 < len(nodes) < 6),
    "duplicate-rows": (
        NOON,
        lambda nodes: len(nodes) == 12 and len({(node["ip"], node["host"]) for node in nodes}) == 6,
    ),
    "hostile-strings": (NOON, lambda nodes: all(node["version"] in HOSTILE for node in nodes)),
    "empty-new-day": (MIDNIGHT + 299, lambda nodes: nodes == []),
    "half-filled-new-day": (MIDNIGHT + 599, lambda nodes: len(nodes) == 3),
    "missing-status": (
        NOON,
        lambda nodes: all(node.keys() == FIELDS - {"node_status"} for node in nodes),
    ),
    "renamed-status": (
        NOON,
        lambda nodes: all(
            node.keys() == FIELDS - {"node_status"} | {"nodeStatus"} for node in nodes
        ),
    ),
    "unknown-status": (
        NOON,
        lambda nodes: sum(node["node_status"] in UNKNOWN_STATUSES for node in nodes) == 3,
    ),
    "missing-fields": (
        NOON,
        lambda nodes: (
            any(node.keys() < FIELDS for node in nodes)
            and any(value is None for node in nodes for value in node.values())
        ),
    ),
    "string-numbers": (
        NOON,
        lambda nodes: all(isinstance(node[name], str) for node in nodes for name in NUMBERS),
    ),
    "extreme-numbers": (
        NOON,
        lambda nodes: all(not 0 < node[name] <= 100 for node in nodes for name in NUMBERS),
    ),
    "odd-dates": (NOON, lambda nodes: all(is_odd_date(node["last_updated"]) for node in nodes)),
    "gzip": (NOON, lambda nodes: len(nodes) == 6),
}
"""Scenarios that show in the rows of one response, with the time at which they do."""

STATUS_SHOWS = {
    "slow-clock": {200},
    "429-storm": {429},
    "429-storm-date": {429},
    "429-storm-bare": {429},
    "5xx": {500, 502, 503, 504},
    "bad-request": {400},
    "unauthorized": {401},
    "forbidden": {403},
    "not-found": {404},
    "unsuccessful": {200},
    "hostile-message": {200, 400, 403, 404, 500},
    "not-json": {200},
    "proxy-page": {200},
    "proxy-502": {502},
    "wrong-shape": {200},
    "redirect": {307},
}
"""Scenarios that show in many small responses, with the statuses of these."""

OWN_TESTS = {
    "no-past-days",
    "empty-past-days",
    "null-latency",
    "gzip-bomb",
    "huge-body",
    "deep-json",
    "hang",
    "trickle",
    "truncated",
    "disconnect",
    "quoted-token",
    "broken-framing",
    "surplus",
}


def test_each_scenario_is_tested() -> None:
    """Each scenario for stats has a test here."""
    stats = {name for name, scenario in SCENARIOS.items() if scenario.calls == {CallKind.STATS}}
    assert NODES_SHOW.keys() | STATUS_SHOWS.keys() | OWN_TESTS == stats


@pytest.mark.parametrize("name", NODES_SHOW)
async def test_rows_show_the_scenario(serving: Serving, name: str) -> None:
    """A scenario about data shows in the rows, and without it the same request has no fault."""
    now, shows = NODES_SHOW[name]
    async with serving(playing(name, now)) as client:
        faulty = await client.post(STATS, json=TODAY)
    async with serving(Simulator(now=lambda: now)) as client:
        honest = await client.post(STATS, json=TODAY)
    assert faulty.status_code == honest.status_code == 200
    assert shows(faulty.json()["nodeStats"])
    assert name == "gzip" or not shows(honest.json()["nodeStats"])


@pytest.mark.parametrize("name", STATUS_SHOWS)
async def test_status_shows_the_scenario(serving: Serving, name: str) -> None:
    """A scenario about whole responses gives exactly its statuses."""
    async with serving(playing(name)) as client:
        answers = [await client.post(STATS, json=TODAY) for _ in range(40)]
    assert {answer.status_code for answer in answers} == STATUS_SHOWS[name]


async def test_past_may_be_unknown(serving: Serving) -> None:
    """With no-past-days, a request for a past day gets 400."""
    async with serving(playing("no-past-days")) as client:
        today = await client.post(STATS, json=TODAY)
        past = await client.post(STATS, json={"day": "2024-01-14T00:00:00.000Z"})
    assert (today.status_code, past.status_code) == (200, 400)


async def test_past_may_be_empty(serving: Serving) -> None:
    """With empty-past-days, the response for a past day has no rows."""
    async with serving(playing("empty-past-days")) as client:
        today = await client.post(STATS, json=TODAY)
        past = await client.post(STATS, json={"day": "2024-01-14T00:00:00.000Z"})
    assert (len(today.json()["nodeStats"]), past.json()["nodeStats"]) == (6, [])


async def test_retry_after_in_seconds(serving: Serving) -> None:
    """With 429-storm, Retry-After is a number of seconds."""
    async with serving(playing("429-storm")) as client:
        answer = await client.post(STATS, json=TODAY)
    assert answer.headers["Retry-After"] == str(RETRY_AFTER_SECONDS)
    assert answer.json() == {"success": False, "message": "Too many requests"}


async def test_retry_after_as_date(serving: Serving) -> None:
    """With 429-storm-date, Retry-After is a time by the server's clock, after the Date header."""
    simulator = playing("429-storm-date")
    simulator.play((*simulator.faults, InjectedFault(SCENARIOS["fast-clock"], 1.0)))
    async with serving(simulator) as client:
        answer = await client.post(STATS, json=TODAY)
    said, until = (parsedate_to_datetime(answer.headers[name]) for name in ("Date", "Retry-After"))
    assert said.timestamp() == NOON + 180
    assert (until - said).total_seconds() == RETRY_AFTER_SECONDS


async def test_no_retry_after(serving: Serving) -> None:
    """With 429-storm-bare, there is no Retry-After header."""
    async with serving(playing("429-storm-bare")) as client:
        assert "Retry-After" not in (await client.post(STATS, json=TODAY)).headers


@pytest.mark.parametrize("name", ["bad-request", "unauthorized", "forbidden", "not-found", "5xx"])
async def test_refusals_come_in_all_forms(serving: Serving, name: str) -> None:
    """Bodies of refusals have all of the API's forms, or are empty, plain text or HTML."""
    async with serving(playing(name)) as client:
        answers = [await client.post(STATS, json=TODAY) for _ in range(80)]
    bodies = {answer.text for answer in answers}
    keys = {
        frozenset(answer.json())
        for answer in answers
        if answer.headers["Content-Type"].startswith("application/json") and answer.content
    }
    assert "" in bodies
    assert any(body.startswith("<html>") for body in bodies)
    assert {answer.headers["Content-Type"].split(";")[0] for answer in answers} == {
        "application/json",
        "text/plain",
        "text/html",
    }
    assert keys == {
        frozenset({"success", "message"}),
        frozenset({"success", "error_code"}),
        frozenset({"success", "error_code", "message"}),
        frozenset({"success", "error"}),
    }


async def test_unsuccessful_answers_say_so(serving: Serving) -> None:
    """With unsuccessful, a 200 response has `success: false` in the body."""
    async with serving(playing("unsuccessful")) as client:
        answers = [await client.post(STATS, json=TODAY) for _ in range(20)]
    assert {answer.json()["success"] for answer in answers} == {False}
    assert len({answer.text for answer in answers}) == 4


async def test_hostile_messages_arrive_as_they_are(serving: Serving) -> None:
    """Control characters and lone surrogates arrive as JSON escapes."""
    async with serving(playing("hostile-message")) as client:
        answers = [await client.post(STATS, json=TODAY) for _ in range(150)]
    assert {answer.json()["message"] for answer in answers} == set(HOSTILE)
    assert any(rb"\ud800" in answer.content for answer in answers)
    assert all(answer.content.isascii() for answer in answers)


async def test_not_json_is_not_json(serving: Serving) -> None:
    """With not-json, no body can be parsed, although each has the content type JSON."""
    async with serving(playing("not-json")) as client:
        answers = [await client.post(STATS, json=TODAY) for _ in range(40)]
    assert len({answer.content for answer in answers}) == 6
    for answer in answers:
        assert answer.headers["Content-Type"].startswith("application/json")
        with pytest.raises(ValueError, match=r".*"):
            answer.json()


@pytest.mark.parametrize("name", ["proxy-page", "proxy-502"])
async def test_a_proxys_page_is_html(serving: Serving, name: str) -> None:
    """A proxy's page is HTML, with the content type HTML."""
    async with serving(playing(name)) as client:
        answer = await client.post(STATS, json=TODAY)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.text.startswith("<html>")


async def test_wrong_shapes_are_json(serving: Serving) -> None:
    """With wrong-shape, bodies are valid JSON of a dozen kinds."""
    async with serving(playing("wrong-shape")) as client:
        answers = [await client.post(STATS, json=TODAY) for _ in range(120)]
    assert len({json.dumps(answer.json()) for answer in answers}) == 12


async def test_followed_redirect_is_recorded(serving: Serving) -> None:
    """A client that follows the redirect is recorded, and gets 404."""
    simulator = playing("redirect")
    async with serving(simulator) as client:
        assert (await client.post(STATS, json=TODAY)).next_request is not None
        assert [asked.raw_path for asked in simulator.record.asked] == [STATS]
        followed = await client.post(STATS, json=TODAY, follow_redirects=True)
    assert followed.status_code == 404
    assert simulator.record.asked[-1].raw_path == "/elsewhere"
    assert simulator.record.asked[-1].method == "POST"


async def test_gzip_is_sent_unasked(serving: Serving) -> None:
    """With gzip, bodies are compressed even for a client that does not accept it."""
    async with serving(playing("gzip")) as client:
        headers = {"Accept-Encoding": "identity"}
        answer = await client.post(STATS, json=TODAY, headers=headers)
    assert answer.headers["Content-Encoding"] == "gzip"


async def test_a_bomb_is_small_on_the_wire(serving: Serving) -> None:
    """A gzip bomb is sent as some kilobytes, and unpacks to a valid response of 64 MiB."""
    async with (
        serving(playing("gzip-bomb")) as client,
        client.stream("POST", STATS, json=TODAY) as answer,
    ):
        packed = b"".join([chunk async for chunk in answer.aiter_raw()])
    unpacked = gzip.decompress(packed)
    assert len(packed) < 100_000
    assert len(unpacked) == BOMB_BYTES
    assert json.loads(unpacked) == {"success": True, "nodeStats": []}


async def test_a_huge_body_is_huge(serving: Serving) -> None:
    """A huge body is a valid response of 16 MiB."""
    async with serving(playing("huge-body")) as client:
        answer = await client.post(STATS, json=TODAY)
    assert len(answer.content) == HUGE_BYTES
    assert answer.json() == {"success": True, "nodeStats": []}


async def test_deep_json_is_too_deep(serving: Serving) -> None:
    """Deep JSON exceeds the recursion limit of a parser."""
    async with serving(playing("deep-json")) as client:
        answer = await client.post(STATS, json=TODAY)
    with pytest.raises(RecursionError):
        answer.json()


async def test_latencies_are_null_only_while_down(serving: Serving) -> None:
    """Nodes that are not ONLINE have null latencies, and the others keep theirs."""
    now = NOON + 15 * 60
    async with serving(Simulator(now=lambda: now, scenarios="node-outage,null-latency")) as client:
        nodes: Nodes = (await client.post(STATS, json=TODAY)).json()["nodeStats"]
    down = {node["host"] for node in nodes if node["last_latency_ms"] is None}
    assert down == {host for host, status in statuses(nodes).items() if status != "ONLINE"}
    assert "*-us-east-1-aws.flashback.tech" in down
    assert len(down) < 6


@pytest.mark.parametrize(("name", "second"), [("empty-new-day", 301), ("half-filled-new-day", 601)])
async def test_a_new_day_fills_up(serving: Serving, name: str, second: float) -> None:
    """After the scenario's window the new day is complete, and yesterday always is."""
    async with serving(playing(name, MIDNIGHT + second)) as client:
        assert len((await client.post(STATS, json=TODAY)).json()["nodeStats"]) == 6
    async with serving(playing(name, MIDNIGHT + 90)) as client:
        assert len((await client.post(STATS, json=YESTERDAY)).json()["nodeStats"]) == 6


async def test_a_slow_clock_refuses_today_after_midnight(serving: Serving) -> None:
    """With slow-clock, today is a future day for the server until some time after midnight."""
    async with serving(playing("slow-clock", MIDNIGHT + 100)) as client:
        early = await client.post(STATS, json=TODAY)
    async with serving(playing("slow-clock", MIDNIGHT + 181)) as client:
        later = await client.post(STATS, json=TODAY)
    assert (early.status_code, later.status_code) == (400, 200)


async def test_a_fast_clock_closes_the_day_early(serving: Serving) -> None:
    """With fast-clock, today is over before midnight, and the next day can be requested."""
    async with serving(playing("fast-clock", MIDNIGHT - 100)) as client:
        yesterday = await client.post(STATS, json=YESTERDAY)
        today = await client.post(STATS, json=TODAY)
    assert yesterday.json()["nodeStats"][0]["last_updated"] == "2024-01-14T23:59:59Z"
    assert today.status_code == 200


async def test_churn_brings_nodes_back(serving: Serving) -> None:
    """With churn, nodes leave and return, and each node is listed at some time."""
    clock = iter(range(int(NOON), int(NOON) + 36000, 150))
    simulator = Simulator(now=lambda: next(clock), scenarios="churn")
    async with serving(simulator) as client:
        seen = [
            frozenset(statuses((await client.post(STATS, json=TODAY)).json()["nodeStats"]))
            for _ in range(30)
        ]
    assert len(set(seen)) > 3
    assert len(frozenset().union(*seen)) == 6


async def test_a_hanging_answer_never_comes(serving: Serving) -> None:
    """A hanging call times out at the client, and is recorded without a response."""
    simulator = playing("hang")
    async with serving(simulator) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(STATS, json=TODAY, timeout=httpx.Timeout(5, read=0.05))
    assert simulator.record.calls == {"b": 1}
    assert simulator.record.answers == {}


async def test_hanging_answers_do_not_hold_up_the_end() -> None:
    """The server stops at once and closes the connection, although a call is still hanging."""
    began = asyncio.Event()

    def now() -> float:
        began.set()
        return NOON

    async with asyncio.timeout(5):
        async with serve(Simulator(now=now, scenarios="hang/share=1")) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
            writer.write(b"POST /bucket/b/stats HTTP/1.1\r\nHost: x\r\n\r\n")
            await began.wait()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_disconnect_cancels_hanging_response(serving: Serving) -> None:
    """A hanging response is cancelled when its client disconnects."""
    ended = asyncio.Event()

    async def hanging(delivery: Delivery) -> None:
        try:
            await never(delivery)
        finally:
            ended.set()

    fault = InjectedFault(replace(SCENARIOS["hang"], deliver=hanging), 1.0)
    async with (
        asyncio.timeout(5),
        serving(Simulator(now=lambda: NOON, scenarios=[fault])) as client,
    ):
        with pytest.raises(httpx.ReadTimeout):
            await client.post(STATS, json=TODAY, timeout=httpx.Timeout(5, read=0.05))
        await ended.wait()


async def test_a_trickle_arrives_in_the_end(serving: Serving) -> None:
    """A trickling body arrives completely, after about a minute of short pauses."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        assert not simulator.record.served
        pauses.append(seconds)

    simulator = Simulator(now=lambda: NOON, scenarios="trickle/share=1", sleep=sleep)
    async with serving(simulator) as client:
        answer = await client.post(STATS, json=TODAY)
    assert set(pauses) == {TRICKLE_PAUSE}
    assert 55 < sum(pauses) <= 64
    assert simulator.record.served[0].rows == tuple(answer.json()["nodeStats"])


async def test_an_empty_body_trickles_too(serving: Serving) -> None:
    """With trickle, a response without a body is sent and counted too."""

    async def sleep(_seconds: float) -> None:
        pass

    scenarios = "redirect/share=1,trickle/share=1"
    simulator = Simulator(now=lambda: NOON, scenarios=scenarios, sleep=sleep)
    async with serving(simulator) as client:
        assert (await client.post(STATS, json=TODAY)).status_code == 307
    assert simulator.record.answers == {307: 1}


@pytest.mark.parametrize("name", ["truncated", "disconnect"])
async def test_a_connection_closes_too_early(serving: Serving, name: str) -> None:
    """The client gets an error instead of a response, and nothing is recorded as served."""
    simulator = playing(name)
    async with serving(simulator) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(STATS, json=TODAY)
    assert simulator.record.calls == {"b": 1}
    assert simulator.record.answers == {}
    assert not simulator.record.served


async def test_a_truncated_body_is_half_there(serving: Serving) -> None:
    """A truncated response has status 200 and its full Content-Length, but half of the body."""
    async with (
        serving(playing("truncated")) as client,
        client.stream("POST", STATS, json=TODAY) as answer,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()
    assert answer.status_code == 200
    assert answer.num_bytes_downloaded == int(answer.headers["Content-Length"]) // 2


async def test_a_quoted_token_is_the_callers(serving: Serving) -> None:
    """With quoted-token, a refusal has the token of its call in the message and in a cookie."""
    headers = {"Authorization": "Bearer s3cret"}
    async with serving(playing("quoted-token")) as client:
        answers = [await client.post(STATS, json=TODAY, headers=headers) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {400, 403, 500}
    for answer in answers:
        assert "s3cret" in answer.json()["message"]
        assert "s3cret" in answer.headers["Set-Cookie"]


async def test_framing_is_broken(serving: Serving) -> None:
    """With broken-framing, the client gets an error, and nothing is recorded as served."""
    simulator = playing("broken-framing")
    async with serving(simulator) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(STATS, json=TODAY)
    assert not simulator.record.served


async def test_surplus_follows_the_answer() -> None:
    """With surplus, a second response follows on the connection; one is recorded as served."""
    simulator = playing("surplus")
    body = json.dumps(TODAY)
    head = "POST /bucket/b/stats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n"
    head += "Content-Type: application/json\r\n"
    async with serve(simulator) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        heads = [await reader.readuntil(b"\r\n\r\n")]
        length = int(heads[0].lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        first = await reader.readexactly(length)
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        assert await reader.readexactly(length) == first
        writer.close()
    assert all(each.startswith(b"HTTP/1.1 200 OK\r\n") for each in heads)
    assert len(simulator.record.served) == 1


async def test_scenarios_mix(serving: Serving) -> None:
    """Faults in rows, faults in responses and faults for some buckets can be combined."""
    scenarios = "private-nodes,string-numbers,gzip,not-found/share=1/bucket=gone"
    async with serving(Simulator(now=lambda: NOON, scenarios=scenarios)) as client:
        here = await client.post(STATS, json=TODAY)
        gone = await client.post("/bucket/gone/stats", json=TODAY)
    assert here.headers["Content-Encoding"] == "gzip"
    assert len(here.json()["nodeStats"]) == 9
    assert isinstance(here.json()["nodeStats"][0]["perc_uptime"], str)
    assert gone.status_code == 404
