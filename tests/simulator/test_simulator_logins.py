"""Logins, refreshes, and which tokens are valid."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from exporter.simulator import (
    REFRESH_PREFIX,
    CallKind,
    ExpiresAt,
    Mfa,
    Simulator,
    Spelling,
    TokenRules,
    User,
)
from tests.simulator.accounts import (
    GUEST,
    HOUR,
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


async def test_a_login_brings_tokens(serving: Serving) -> None:
    """A login with the right password returns a refresh token and a JWT that lasts an hour."""
    async with serving(office()) as client:
        answer = await login(client)
        body = answer.json()
        assert answer.status_code == 200
        assert body.keys() == {"success", "accessToken", "refreshToken", "tokenId", "expiresAt"}
        assert body["success"] is True
        assert body["expiresAt"] == NOON + HOUR
        assert body["refreshToken"].startswith(REFRESH_PREFIX)
        assert await stats(client, body["accessToken"]) == 200
    said = payload(body["accessToken"])
    assert list(said) == ["userId", "email", "orgId", "iat", "exp"]
    assert (said["email"], said["iat"], said["exp"]) == (OPS.email, NOON, NOON + HOUR)
    assert len(body["accessToken"].split(".")) == 3
    assert "=" not in body["accessToken"]


async def test_equal_logins_bring_equal_tokens(serving: Serving) -> None:
    """Tokens depend on the seed and on the number of the user's login, and are all different."""
    series: list[list[str]] = []
    for seed in (1, 1, 2):
        async with serving(office(seed=seed)) as client:
            bodies = [(await login(client, user)).json() for user in (OPS, GUEST, OPS)]
        series.append([body[name] for body in bodies for name in ("accessToken", "refreshToken")])
    assert series[0] == series[1]
    assert len({*series[0], *series[2]}) == 12


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"email": OPS.email, "password": "wrong"}, 401),
        ({"email": "nobody@example.com", "password": OPS.password}, 401),
        ({"email": OPS.email, "password": GUEST.password}, 401),
        ({"email": OPS.email}, 400),
        ({"password": OPS.password}, 400),
        ({"email": [OPS.email], "password": OPS.password}, 400),
        ({"email": OPS.email, "password": 7}, 400),
        ([], 400),
    ],
)
async def test_a_wrong_login_is_refused(serving: Serving, body: Any, status: int) -> None:  # noqa: ANN401 - any JSON
    """A wrong e-mail address or password gets 401, and an invalid login request 400."""
    simulator = office()
    async with serving(simulator) as client:
        answer = await client.post("/user/login", json=body)
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert not simulator.record.issued
    assert simulator.record.answers_by_kind == {(CallKind.LOGIN, status): 1}


@pytest.mark.parametrize("path", ["/user/login", "/user/refresh"])
async def test_logins_are_json(serving: Serving, path: str) -> None:
    """A body that is not JSON, or has another content type, gets 400."""
    async with serving(office()) as client:
        headers = {"Content-Type": "application/json"}
        torn = await client.post(path, content=b'{"email":', headers=headers)
        form = await client.post(path, data={"email": OPS.email, "password": OPS.password})
    assert (torn.status_code, form.status_code) == (400, 400)


async def test_without_users_nobody_logs_in(serving: Serving) -> None:
    """A simulator without users accepts any token, but issues none."""
    async with serving(Simulator(now=Watch())) as client:
        assert (await login(client)).status_code == 401
        assert await stats(client, "anything") == 200


@pytest.mark.parametrize(
    ("mfa", "status", "body"),
    [
        (Mfa.CHALLENGED, 200, {"success": True, "mfaRequired": True}),
        (
            Mfa.REFUSED,
            403,
            {"success": False, "message": "Multi-factor authentication is required"},
        ),
    ],
)
async def test_a_second_factor_brings_no_tokens(
    serving: Serving, mfa: Mfa, status: int, body: object
) -> None:
    """With MFA, the right password returns no tokens, and a wrong one gets 401."""
    user = replace(OPS, mfa=mfa)
    simulator = office(users=[user])
    async with serving(simulator) as client:
        answer = await login(client, user)
        wrong = await login(client, replace(user, password="wrong"))
    assert (answer.status_code, answer.json()) == (status, body)
    assert wrong.status_code == 401
    assert not simulator.record.issued


async def test_a_second_factor_may_bring_useless_tokens(serving: Serving) -> None:
    """With Mfa.PARTIAL, a login returns tokens that no other call accepts."""
    user = replace(OPS, mfa=Mfa.PARTIAL)
    async with serving(office(users=[user])) as client:
        first = (await login(client, user)).json()
        second = (await refresh(client, first["refreshToken"])).json()
        for body in (first, second):
            assert await stats(client, body["accessToken"]) == 401


async def test_a_token_must_have_been_issued(serving: Serving) -> None:
    """With users, only issued access tokens are accepted, and no refresh tokens in their place."""
    async with serving(office()) as client:
        body = (await login(client)).json()
        for token in ("token", body["accessToken"][:-1], body["refreshToken"]):
            assert await stats(client, token) == 401
        assert (await client.get("/bucket")).status_code == 401


