"""Logins and their renewal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from exporter.model import ApiError, Reason, Timing
from exporter.upstream.credentials import FILE_INTERVAL, NoToken, SecretFile
from exporter.upstream.events import Call
from exporter.upstream.json_reader import LARGE_BODY
from exporter.upstream.login import LoginCredentials
from exporter.upstream.rate_limit import RateLimiter
from exporter.upstream.request import ApiRequest, Requester
from exporter.upstream.transport import RawResponse, Transport
from tests.harness.fakes import FakeClock, Recorder, jwt
from tests.upstream.tokens import token_in_memory

HOUR = 3600


class Api:
    """A fake API for login and refresh, which records the requests."""

    def __init__(self, clock: FakeClock, lifetime: float | None = HOUR) -> None:
        self.clock = clock
        self.lifetime = lifetime
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.times: list[float] = []
        self.issued = 0
        self.refusals: dict[str, Callable[[], httpx.Response]] = {}
        self.seconds = 0.0
        self.rotates = True

    async def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/user/")
        self.asked.append((path, json.loads(request.content)))
        self.times.append(self.clock.monotonic())
        await self.clock.sleep(self.seconds)
        if path in self.refusals:
            return self.refusals[path]()
        self.issued += 1
        now = self.clock.now().wall
        claims = {} if self.lifetime is None else {"iat": now, "exp": now + self.lifetime}
        body = {"success": True, "accessToken": jwt(n=self.issued, **claims), "expiresAt": "odd"}
        if self.rotates or path == "login":
            body["refreshToken"] = f"r{self.issued}"
        return httpx.Response(200, json=body)

    def refuse(self, path: str, status: int, **body: object) -> None:
        """Return this status and body for a call from now on."""
        self.refusals[path] = lambda: httpx.Response(status, json={"success": False, **body})

    def accept(self, password: str) -> None:
        """Accept only this password for login."""

        def check() -> httpx.Response:
            right = self.asked[-1][1]["password"] == password
            return httpx.Response(200, json={"accessToken": jwt(n=1)} if right else {})

        self.refusals["login"] = check

    def paths(self) -> list[str]:
        """The paths of the requests so far."""
        return [path for path, _ in self.asked]


class World:
    """A login at a fake API, with a fake clock."""

    def __init__(self, password: str | Path, lifetime: float | None) -> None:
        self.clock = FakeClock()
        self.api = Api(self.clock, lifetime)
        self.seen = Recorder()
        self.on_change = 0
        self.password = (
            password
            if isinstance(password, str)
            else SecretFile(password, "password_file", self.clock)
        )
        self.login = self.make_login()

    def make_login(self) -> LoginCredentials:
        """Create another login of the same user."""
        requester = Requester(
            "main",
            "https://api.example",
            transport=Transport(httpx.MockTransport(self.api.answer)),
            timeout=10,
            max_response_bytes=100_000,
            user_agent="test",
            clock=self.clock,
            observer=self.seen,
        )
        return LoginCredentials(
            "main",
            "ops@example.com",
            self.password,
            requester=requester,
            timing=Timing(),
            rate_limiter=RateLimiter(1000, self.clock),
            clock=self.clock,
            rng=Random(0),
        )

    def note_news(self) -> None:
        """Count a notification that refused buckets should be polled again."""
        self.on_change += 1

    async def token(self, login: LoginCredentials | None = None) -> str:
        """The current token."""
        token: str = await self._given((login or self.login).token())
        return token

    async def renewed(self, refused: str) -> str | None:
        """A new token after this one was refused."""
        token: str | None = await self._given(self.login.refresh(refused))
        return token

    async def fault(self) -> ApiError:
        """The error if there is no token."""
        with pytest.raises(NoToken) as caught:
            await self.token()
        return caught.value.api_error

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a thread that reads a file, without advancing the clock."""
        async with asyncio.timeout(20):
            while not holds():
                await self.clock.advance(0)
                await asyncio.sleep(0.001)

    async def _given(self, work: Any) -> Any:  # noqa: ANN401 - whatever the work gives
        task = asyncio.ensure_future(work)
        await self.clock.advance(self.api.seconds + 0.01)
        await self.until(task.done)
        return await task


@asynccontextmanager
async def working(
    password: str | Path = "s3cret", lifetime: float | None = HOUR
) -> AsyncIterator[World]:
    """Run the login's renewal while the body runs."""
    world = World(password, lifetime)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.login.run(world.note_news))
        yield world
        running.cancel()


