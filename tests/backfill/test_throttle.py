"""How an account's requests wait, are retried, and are given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from exporter.backfill.throttle import (
    ACCOUNT_FAILURES,
    LONGEST_RATE_LIMITED,
    LONGEST_UNREACHABLE,
    REFUSED_ROUNDS,
    UNREACHABLE_ROUNDS,
    AccountThrottle,
)
from exporter.model import ApiError, Reason
from tests.harness.fakes import FakeClock, settle

ANSWER = "an answer"
REFUSED = ApiError(Reason.UNAUTHORIZED, "HTTP 401")
NOBODY = ApiError(Reason.CONNECT, "nobody there")
REFUSAL_PAUSES = (60.0, 120.0)


def limited(retry_after: float | None = None) -> ApiError:
    """A 429 response."""
    return ApiError(Reason.RATE_LIMITED, "slow down", retry_after)


class Api:
    """A fake API behind a throttle, which records when each request was made."""

    def __init__(self, says: Callable[[int], str | ApiError]) -> None:
        self.clock = FakeClock()
        self.throttle = AccountThrottle("main", REFUSAL_PAUSES.__getitem__, self.clock)
        self.says = says
        self.asked: list[float] = []
        self.at_once = self.max_concurrent = 0

    async def question(self) -> str | ApiError:
        self.asked.append(self.clock.monotonic() - 1000)
        self.at_once += 1
        self.max_concurrent = max(self.max_concurrent, self.at_once)
        number = len(self.asked)
        await self.clock.sleep(1)
        self.at_once -= 1
        return self.says(number)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        yield

    async def ask(self, times: int = 1, within: float = 10_000) -> list[str | ApiError]:
        """Make requests concurrently and return their results."""
        async with asyncio.TaskGroup() as group:
            asking = [self.throttle.ask(self.question, self.turn) for _ in range(times)]
            tasks = [group.create_task(each) for each in asking]
            await self.clock.advance(within)
        return [task.result() for task in tasks]


async def test_429_is_waited_out_and_the_question_asked_again() -> None:
    """After a 429 the request is retried after Retry-After, or after 30 seconds without one."""
    api = Api(lambda number: {1: limited(7.0), 2: limited()}.get(number, ANSWER))
    assert await api.ask() == [ANSWER]
    assert api.asked == [0, 8, 39]


async def test_all_wait_and_then_one_at_a_time() -> None:
    """A 429 pauses all requests of the account; then they go one at a time until one succeeds."""
    api = Api(lambda number: limited(60) if number <= 5 else ANSWER)
    assert await api.ask(5) == [ANSWER] * 5
    assert api.asked[:5] == [0] * 5
    assert api.asked[5:] == [61, 62, 63, 64, 65]


async def test_who_waited_for_a_turn_waits_out_the_pause_too() -> None:
    """A pause also applies to a request that already waited for its turn."""
    api = Api(lambda number: limited(60) if number == 1 else ANSWER)
    only_one = asyncio.Lock()

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        async with only_one:
            yield

    api.turn = turn  # type: ignore[method-assign] # replaces a method of the fake
    assert await api.ask(2) == [ANSWER] * 2
    assert api.asked == [0, 61, 62]


async def test_endless_429_ends() -> None:
    """If 429s continue for too long, the account is given up and no more requests are sent."""
    api = Api(lambda _number: limited(300))
    (result,) = await api.ask()
    assert result == limited(300)
    assert LONGEST_RATE_LIMITED <= api.asked[-1] <= LONGEST_RATE_LIMITED + 301
    asked = len(api.asked)
    (refused,) = await api.ask()
    assert isinstance(refused, ApiError)
    assert refused.reason is Reason.RATE_LIMITED
    assert refused.message == "not requested, since the account was given up: slow down"
    assert len(api.asked) == asked


@pytest.mark.parametrize(
    "reason",
    [Reason.CONNECT, Reason.TLS, Reason.TIMEOUT, Reason.SERVER_ERROR, Reason.INTERNAL],
)
async def test_trouble_that_goes_on_is_waited_out(reason: Reason) -> None:
    """If rounds of requests keep failing, there are pauses, and failed requests are retried."""
    fault = ApiError(reason, "nobody there")
    api = Api(lambda number: fault if number <= 5 + 5 else ANSWER)
    assert await api.ask(5) == [fault] * 3 + [ANSWER] * 2
    # The five concurrent requests are one round; then each goes alone, then there are pauses.
    assert api.asked == [0] * 5 + [1, 2, 3, 4] + [35, 66, 67]


async def test_trouble_without_end_gives_the_account_up() -> None:
    """Without one success for some minutes, the account is given up."""
    api = Api(lambda _number: NOBODY)
    results = await api.ask(UNREACHABLE_ROUNDS * 3)
    assert all(isinstance(each, ApiError) and each.reason is Reason.CONNECT for each in results)
    assert api.asked[-1] <= LONGEST_UNREACHABLE + 60
    asked = len(api.asked)
    assert await api.ask() != [NOBODY]
    assert len(api.asked) == asked


async def test_burst_of_trouble_is_one_round() -> None:
    """Many requests that fail together count as one failure; the next is sent without a pause."""
    api = Api(lambda number: NOBODY if number <= 16 else ANSWER)
    assert await api.ask(16) == [ANSWER] * 16
    assert api.asked == [0] * 16 + list(range(1, 17))


async def test_quota_does_not_use_up_the_patience_with_trouble() -> None:
    """Time spent waiting for 429s does not count towards giving up for other errors."""
    api = Api(lambda number: limited(300) if number <= 5 else NOBODY if number <= 10 else ANSWER)
    assert ANSWER in await api.ask(8)


async def test_refused_token_gives_the_account_up() -> None:
    """After several rounds of 401 with growing pauses, the account is given up."""
    api = Api(lambda _number: REFUSED)
    results = await api.ask(5)
    assert api.asked == [0] * 5 + [61, 182]
    assert results[0] == REFUSED
    assert await api.ask() != [REFUSED]
    assert len(api.asked) == 5 + REFUSED_ROUNDS - 1


async def test_burst_of_refusals_is_one_round() -> None:
    """Requests refused together are all retried after one pause."""
    api = Api(lambda number: REFUSED if number <= 20 else ANSWER)
    assert await api.ask(20) == [ANSWER] * 20
    assert api.asked == [0] * 20 + list(range(61, 81))


@pytest.mark.parametrize("answer", sorted(set(Reason) - ACCOUNT_FAILURES.keys() - {Reason.OVERDUE}))
async def test_refusal_after_answers_is_the_first(answer: Reason) -> None:
    """Any response of the API resets the count of refusals, even an unexpected status."""
    said = ApiError(answer, "something")
    says: list[str | ApiError] = [said, said, REFUSED, REFUSED, said, REFUSED, REFUSED, ANSWER]
    api = Api(lambda number: says[number - 1])
    assert [(await api.ask(within=200))[0] for _ in range(6)] == [
        *(said, said, REFUSED, said, REFUSED, ANSWER)
    ]


@pytest.mark.parametrize("other", [NOBODY, limited(5)])
async def test_refusals_count_though_there_is_other_trouble_between(other: ApiError) -> None:
    """Other errors between refusals do not reset their count."""
    api = Api(lambda number: REFUSED if number % 2 else other)
    await api.ask(10)
    assert len(api.asked) < 20
    (result,) = await api.ask()
    assert isinstance(result, ApiError)
    assert result.reason is Reason.UNAUTHORIZED
    assert result.message.startswith("not requested")


@pytest.mark.parametrize("fault", [REFUSED, NOBODY])
async def test_failure_beside_an_answer_is_its_buckets_own(fault: ApiError) -> None:
    """A failure while other requests succeed is not retried and does not count."""
    api = Api(lambda number: fault if number % 2 == 0 else ANSWER)
    for _ in range(10):
        assert await api.ask(2, within=1) == [ANSWER, fault]
    assert len(api.asked) == 20


async def test_one_refused_bucket_among_good_ones_does_not_end_the_account() -> None:
    """A bucket that alone is refused fails after its retry; the other buckets continue."""
    api = Api(lambda number: REFUSED if number in {1, 2, 4, 5} else ANSWER)
    results = [(await api.ask(within=200))[0] for _ in range(4)]
    assert results == [REFUSED, ANSWER, REFUSED, ANSWER]


async def test_account_that_is_given_up_takes_no_turns() -> None:
    """An account that was given up takes no request slots."""
    api = Api(lambda _number: REFUSED)
    await api.ask(3)

    @asynccontextmanager
    async def none_left() -> AsyncIterator[None]:
        raise AssertionError("it took a turn")
        yield

    api.turn = none_left  # type: ignore[method-assign] # replaces a method of the fake
    assert len(await api.ask(3)) == 3


@pytest.mark.parametrize(
    "fault",
    [
        ApiError(Reason.NOT_FOUND, "HTTP 404"),
        ApiError(Reason.BAD_REQUEST, "HTTP 400"),
        ApiError(Reason.MALFORMED, "no JSON"),
        ApiError(Reason.UNEXPECTED_STATUS, "HTTP 422"),
    ],
)
async def test_what_concerns_a_bucket_is_no_reason_to_wait(fault: ApiError) -> None:
    """Errors that concern only a bucket, such as 404, cause no pause."""
    api = Api(lambda _number: fault)
    for _ in range(20):
        assert await api.ask(within=1) == [fault]
    assert len(api.asked) == 20


async def test_answer_between_starts_the_count_anew() -> None:
    """A success resets the failure count, so occasional errors never cause a pause."""
    fault = ApiError(Reason.TIMEOUT, "no answer")
    api = Api(lambda number: ANSWER if number % 3 == 0 else fault)
    for _ in range(40):
        await api.ask(within=2)
    await settle()
    assert len(api.asked) == 60