async def test_given_tokens_are_accepted_besides(serving: Serving) -> None:
    """Configured tokens are accepted in addition to those from logins."""
    async with serving(office(tokens={"static"})) as client:
        assert await stats(client, "static") == 200
        assert await stats(client, "other") == 401
        assert await stats(client, (await login(client)).json()["accessToken"]) == 200


async def test_an_access_token_expires(serving: Serving) -> None:
    """An access token is valid until its `exp`, in simulated time."""
    watch = Watch()
    async with serving(office(watch, rules=TokenRules(lifetime=60))) as client:
        body = (await login(client)).json()
        watch.time = NOON + 59.9
        assert await stats(client, body["accessToken"]) == 200
        watch.time = NOON + 60
        assert await stats(client, body["accessToken"]) == 401
    assert payload(body["accessToken"])["exp"] == NOON + 60


async def test_a_refresh_brings_new_tokens(serving: Serving) -> None:
    """A refresh returns an access token for another hour; the old one is valid until its end."""
    watch = Watch()
    async with serving(office(watch)) as client:
        first = (await login(client)).json()
        watch.time = NOON + 3000
        answer = await refresh(client, first["refreshToken"])
        second = answer.json()
        assert answer.status_code == 200
        assert second.keys() == {"success", "accessToken", "refreshToken", "expiresAt"}
        assert await stats(client, first["accessToken"]) == 200
        watch.time = NOON + 5000
        assert await stats(client, first["accessToken"]) == 401
        assert await stats(client, second["accessToken"]) == 200


async def test_refresh_tokens_rotate(serving: Serving) -> None:
    """Each refresh token can be used once, and the refresh returns the next one."""
    async with serving(office()) as client:
        first = (await login(client)).json()["refreshToken"]
        second = (await refresh(client, first)).json()["refreshToken"]
        assert second != first
        again = await refresh(client, first)
        assert (again.status_code, again.json()["success"]) == (401, False)
        assert (await refresh(client, second)).status_code == 200


async def test_refresh_tokens_may_stay(serving: Serving) -> None:
    """Without rotation, a refresh returns the same refresh token, with the same expiry."""
    watch = Watch()
    rules = TokenRules(rotates=False, refresh_lifetime=2 * HOUR)
    async with serving(office(watch, rules=rules)) as client:
        first = (await login(client)).json()
        for _ in range(2):
            watch.time += HOUR - 1
            answer = (await refresh(client, first["refreshToken"])).json()
            assert answer["refreshToken"] == first["refreshToken"]
            assert await stats(client, answer["accessToken"]) == 200
        watch.time += HOUR
        assert (await refresh(client, first["refreshToken"])).status_code == 401


async def test_refresh_tokens_expire(serving: Serving) -> None:
    """Each refresh token is valid for its own lifetime."""
    watch = Watch()
    async with serving(office(watch, rules=TokenRules(refresh_lifetime=100))) as client:
        first = (await login(client)).json()["refreshToken"]
        watch.time += 99
        second = (await refresh(client, first)).json()["refreshToken"]
        watch.time += 99
        third = (await refresh(client, second)).json()["refreshToken"]
        watch.time += 100
        assert (await refresh(client, third)).status_code == 401


async def test_tokens_can_be_revoked(serving: Serving) -> None:
    """A single token can be revoked, without the other token of the same login."""
    simulator = office()
    async with serving(simulator) as client:
        for _ in range(2):
            await login(client)
        first, second = simulator.record.issued
        simulator.token_server.revoke(first.access_token)
        simulator.token_server.revoke(second.refresh_token)
        assert await stats(client, first.access_token) == 401
        assert await stats(client, second.access_token) == 200
        assert (await refresh(client, second.refresh_token)).status_code == 401
        assert (await refresh(client, first.refresh_token)).status_code == 200


async def test_users_come_and_go(serving: Serving) -> None:
    """A removed user's tokens are invalid; a new password applies from the next login on."""
    simulator = office()
    async with serving(simulator) as client:
        body = (await login(client)).json()
        simulator.token_server.users = (replace(OPS, password="new"),)
        assert (await login(client)).status_code == 401
        assert await stats(client, body["accessToken"]) == 200
        simulator.token_server.users = (GUEST,)
        assert await stats(client, body["accessToken"]) == 401
        assert (await refresh(client, body["refreshToken"])).status_code == 401


@pytest.mark.parametrize(
    ("spelling", "snake", "camel"),
    [(Spelling.BOTH, 200, 200), (Spelling.SNAKE, 200, 400), (Spelling.CAMEL, 400, 200)],
)
async def test_spellings(serving: Serving, spelling: Spelling, snake: int, camel: int) -> None:
    """The refresh token is accepted under the field names of the rules; others get 400."""
    async with serving(office(rules=TokenRules(spelling=spelling))) as client:
        for name, status in (("refresh_token", snake), ("refreshToken", camel)):
            token = (await login(client)).json()["refreshToken"]
            answer = await refresh(client, token, name)
            assert answer.status_code == status
            assert answer.json()["success"] is (status == 200)