async def test_first_token_is_by_login() -> None:
    """The first token comes from one login with e-mail and password, and has an expiry."""
    async with working() as world:
        token = await world.token()
        assert await world.token() == token
        assert world.api.asked == [("login", {"email": "ops@example.com", "password": "s3cret"})]
        assert world.login.expiry() == pytest.approx(world.clock.now().wall + HOUR, abs=1)


async def test_token_serves_until_it_ends_while_it_is_renewed() -> None:
    """While a valid token is renewed, polls use it; without a valid token they wait."""
    async with working() as world:
        assert await token_in_memory(world.login) is None
        token = await world.token()
        world.api.seconds = 150.0
        await world.clock.advance(HOUR - 200)
        assert await world.login.token() == await token_in_memory(world.login) == token
        await world.clock.advance(5)
        assert world.api.paths() == ["login", "refresh"]
        assert await token_in_memory(world.login) == token
        await world.clock.advance(200)
        assert await token_in_memory(world.login) is None


async def test_renewal_is_in_time_and_by_refresh() -> None:
    """The token is refreshed once, some minutes before its expiry."""
    async with working() as world:
        first = await world.token()
        await world.clock.advance(HOUR - 460)
        assert await world.token() == first
        await world.clock.advance(170)
        assert await world.token() == first
        assert await world.token() != first
        assert world.api.asked[1:] == [("refresh", {"refresh_token": "r1"})]


@pytest.mark.parametrize("rotates", [True, False])
async def test_refresh_token_is_taken_over_or_kept(rotates: bool) -> None:  # noqa: FBT001 - a case
    """A new refresh token replaces the old one; if the response has none, the old one is kept."""
    async with working() as world:
        world.api.rotates = rotates
        for _ in range(3):
            await world.token()
            await world.clock.advance(HOUR - 200)
        refreshes = [body["refresh_token"] for path, body in world.api.asked if path == "refresh"]
        assert refreshes == (["r1", "r2"] if rotates else ["r1", "r1"])


@pytest.mark.parametrize("status", [201, 202, 203, 299])
@pytest.mark.parametrize("call", ["login", "refresh"])
async def test_every_2xx_with_a_token_is_a_login(call: str, status: int) -> None:
    """Any 2xx response with a token is accepted for login and refresh."""
    async with working() as world:
        token = jwt(n=7)
        world.api.refusals[call] = lambda: httpx.Response(status, json={"accessToken": token})
        if call == "refresh":
            assert await world.token() != token
            await world.clock.advance(HOUR - 200)
            await world.token()  # begins the renewal
            await world.clock.advance(1)
        assert await world.token() == token
        assert world.api.paths()[-1] == call


async def test_one_renewal_for_all_who_wait() -> None:
    """Polls that wait for a token at the same time share one login."""
    async with working() as world:
        world.api.seconds = 1.0
        tasks = [asyncio.ensure_future(world.login.token()) for _ in range(50)]
        await world.clock.advance(2)
        assert len({await task for task in tasks}) == 1
        assert world.api.paths() == ["login"]


async def test_refused_refresh_falls_back_to_login() -> None:
    """If the refresh token is refused, the same renewal logs in again."""
    async with working() as world:
        await world.token()
        world.api.refuse("refresh", 401)
        await world.clock.advance(HOUR - 200)
        await world.token()
        assert world.api.paths() == ["login", "refresh", "login"]


async def test_other_spelling_of_the_refresh_is_survived_and_remembered() -> None:
    """If `refresh_token` gets a 400, `refreshToken` is tried, and used from then on."""
    async with working() as world:
        await world.token()

        def picky() -> httpx.Response:
            if "refreshToken" not in world.api.asked[-1][1]:
                return httpx.Response(400, json={"success": False})
            now = world.clock.now().wall
            return httpx.Response(200, json={"accessToken": jwt(iat=now, exp=now + HOUR)})

        world.api.refusals["refresh"] = picky
        for _ in range(2):
            await world.clock.advance(HOUR - 200)
            await world.token()
        spellings = [[*body] for path, body in world.api.asked if path == "refresh"]
        assert spellings == [["refresh_token"], ["refreshToken"], ["refreshToken"]]


