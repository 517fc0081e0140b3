"""One poll: attempts, retries, the deadline, and the result."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import respx
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.model import ApiError, FailedPoll, GoodPoll, PollResult, Reason, Timing
from exporter.upstream.client import Client
from exporter.upstream.credentials import Credentials, StaticToken, TokenFile, Waiting
from exporter.upstream.discovery import MAX_LISTING_BYTES, TOO_LARGE, FoundBucket, ListResponse
from exporter.upstream.events import Attempt, Call, Drift, DriftKind
from exporter.upstream.json_reader import LARGE_BODY
from exporter.upstream.parsing import Parsed, ResponseLimits
from exporter.upstream.rate_limit import RateLimiter
from exporter.upstream.request import ApiRequest, Requester, retry_after_seconds
from exporter.upstream.transport import Transport
from tests.harness.fakes import MIDNIGHT, FakeClock, Recorder, bucket

BASE = "https://api.example"
TOKEN = "s3cret-token"
GOOD = {"success": True, "nodeStats": [{"host": "h1", "perc_uptime": 50}]}


class World:
    """A client whose API is a respx router, with a fake clock and a recording observer."""

    def __init__(
        self,
        router: respx.Router,
        *,
        credentials: Credentials | None = None,
        wall: float | None = None,
        max_nodes: int = 1000,
        max_bytes: int = 10_000,
        timing: Timing | None = None,
        rate: float = 1000,
    ) -> None:
        self.clock = FakeClock() if wall is None else FakeClock(wall)
        self.seen = Recorder()
        self.rate_limiter = RateLimiter(rate, self.clock)
        timing = timing or Timing()
        requester = Requester(
            "main",
            BASE,
            transport=Transport(httpx.MockTransport(router.async_handler)),
            timeout=timing.poll_timeout,
            max_response_bytes=max_bytes,
            user_agent="flashback-exporter/test",
            clock=self.clock,
            observer=self.seen,
        )
        self.requester = requester
        self.client = Client(
            requester,
            credentials or StaticToken(TOKEN),
            response_limits=ResponseLimits(frozenset({"ONLINE"}), max_nodes),
            deadline=timing.poll_interval,
            turns=self.rate_limiter,
            clock=self.clock,
            rng=Random(0),
        )

    async def poll(self, bucket_id: str = "b1", within: float = 100.0) -> PollResult:
        """Poll a bucket while the clock advances."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.client.poll(bucket(bucket_id)))
            await self.clock.advance(within)
        return task.result()

    async def fault(self) -> ApiError:
        """The error of a poll that fails."""
        result = await self.poll()
        assert isinstance(result, FailedPoll)
        return result.error


@pytest.fixture
def router() -> respx.Router:
    """An API without any responses yet."""
    return respx.Router(assert_all_called=False)


def answers(
    router: respx.Router,
    *responses: Any,  # noqa: ANN401 - answers, errors, functions
) -> respx.Route:
    """Make the API return these responses in order, for any bucket."""
    route = router.post(url__regex=f"{BASE}/bucket/.*/stats")
    route.side_effect = list(responses)
    return route


def ok(**changes: object) -> httpx.Response:
    """A good response."""
    return httpx.Response(200, json={**GOOD, **changes})


async def test_request_is_the_vendors(router: respx.Router) -> None:
    """A poll is one POST with today's UTC midnight, the bearer token and the User-Agent."""
    route = answers(router, ok())
    await World(router).poll()
    request = route.calls.last.request
    assert str(request.url) == f"{BASE}/bucket/b1/stats"
    assert request.method == "POST"
    assert json.loads(request.content) == {"day": "2024-01-15T00:00:00.000Z"}
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["User-Agent"] == "flashback-exporter/test"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("bucket_id", "path"),
    [
        ("a/b", "/bucket/a%2Fb/stats"),
        ("a b?c#d", "/bucket/a%20b%3Fc%23d/stats"),
        ("50%", "/bucket/50%25/stats"),
        ("é", "/bucket/%C3%A9/stats"),
        ("..x", "/bucket/..x/stats"),
    ],
)
async def test_ids_are_percent_encoded(router: respx.Router, bucket_id: str, path: str) -> None:
    """A bucket id is percent-encoded, so it is always a single path segment."""
    route = answers(router, ok())
    await World(router).poll(bucket_id)
    assert route.calls.last.request.url.raw_path == path.encode()


