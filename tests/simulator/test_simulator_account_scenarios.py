"""Each scenario for logins, refreshes and lists does what its name says, over a real socket."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from exporter.simulator import SCENARIOS, CallKind, Simulator
from exporter.simulator.data_faults import HOSTILE, ODD_ENTRIES
from exporter.simulator.response_faults import HUGE_BYTES, MALFORMED, RETRY_AFTER_SECONDS
from tests.simulator.accounts import (
    NOON,
    OPS,
    STATS,
    TODAY,
    Serving,
    Watch,
    as_user,
    login,
    office,
    payload,
    refresh,
    stats,
)

STATUS_SHOWS = {
    "login-refused": {401},
    "login-5xx": {500, 502, 503, 504},
    "login-429": {429},
    "refresh-refused": {401},
    "refresh-5xx": {500, 502, 503, 504},
    "list-5xx": {500, 502, 503, 504},
    "list-403": {403},
    "list-malformed": {200},
}
"""Scenarios that show in the statuses of their calls, with these statuses."""

OWN_TESTS = {"tokens-revoked", "list-empty", "list-odd-entries"}


def test_each_scenario_is_tested() -> None:
    """Each scenario for calls other than stats has a test here."""
    others = {name for name, scenario in SCENARIOS.items() if scenario.calls != {CallKind.STATS}}
    assert STATUS_SHOWS.keys() | OWN_TESTS == others


async def refresh_last(client: httpx.AsyncClient) -> httpx.Response:
    """Use an unknown refresh token."""
    return await refresh(client, "nobody's")


ASK: dict[str, Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]] = {
    "login": login,
    "refresh": refresh_last,
    "list": lambda client: client.get("/bucket"),
}


@pytest.mark.parametrize("name", STATUS_SHOWS)
async def test_status_shows_the_scenario(serving: Serving, name: str) -> None:
    """A scenario's calls get exactly its statuses, and stats calls are not affected."""
    simulator = office(tokens={"token"}, scenarios=f"{name}/share=1")
    async with serving(simulator) as client:
        answers = [await ASK[name.partition("-")[0]](client) for _ in range(40)]
        assert await stats(client, "token") == 200
    assert {answer.status_code for answer in answers} == STATUS_SHOWS[name]
    assert not simulator.record.issued


async def test_scenarios_for_stats_leave_other_calls_alone(serving: Serving) -> None:
    """Faults of stats calls do not affect logins, refreshes and lists."""
    async with serving(office(scenarios="disconnect/share=1,5xx/share=1")) as client:
        body = (await login(client)).json()
        assert (await refresh(client, body["refreshToken"])).status_code == 200
        headers = {"Authorization": f"Bearer {body['accessToken']}"}
        assert (await client.get("/bucket", headers=headers)).status_code == 200


async def test_a_login_storm_says_how_long(serving: Serving) -> None:
    """A rate-limited login gets a Retry-After header."""
    async with serving(office(scenarios="login-429/share=1")) as client:
        assert (await login(client)).headers["Retry-After"] == str(RETRY_AFTER_SECONDS)


async def test_a_failed_refresh_does_not_rotate(serving: Serving) -> None:
    """A refresh token whose response failed or got lost can be used again."""
    simulator = office()
    async with serving(simulator) as client:
        token = (await login(client)).json()["refreshToken"]
        simulator.play("refresh-5xx/share=1")
        assert (await refresh(client, token)).status_code >= 500
        simulator.play("disconnect/share=1/call=refresh")
        with pytest.raises(httpx.RemoteProtocolError):
            await refresh(client, token)
        simulator.play("")
        assert (await refresh(client, token)).status_code == 200
    assert len(simulator.record.issued) == 2
    assert simulator.record.calls_by_kind[CallKind.REFRESH] == 3


async def test_a_token_in_use_is_revoked(serving: Serving) -> None:
    """A call that is hit revokes its access token; a refresh returns one that is valid."""
    simulator = office()
    async with serving(simulator) as client:
        first = (await login(client)).json()
        simulator.play("tokens-revoked/share=1")
        assert await stats(client, first["accessToken"]) == 401
        simulator.play("")
        assert await stats(client, first["accessToken"]) == 401
        second = (await refresh(client, first["refreshToken"])).json()
        assert await stats(client, second["accessToken"]) == 200
        simulator.play("tokens-revoked/share=1")
        await as_user(client)
        assert (await client.get("/bucket")).status_code == 401
    assert payload(first["accessToken"])["exp"] > NOON