@pytest.mark.parametrize(("token", "status"), [(None, 400), (7, 400), ("", 401), ("x", 401)])
async def test_what_is_no_refresh_token(serving: Serving, token: object, status: int) -> None:
    """A refresh token that was never issued gets 401, and one that is not a text 400."""
    simulator = office()
    async with serving(simulator) as client:
        assert (await refresh(client, token)).status_code == status
    assert simulator.record.answers_by_kind == {(CallKind.REFRESH, status): 1}


async def test_an_access_token_refreshes_nothing(serving: Serving) -> None:
    """An access token that is used as a refresh token gets 401."""
    async with serving(office()) as client:
        token = (await login(client)).json()["accessToken"]
        assert (await refresh(client, token)).status_code == 401


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (ExpiresAt.SECONDS, 1705323600),
        (ExpiresAt.MILLISECONDS, 1705323600000),
        (ExpiresAt.ISO, "2024-01-15T13:00:00Z"),
    ],
)
async def test_expires_at_has_many_forms(
    serving: Serving, form: ExpiresAt, expected: object
) -> None:
    """The undocumented expiresAt can be seconds, milliseconds or a date; exp is always seconds."""
    async with serving(office(rules=TokenRules(expires_at=form))) as client:
        first = (await login(client)).json()
        second = (await refresh(client, first["refreshToken"])).json()
    assert first["expiresAt"] == second["expiresAt"] == expected
    assert payload(second["accessToken"])["exp"] == 1705323600


async def test_the_record_counts_kinds_of_calls(serving: Serving) -> None:
    """Each kind of call has its own counters, and each grant of tokens is recorded."""
    simulator = office()
    async with serving(simulator) as client:
        await as_user(client)
        await login(client, User(OPS.email, "wrong"))
        await refresh(client, simulator.record.issued[0].refresh_token)
        await client.get("/bucket")
        for _ in range(3):
            await client.post(STATS, json=TODAY)
    record = simulator.record
    assert record.calls_by_kind == {"login": 2, "refresh": 1, "list": 1, "stats": 3}
    assert record.answers_by_kind == {
        (CallKind.LOGIN, 200): 1,
        (CallKind.LOGIN, 401): 1,
        (CallKind.REFRESH, 200): 1,
        (CallKind.LIST, 200): 1,
        (CallKind.STATS, 200): 3,
    }
    assert (record.calls, record.answers) == ({"b": 3}, {200: 3})
    first, second = record.issued
    assert (first.email, first.issued_at, first.replaces) == (OPS.email, NOON, None)
    assert second.replaces == first.refresh_token
    assert set(record.max_concurrent.values()) == {1}


async def test_the_record_knows_how_many_logged_in_at_once(serving: Serving) -> None:
    """Overlapping logins are counted, and the delay uses the injected sleep."""
    both = asyncio.Event()
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)
        if len(delays) == 2:
            both.set()
        await both.wait()

    simulator = office(rules=TokenRules(delay=5), sleep=sleep)
    async with asyncio.timeout(5), serving(simulator) as client:
        await asyncio.gather(login(client), login(client, GUEST))
        await login(client)
        await refresh(client, simulator.record.issued[0].refresh_token)
        await stats(client, simulator.record.issued[0].access_token)
        await client.get("/bucket")
    assert simulator.record.max_concurrent == {"login": 2, "refresh": 1, "stats": 1, "list": 1}
    assert delays == [5] * 4


async def test_a_delay_can_be_switched_off(serving: Serving) -> None:
    """Token rules that are replaced at run time apply from the next call on."""
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    simulator = office(rules=TokenRules(delay=5), sleep=sleep)
    async with serving(simulator) as client:
        await login(client)
        simulator.token_server.rules = replace(simulator.token_server.rules, delay=0)
        await login(client)
    assert delays == [5]


async def test_of_two_refreshes_at_once_one_wins(serving: Serving) -> None:
    """Of two concurrent refreshes with a rotating token, one succeeds and one gets 401."""
    both = asyncio.Event()
    waiting: list[float] = []

    async def sleep(seconds: float) -> None:
        waiting.append(seconds)
        if len(waiting) == 2:
            both.set()
        await both.wait()

    simulator = office(sleep=sleep)
    async with asyncio.timeout(5), serving(simulator) as client:
        token = (await login(client)).json()["refreshToken"]
        simulator.token_server.rules = TokenRules(delay=1)
        answers = await asyncio.gather(refresh(client, token), refresh(client, token))
    assert sorted(answer.status_code for answer in answers) == [200, 401]
    assert simulator.record.max_concurrent[CallKind.REFRESH] == 2


async def test_the_record_of_tokens_is_bounded(serving: Serving) -> None:
    """Only the newest grants of tokens are kept."""
    simulator = office(keep=2)
    async with serving(simulator) as client:
        for user in (OPS, OPS, GUEST):
            await login(client, user)
    assert [grant.email for grant in simulator.record.issued] == [OPS.email, GUEST.email]


def test_a_password_is_not_shown() -> None:
    """The repr of a user does not contain the password."""
    assert OPS.password not in repr(OPS)