async def test_unreachable_api_is_not_tried_twice_and_the_old_token_serves() -> None:
    """If a refresh fails temporarily, the old token is used until it expires."""
    async with working() as world:
        first = await world.token()
        world.api.refuse("refresh", 429)
        await world.clock.advance(HOUR - 200)
        assert await world.token() == first
        assert await world.token() == first
        assert world.api.paths() == ["login", "refresh"]
        await world.clock.advance(201)
        assert (await world.fault()).reason is Reason.RATE_LIMITED


async def test_refused_login_is_not_hammered() -> None:
    """A login with a wrong password is retried with growing waits, however many polls need it."""
    async with working() as world:
        world.api.refuse("login", 401, message="Invalid credentials")
        for _ in range(200):
            fault = await world.fault()
            assert fault.reason is Reason.UNAUTHORIZED
            assert fault.message == "the login was refused: HTTP 401: Invalid credentials"
            await world.clock.advance(5)
        gaps = [later - earlier for earlier, later in pairwise(world.api.times)]
        assert gaps == pytest.approx([60, 120, 240, 300], abs=0.1)


async def test_login_that_nobody_asks_for_is_not_tried_again() -> None:
    """A refused login is retried only if a poll needed the token during the wait."""
    async with working() as world:
        world.api.refuse("login", 401)
        await world.fault()
        await world.clock.advance(1000)
        assert world.api.paths() == ["login"]
        await world.fault()
        await world.fault()
        await world.clock.advance(1000)
        assert world.api.paths() == ["login"] * 3


async def test_unreachable_login_is_tried_again_within_an_interval() -> None:
    """After a temporary error, login is retried within about one poll interval."""
    async with working() as world:
        world.api.refuse("login", 503)
        assert (await world.fault()).reason is Reason.SERVER_ERROR
        for _ in range(6):
            await world.fault()
            await world.clock.advance(61)
        del world.api.refusals["login"]
        await world.token()


async def test_login_failure_is_logged_once_and_says_what_to_do() -> None:
    """A login failure is logged once with its fix, its recovery once, and never the password."""
    async with working() as world:
        with capture_logs() as events:
            world.api.refusals["login"] = lambda: httpx.Response(
                200, json={"success": True, "mfaRequired": True}
            )
            for _ in range(5):
                fault = await world.fault()
                await world.clock.advance(400)
            del world.api.refusals["login"]
            await world.token()
        assert [event["event"] for event in events] == ["login_failed", "login_recovered"]
        assert events[0]["message"] == f"the login was refused: {fault.message.split(': ', 1)[1]}"
        assert "without MFA" in fault.message
        assert "s3cret" not in repr(events)


async def test_changed_password_file_is_tried_at_once(tmp_path: Path) -> None:
    """A corrected password file triggers a login at once, without waiting for the re-check."""
    file = tmp_path / "password"
    file.write_text("wrong\n")
    async with working(file) as world:
        world.api.accept("right-one")
        await world.fault()
        await world.fault()
        await world.until(lambda: world.on_change == 1)
        file.write_text("right-one\n")
        await world.clock.advance(FILE_INTERVAL)
        await world.until(lambda: world.on_change > 1)
        assert await world.token() == jwt(n=1)
        assert [body["password"] for _, body in world.api.asked] == ["wrong", "right-one"]


async def test_password_file_with_the_same_password_is_no_news(tmp_path: Path) -> None:
    """Rewriting the password file with the same password triggers no login."""
    file = tmp_path / "password"
    file.write_text("wrong\n")
    async with working(file) as world:
        world.api.refuse("login", 401)
        await world.fault()
        await world.until(lambda: world.on_change == 1)
        file.unlink()
        file.write_text("wrong")
        assert isinstance(world.password, SecretFile)
        assert await world.password.update() == "wrong"
        await world.fault()
        assert world.api.paths() == ["login"]
        assert world.on_change == 1


async def test_password_that_changes_during_the_login_is_tried_next(tmp_path: Path) -> None:
    """If the password file changes during a failing login, the new password is tried next."""
    file = tmp_path / "password"
    file.write_text("wrong")
    async with working(file) as world:
        world.api.accept("right-one")
        world.api.seconds = 9.0
        waiting = asyncio.ensure_future(world.login.token())
        await world.until(lambda: len(world.api.asked) == 1)
        await world.until(lambda: world.on_change == 1)
        file.write_text("right-one")
        await world.clock.advance(FILE_INTERVAL)
        await world.until(lambda: world.on_change > 1)
        await world.clock.advance(9)
        await world.until(lambda: len(world.api.asked) == 2)
        await world.clock.advance(9)
        assert await waiting
        assert [body["password"] for _, body in world.api.asked] == ["wrong", "right-one"]