async def test_good_answer_is_a_reading(router: respx.Router) -> None:
    """A good poll contains the nodes, the requested day and the duration."""
    answers(router, ok())
    world = World(router)
    result = await world.poll()
    assert isinstance(result, GoodPoll)
    assert result.stats.nodes[0].uptime_ratio == 0.5
    assert result.stats.day == world.clock.now().day
    assert world.seen.attempts == [Attempt("main", Call.STATS, 200, None, 0.0)]


async def test_day_is_that_of_the_start_of_the_poll(router: respx.Router) -> None:
    """A poll that crosses midnight uses the day of its start, also for retries."""
    route = answers(router, httpx.Response(502), httpx.Response(502), ok())
    world = World(router, wall=MIDNIGHT - 0.01)
    result = await world.poll()
    assert isinstance(result, GoodPoll)
    assert result.ended.wall > MIDNIGHT
    assert result.stats.day.isoformat() == "2024-01-15"
    days = {json.loads(call.request.content)["day"] for call in route.calls}
    assert days == {"2024-01-15T00:00:00.000Z"}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.BAD_REQUEST),
        (401, Reason.UNAUTHORIZED),
        (403, Reason.FORBIDDEN),
        (404, Reason.NOT_FOUND),
        (429, Reason.RATE_LIMITED),
        (418, Reason.UNEXPECTED_STATUS),
        (204, Reason.UNEXPECTED_STATUS),
        (301, Reason.UNEXPECTED_STATUS),
    ],
)
async def test_status_that_is_no_answer_fails_at_once(
    router: respx.Router, status: int, reason: Reason
) -> None:
    """A 2xx without data, a redirect or a 4xx is not retried; the error has the API's message."""
    body = {"success": False, "message": "Because\nI say so"}
    route = answers(
        router, httpx.Response(status, json=body, headers={"Location": "https://evil.example"})
    )
    world = World(router)
    fault = await world.fault()
    assert fault.reason is reason
    assert fault.message == f"HTTP {status}: Because I say so"
    assert route.call_count == 1
    assert world.seen.attempts == [Attempt("main", Call.STATS, status, reason, 0.0)]


async def test_redirect_is_never_followed(router: respx.Router) -> None:
    """Redirects are not followed, so the token is sent only to the configured API."""
    elsewhere = router.route(host="evil.example")
    answers(router, httpx.Response(307, headers={"Location": "https://evil.example/"}))
    fault = await World(router).fault()
    assert fault == ApiError(Reason.UNEXPECTED_STATUS, "HTTP 307")
    assert not elsewhere.called


@pytest.mark.parametrize("status", [500, 502, 503, 599])
async def test_server_errors_are_tried_three_times(router: respx.Router, status: int) -> None:
    """A 5xx is retried with back-off, and the poll fails after three attempts."""
    route = answers(router, *[httpx.Response(status)] * 3)
    world = World(router)
    result = await world.poll()
    assert isinstance(result, FailedPoll)
    assert result.error == ApiError(Reason.SERVER_ERROR, f"HTTP {status}")
    assert 0 < result.duration <= 1.5
    assert route.call_count == 3
    assert world.seen.retries == [("main", Call.STATS)] * 2
    assert [attempt.status for attempt in world.seen.attempts] == [status] * 3


async def test_retry_can_succeed(router: respx.Router) -> None:
    """A poll whose retry succeeds is a good poll."""
    answers(router, httpx.ConnectError("refused"), httpx.Response(503), ok())
    world = World(router)
    assert isinstance(await world.poll(), GoodPoll)
    assert [attempt.reason for attempt in world.seen.attempts] == [
        Reason.CONNECT,
        Reason.SERVER_ERROR,
        None,
    ]