async def test_a_given_token_can_be_revoked(serving: Serving) -> None:
    """Without users, too, only the token of the call that is hit is revoked."""
    simulator = Simulator(now=Watch(), scenarios="tokens-revoked/share=1/bucket=x")
    async with serving(simulator) as client:
        assert await stats(client, "old") == 200
        assert await stats(client, "old", "/bucket/x/stats") == 401
        assert await stats(client, "old") == 401
        assert await stats(client, "new") == 200


async def test_an_empty_list_is_a_good_answer(serving: Serving) -> None:
    """With list-empty, the list response has no buckets, although there are some."""
    simulator = Simulator(now=Watch(), buckets={"b"}, scenarios="list-empty/share=1")
    async with serving(simulator) as client:
        assert (await client.get("/bucket")).json() == {"success": True, "buckets": []}
        assert (await client.post(STATS, json=TODAY)).status_code == 200


async def test_malformed_lists_come_in_all_forms(serving: Serving) -> None:
    """With list-malformed, all malformed bodies occur, each with the content type JSON."""
    async with serving(Simulator(now=Watch(), scenarios="list-malformed/share=1")) as client:
        answers = [await client.get("/bucket") for _ in range(200)]
    assert {answer.content for answer in answers} == set(MALFORMED)
    assert all(answer.headers["Content-Type"].startswith("application/json") for answer in answers)


async def test_odd_entries_come_besides_the_true_ones(serving: Serving) -> None:
    """The list response has the real entries, then a duplicate, then the odd entries."""
    bodies = {}
    for scenarios in ("", "list-odd-entries"):
        simulator = Simulator(now=Watch(), buckets={"a", "b"}, scenarios=scenarios)
        async with serving(simulator) as client:
            bodies[scenarios] = (await client.get("/bucket")).json()["buckets"]
    true, odd = bodies[""], bodies["list-odd-entries"]
    assert odd[:2] == true
    assert odd[2] == true[0] | {"name": "duplicate"}
    assert odd[3:] == list(ODD_ENTRIES)
    assert any("id" not in entry for entry in odd)
    assert any("id" in entry and not isinstance(entry["id"], str) for entry in odd)
    assert {".", "..", ""} <= {entry["id"] for entry in odd if isinstance(entry.get("id"), str)}
    names = [entry.get("name") for entry in odd]
    assert None in names
    assert all(text in names for text in HOSTILE)


async def test_odd_entries_need_no_true_ones(serving: Serving) -> None:
    """Without buckets, the list response still has the odd entries."""
    simulator = Simulator(now=Watch(), buckets=[], scenarios="list-odd-entries")
    async with serving(simulator) as client:
        assert (await client.get("/bucket")).json()["buckets"] == list(ODD_ENTRIES)


async def test_any_fault_can_hit_other_calls(serving: Serving) -> None:
    """With `call=`, a scenario for stats hits logins or lists instead."""
    scenarios = "huge-body/share=1/call=list,gzip/call=login,fast-clock/call=login"
    async with serving(office(scenarios=scenarios)) as client:
        answer = await login(client)
        assert answer.headers["Content-Encoding"] == "gzip"
        token = answer.json()["accessToken"]
        assert payload(token)["iat"] == NOON + 180
        assert await stats(client, token) == 200
        headers = {"Authorization": f"Bearer {token}"}
        assert len((await client.get("/bucket", headers=headers)).content) == HUGE_BYTES


async def test_a_login_may_hang(serving: Serving) -> None:
    """A hanging login is recorded as a call in progress without a response."""
    simulator = office(scenarios="hang/share=1/call=login")
    async with serving(simulator) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(
                "/user/login",
                json={"email": OPS.email, "password": OPS.password},
                timeout=httpx.Timeout(5, read=0.05),
            )
    assert simulator.record.calls_by_kind == {"login": 1}
    assert simulator.record.answers_by_kind == {}
    assert simulator.record.max_concurrent == {"login": 1}


async def test_draws_depend_on_user(serving: Serving) -> None:
    """Which of a user's calls are hit does not depend on the calls of other users."""
    fates: list[list[int]] = []
    for others in (0, 3):
        async with serving(office(tokens={"x"}, scenarios="list-5xx/share=0.5")) as client:
            for _ in range(others):
                await client.get("/bucket", headers={"Authorization": "Bearer x"})
            await as_user(client)
            fates.append([(await client.get("/bucket")).status_code for _ in range(20)])
    assert fates[0] == fates[1]
    assert {status >= 500 for status in fates[0]} == {True, False}