async def test_missing_password_file_is_unauthorized(tmp_path: Path) -> None:
    """Without a password file no login is sent, and the error names password_file."""
    async with working(tmp_path / "password") as world:
        fault = await world.fault()
        assert fault.reason is Reason.UNAUTHORIZED
        assert "password_file cannot be read" in fault.message
        assert not world.api.asked
        assert [(attempt.call, attempt.status) for attempt in world.seen.attempts] == [
            (Call.LOGIN, None)
        ]


async def test_refused_token_is_renewed_once_for_all() -> None:
    """Several polls whose token was refused share one refresh."""
    async with working() as world:
        first = await world.token()
        world.api.seconds = 1.0
        tasks = [asyncio.ensure_future(world.login.refresh(first)) for _ in range(20)]
        await world.clock.advance(2)
        assert len({await task for task in tasks}) == 1
        assert world.api.paths() == ["login", "refresh"]


async def test_renewals_after_refusals_are_bounded() -> None:
    """If the API refuses every token, there is at most one refresh and login per interval."""
    async with working() as world:
        token = await world.token()
        for _ in range(20):
            token = await world.renewed(token) or token
            await world.clock.advance(6)
        assert world.api.paths() == ["login", "refresh", "login", "refresh", "login"]


async def test_refused_token_of_a_refresh_leads_to_a_login() -> None:
    """If the token of a refresh is refused, the next token comes from a login."""
    async with working() as world:
        first = await world.token()
        second = await world.renewed(first)
        assert second is not None
        third = await world.renewed(second)
        assert third not in {None, first, second}
        assert world.api.paths() == ["login", "refresh", "login"]
        assert await world.token() == third


async def test_refused_token_of_a_renewal_in_time_leads_to_a_login() -> None:
    """If the token of a regular refresh is refused, login is tried until it succeeds."""
    async with working() as world:
        await world.token()
        await world.clock.advance(HOUR - 200)
        await world.token()
        refreshed = await world.token()
        world.api.refuse("login", 503)
        with pytest.raises(NoToken):
            await world.renewed(refreshed)
        world.api.refusals.clear()
        await world.clock.advance(60)
        assert await world.token() != refreshed
        assert world.api.paths() == ["login", "refresh", "login", "login"]


async def test_renewal_is_no_news_and_recovery_is() -> None:
    """A regular renewal sends no notification; a login that recovers sends one."""
    async with working() as world:
        await world.token()
        await world.clock.advance(HOUR - 200)
        await world.token()
        assert len(world.api.asked) == 2
        assert world.on_change == 0
        world.api.refuse("refresh", 401)
        world.api.refuse("login", 401)
        await world.clock.advance(HOUR)
        await world.fault()
        world.api.refusals.clear()
        await world.clock.advance(61)
        await world.token()
        assert world.on_change == 1


async def test_retry_after_of_a_refresh_is_kept_to() -> None:
    """After a 429 to a refresh, the next one waits for Retry-After."""
    async with working() as world:
        await world.token()
        world.api.refusals["refresh"] = lambda: httpx.Response(429, headers={"Retry-After": "120"})
        await world.clock.advance(HOUR - 280)
        for _ in range(20):
            await world.token()
            await world.clock.advance(5)
        assert world.api.paths().count("refresh") == 1
        await world.clock.advance(25)
        await world.token()
        assert world.api.paths().count("refresh") == 2


async def test_near_zero_lifetime_is_ignored() -> None:
    """A token whose claimed lifetime is almost zero is used until it is refused."""
    async with working(lifetime=0.000001) as world:
        assert await world.token() == await world.token()
        assert world.api.paths() == ["login"]


async def test_token_without_an_end_is_used_until_refused() -> None:
    """A token without an expiry is not renewed until it is refused."""
    async with working(lifetime=None) as world:
        first = await world.token()
        await world.clock.advance(100_000)
        assert await world.token() == first
        assert world.login.expiry() is None
        assert await world.renewed(first) != first


async def test_short_lives_are_renewed_in_time() -> None:
    """A token that lives two seconds is refreshed before each expiry."""
    async with working(lifetime=2.0) as world:
        for _ in range(200):
            await world.token()
            ends = world.login.expiry()
            assert ends is not None
            assert ends > world.clock.now().wall
            await world.clock.advance(0.1)
        assert set(world.api.paths()[1:]) == {"refresh"}