async def test_time_out_is_not_retried(router: respx.Router) -> None:
    """After a timeout there is no retry until the next poll."""
    asked = []

    async def hang(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        await world.clock.sleep(1000)
        return ok()

    answers(router, hang, hang)
    world = World(router)
    result = await world.poll()
    assert isinstance(result, FailedPoll)
    assert result.error == ApiError(Reason.TIMEOUT, "no response within 10s")
    assert result.duration == 10
    assert len(asked) == 1


async def test_poll_ends_within_its_interval(router: respx.Router) -> None:
    """A poll with slow retries ends before its bucket is due again."""

    async def slow(_request: httpx.Request) -> httpx.Response:
        await world.clock.sleep(9.9)
        return httpx.Response(500)

    answers(router, slow, slow, slow)
    world = World(router, timing=Timing(poll_interval=15, poll_timeout=10))
    result = await world.poll()
    assert isinstance(result, FailedPoll)
    assert result.error.reason is Reason.TIMEOUT
    assert result.duration == 15


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17),
        (" 17 ", 17),
        ("Mon, 15 Jan 2024 12:00:40 GMT", 40),
        ("Mon, 15 Jan 2024 11:00:00 GMT", 0),
        ("Monday, 15-Jan-24 12:00:40 GMT", 40),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("Mon, 99 Jan 2024 11:00:00 GMT", None),
        (None, None),
    ],
)
async def test_retry_after_in_both_forms(
    router: respx.Router, header: str | None, seconds: float | None
) -> None:
    """Retry-After is read as seconds or as HTTP date; an invalid value is ignored."""
    headers = {} if header is None else {"Retry-After": header}
    answers(router, httpx.Response(429, headers=headers))
    assert (await World(router).fault()).retry_after == seconds


@pytest.mark.parametrize(
    "header",
    [
        "Mon, 15 Jan 2024 12:01:00 GMT",
        "Mon, 15 Jan 2024 12:01:00 -0000",
        "Monday, 15-Jan-24 12:01:00 GMT",
        "Mon Jan 15 12:01:00 2024",
        "Mon, 15 Jan 2024 12:00:60 GMT",
    ],
)
async def test_dates_without_a_zone_are_utc(
    router: respx.Router, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All date formats of RFC 9110 are read as UTC in any time zone, including a leap second."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        answers(router, httpx.Response(429, headers={"Retry-After": header}))
        assert (await World(router).fault()).retry_after == 60
    finally:
        monkeypatch.undo()
        time.tzset()


PARTS_OF_DATES = st.sampled_from(
    [
        *("Mon,", "Monday,", "Mon", "15", "Jan", "15-Jan-24", "2024", "24", "0", "-1", "9" * 20),
        *("12:01:00", "12:01:60", "12.01", "99:99", ":", "GMT", "-0000", "+9999", "+" + "9" * 400),
    ]
)


@given(st.text() | st.lists(PARTS_OF_DATES, max_size=8).map(" ".join))
@example("Jan 99999999999999999999 12:01 15-Jan-24")
@example("9" * 400)
def test_any_retry_after_is_survived(header: str) -> None:
    """An invalid or very large Retry-After raises no exception."""
    seconds = retry_after_seconds(header, wall=0)
    assert seconds is None or seconds >= 0


async def test_unusable_body_is_a_failure_of_its_own(router: respx.Router) -> None:
    """A 200 with success: false or with an unreadable body fails the poll without a retry."""
    answers(router, ok(success=False, message="Try later"), httpx.Response(200, text="<html>"))
    world = World(router)
    assert await world.fault() == ApiError(Reason.UNSUCCESSFUL, "Try later")
    assert (await world.fault()).reason is Reason.MALFORMED
    assert [attempt.reason for attempt in world.seen.attempts] == [
        Reason.UNSUCCESSFUL,
        Reason.MALFORMED,
    ]


async def test_guards_on_nodes_and_bytes(router: respx.Router) -> None:
    """Too many nodes and a too large body each fail the poll with their own reason."""
    many = [{"host": f"h{number}"} for number in range(3)]
    answers(router, ok(nodeStats=many), httpx.Response(200, content=b" " * 10_001))
    world = World(router, max_nodes=2)
    assert (await world.fault()).reason is Reason.TOO_MANY_NODES
    assert (await world.fault()).reason is Reason.TOO_LARGE


async def test_drift_is_reported(router: respx.Router) -> None:
    """Drift from the documented format is reported to the observer, even in a good response."""
    answers(router, ok(extra=1))
    world = World(router)
    await world.poll()
    assert world.seen.drifts == [{Drift(DriftKind.UNKNOWN_FIELD, "other"): 1}]


async def test_refused_token_is_read_again_and_the_call_made_once_more(
    router: respx.Router, tmp_path: Path
) -> None:
    """After a 401 the token file is re-read, and the request is retried with the new token."""
    file = tmp_path / "token"
    file.write_text("old")

    def refuse(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer old"
        file.write_text("new")
        return httpx.Response(401)

    route = answers(router, refuse, ok())
    world = World(router, credentials=TokenFile(file, FakeClock()))
    assert isinstance(await world.client.poll(bucket()), GoodPoll)
    assert route.calls.last.request.headers["Authorization"] == "Bearer new"
    assert world.seen.retries == [("main", Call.STATS)]


async def test_refused_token_is_not_sent_twice(router: respx.Router, tmp_path: Path) -> None:
    """If the token file still has the same token, a 401 is final."""
    file = tmp_path / "token"
    file.write_text("same")
    route = answers(router, httpx.Response(401), httpx.Response(401))
    world = World(router, credentials=TokenFile(file, FakeClock()))
    result = await world.client.poll(bucket())
    assert isinstance(result, FailedPoll)
    assert result.error.reason is Reason.UNAUTHORIZED
    assert route.call_count == 1


class NoTokenYet(StaticToken):
    """Credentials whose token is not available until `came` is set."""

    def __init__(self) -> None:
        super().__init__(TOKEN)
        self.came = asyncio.Event()

    async def token(self, waiting: Waiting = nullcontext) -> str:
        async with waiting():
            await self.came.wait()
        return TOKEN


async def test_wait_for_a_token_ends_with_the_poll(router: respx.Router) -> None:
    """A poll that gets no token within its interval times out without sending a request."""
    route = answers(router, ok())
    result = await World(router, credentials=NoTokenYet()).poll()
    assert isinstance(result, FailedPoll)
    text = "no response within 60s, including retries and the wait for a token"
    assert result.error == ApiError(Reason.TIMEOUT, text)
    assert result.duration == 60
    assert not route.called


async def test_missing_token_sends_nothing(router: respx.Router, tmp_path: Path) -> None:
    """Without a token no request is sent, and the poll fails as unauthorized."""
    route = answers(router, ok())
    world = World(router, credentials=TokenFile(tmp_path / "token", FakeClock()))
    result = await world.client.poll(bucket())
    assert isinstance(result, FailedPoll)
    assert result.error.reason is Reason.UNAUTHORIZED
    assert "No such file" in result.error.message
    assert not route.called
    assert world.seen.attempts == [Attempt("main", Call.STATS, None, Reason.UNAUTHORIZED, None)]


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("before", ["x" * 190, " " * 1960, ""])
async def test_token_quoted_back_is_not_repeated(
    router: respx.Router, status: int, before: str
) -> None:
    """If the API's message contains the token, the error omits the message."""
    body = {"success": False, "message": f"{before} bad token {TOKEN}"}
    answers(router, httpx.Response(status, json=body))
    message = (await World(router).fault()).message
    assert message == f"HTTP {status}: message omitted because it contains a secret"


async def test_short_secrets_do_not_garble_messages(router: respx.Router) -> None:
    """A one-letter token is not searched for in messages, as any text contains it by chance."""
    answers(router, httpx.Response(403, json={"message": "not to this bucket"}))
    fault = await World(router, credentials=StaticToken("t")).fault()
    assert fault.message == "HTTP 403: not to this bucket"


async def test_retries_keep_to_the_shared_pace(router: respx.Router) -> None:
    """Retries count against the rate limit that all requests share."""
    answers(router, httpx.Response(500), ok())
    world = World(router, rate=0.1)
    world.rate_limiter.reserve()
    result = await world.poll()
    assert result.duration > 9


async def test_what_came_before_a_long_sleep_is_too_late(router: respx.Router) -> None:
    """If the machine sleeps past the deadline during a poll, the poll times out."""
    world = World(router)

    def sleep(_request: httpx.Request) -> httpx.Response:
        world.clock.move_to(world.clock.monotonic() + Timing().poll_interval + 1)
        return ok()

    answers(router, sleep)
    fault = await world.fault()
    assert fault == ApiError(Reason.TIMEOUT, "the response was not read within 60s")


class Reader:
    """A parser that records the threads in which it is called."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def read(self, body: bytes) -> Parsed[int]:
        self.threads.append(threading.get_ident())
        return Parsed(len(body))


@pytest.mark.parametrize("size", [LARGE_BODY, LARGE_BODY + 1])
async def test_large_answers_are_read_off_the_loop(router: respx.Router, size: int) -> None:
    """A large response is parsed in a thread, a small one in the event loop."""
    answers(router, httpx.Response(200, content=b"x" * size))
    world, reader = World(router, max_bytes=size), Reader()
    api_request = ApiRequest(Call.STATS, "POST", "/bucket/b1/stats")
    assert await world.requester.attempt(api_request, reader.read) == size
    assert (reader.threads != [threading.get_ident()]) == (size > LARGE_BODY)


async def test_one_large_answer_is_read_at_a_time(router: respx.Router) -> None:
    """Only one large response is parsed at a time, so the event loop competes with one thread."""
    answers(router, *[httpx.Response(200, content=b"x" * (LARGE_BODY + 1))] * 2)
    world, both = World(router, max_bytes=LARGE_BODY + 1), threading.Barrier(2)

    def read(_body: bytes) -> Parsed[bool]:
        try:
            both.wait(0.05)
        except threading.BrokenBarrierError:
            return Parsed(result=False)
        return Parsed(result=True)

    api_request = ApiRequest(Call.STATS, "POST", "/bucket/b1/stats")
    attempts = (world.requester.attempt(api_request, read) for _ in range(2))
    assert await asyncio.gather(*attempts) == [False, False]


async def test_reading_of_a_large_answer_has_a_deadline(router: respx.Router) -> None:
    """If parsing a response exceeds the timeout, the request times out."""
    answers(router, httpx.Response(200, content=b"x" * (LARGE_BODY + 1)))
    world, goes_on = World(router, max_bytes=LARGE_BODY + 1), threading.Event()

    def read(body: bytes) -> Parsed[int]:
        goes_on.wait()
        return Parsed(len(body))

    api_request = ApiRequest(Call.STATS, "POST", "/bucket/b1/stats")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.requester.attempt(api_request, read))
        await world.clock.advance(10)
        goes_on.set()
    assert task.result() == ApiError(Reason.TIMEOUT, "no response within 10s")
    assert world.seen.attempts == [Attempt("main", Call.STATS, 200, Reason.TIMEOUT, 10.0)]


def lists(router: respx.Router, *responses: httpx.Response) -> respx.Route:
    """Make the API return these responses to discovery."""
    route = router.get(f"{BASE}/bucket")
    route.side_effect = list(responses)
    return route


async def test_listing_may_be_larger_than_other_answers(
    router: respx.Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list response has its own size limit, and its own error when exceeded."""
    entries = [{"id": f"b{number}"} for number in range(1000)]
    listing = httpx.Response(200, json={"success": True, "buckets": entries})
    lists(router, listing, listing)
    world = World(router, max_bytes=10)
    result = await world.client.buckets(None)
    assert isinstance(result, ListResponse)
    assert len(result.buckets) == 1000
    monkeypatch.setattr("exporter.upstream.client.MAX_LISTING_BYTES", 10_000)
    assert await world.client.buckets(None) == TOO_LARGE
    assert str(MAX_LISTING_BYTES) in TOO_LARGE.message


async def test_drift_of_a_listing_is_reported(router: respx.Router) -> None:
    """Unusable list entries are skipped, counted, and reported to the observer as drift."""
    lists(router, httpx.Response(200, json={"buckets": [{"id": "b1"}, {"id": 5}]}))
    world = World(router)
    assert await world.client.buckets(None) == ListResponse(
        (FoundBucket("b1", "b1", "", "", ""),), skipped=1
    )
    assert world.seen.drifts == [{Drift(DriftKind.WRONG_TYPE, "id"): 1}]