async def test_no_secret_in_what_a_debugger_shows() -> None:
    """The repr of the objects that hold a password or token does not contain it."""
    async with working() as world:
        token = await world.token()
        asked = ApiRequest(Call.LOGIN, "POST", "/user/login", b'{"password":"s3cret"}', ("s3cret",))
        answered = RawResponse(200, None, b"AKIASECRET")
        shown = repr((world.login, world.login.state, asked, answered))
        assert token not in shown
        assert "s3cret" not in shown
        assert "AKIASECRET" not in shown
        assert "'r1'" not in shown


async def test_session_goes_on_after_a_reload() -> None:
    """After a reload, the login of the same user continues the session."""
    async with working() as world:
        token = await world.token()
        successor = world.make_login()
        successor.resume(world.login)
        assert await world.token(successor) == token
        assert world.api.paths() == ["login"]
        successor.resume(object())
        assert await world.token(successor) == token


async def test_poll_that_gives_up_waiting_does_not_end_the_renewal() -> None:
    """Cancelled polls do not cancel the login that they wait for; later polls use its token."""
    async with working() as world:
        world.api.seconds = 9.0
        for _ in range(4):
            task = asyncio.ensure_future(world.login.token())
            await world.clock.advance(2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await world.clock.advance(2)
        assert await token_in_memory(world.login) is not None
        assert world.api.paths() == ["login"]


async def test_hanging_login_is_tried_ever_more_rarely() -> None:
    """A login that hangs times out once for all waiting polls, and is retried ever more rarely."""
    async with working() as world:
        world.api.seconds = 1000.0
        reasons = set()
        for _ in range(60):
            tasks = [asyncio.ensure_future(world.login.token()) for _ in range(5)]
            await world.clock.advance(1)
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            reasons |= {each.api_error.reason for each in done if isinstance(each, NoToken)}
        assert reasons == {Reason.TIMEOUT}
        assert [round(time - world.api.times[0]) for time in world.api.times] == [0, 15, 35]


async def test_renewal_of_three_slow_attempts_succeeds() -> None:
    """Each attempt of a renewal has its own poll_timeout, so three slow ones can succeed."""
    async with working() as world:
        await world.token()
        await world.clock.advance(HOUR + 1)
        world.api.seconds = 9.0
        world.api.refuse("refresh", 400)
        polls = [asyncio.ensure_future(world.login.token()) for _ in range(3)]
        await world.clock.advance(28)
        assert len({await poll for poll in polls}) == 1
        assert world.api.paths() == ["login", "refresh", "refresh", "login"]


async def test_renewal_that_a_reload_cuts_off_is_made_again() -> None:
    """If a reload cuts off a renewal, the new login renews the token."""
    async with working() as world:
        token = await world.token()
        await world.clock.advance(HOUR + 1)
        world.api.seconds = 5.0
        waiting = asyncio.ensure_future(world.login.token())
        await world.clock.advance(2)
        waiting.cancel()
        successor = world.make_login()
        successor.resume(world.login)
        world.api.seconds = 0.0
        async with asyncio.TaskGroup() as group:
            running = group.create_task(successor.run(world.note_news))
            assert await world.token(successor) != token
            running.cancel()
        assert world.on_change == 0


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (httpx.Response(200, text="<html>"), Reason.MALFORMED),
        (httpx.Response(200, json={"accessToken": "t", "x": "x" * LARGE_BODY}), Reason.MALFORMED),
        (httpx.Response(200, json={"success": False, "error": "no"}), Reason.UNAUTHORIZED),
        (httpx.Response(200, json={"accessToken": "two words"}), Reason.UNAUTHORIZED),
        (httpx.Response(202, json={"message": "second factor"}), Reason.UNAUTHORIZED),
        (httpx.Response(204), Reason.MALFORMED),
        (httpx.Response(302, json={"accessToken": "t"}), Reason.UNEXPECTED_STATUS),
        (httpx.Response(403), Reason.UNAUTHORIZED),
        (httpx.Response(400), Reason.UNAUTHORIZED),
        (httpx.Response(500), Reason.SERVER_ERROR),
    ],
)
async def test_every_odd_answer_is_a_fault(response: httpx.Response, reason: Reason) -> None:
    """Any login response yields a token or an error with the right reason."""
    async with working() as world:
        world.api.refusals["login"] = lambda: response
        assert (await world.fault()).reason is reason
