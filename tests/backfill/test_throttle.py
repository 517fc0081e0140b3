"""How an account's questions wait, are asked again, and are given up."""

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
    """A 429."""
    return ApiError(Reason.RATE_LIMITED, "slow down", retry_after)


class Api:
    """What is asked through a throttle: says what it is told to, and notes when it was asked."""

    def __init__(self, says: Callable[[int], str | ApiError]) -> None:
        self.clock = FakeClock()
        self.throttle = AccountThrottle("main", REFUSAL_PAUSES.__getitem__, self.clock)
        self.says = says
        self.asked: list[float] = []
        self.at_once = self.most_at_once = 0

    async def question(self) -> str | ApiError:
        self.asked.append(self.clock.monotonic() - 1000)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        number = len(self.asked)
        await self.clock.sleep(1)
        self.at_once -= 1
        return self.says(number)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        yield

    async def ask(self, times: int = 1, within: float = 10_000) -> list[str | ApiError]:
        """What comes of questions that are asked side by side."""
        async with asyncio.TaskGroup() as group:
            asking = [self.throttle.ask(self.question, self.turn) for _ in range(times)]
            tasks = [group.create_task(each) for each in asking]
            await self.clock.advance(within)
        return [task.result() for task in tasks]


async def test_429_is_waited_out_and_the_question_asked_again() -> None:
    """The pause is the one that was asked for, thirty seconds where none was."""
    api = Api(lambda number: {1: limited(7.0), 2: limited()}.get(number, ANSWER))
    assert await api.ask() == [ANSWER]
    assert api.asked == [0, 8, 39]


async def test_all_wait_and_then_one_at_a_time() -> None:
    """A 429 holds up every question of the account; until there is an answer one goes alone."""
    api = Api(lambda number: limited(60) if number <= 5 else ANSWER)
    assert await api.ask(5) == [ANSWER] * 5
    assert api.asked[:5] == [0] * 5
    assert api.asked[5:] == [61, 62, 63, 64, 65]


async def test_who_waited_for_a_turn_waits_out_the_pause_too() -> None:
    """A pause that begins while a question waits for its turn holds for it as well."""
    api = Api(lambda number: limited(60) if number == 1 else ANSWER)
    only_one = asyncio.Lock()

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        async with only_one:
            yield

    api.turn = turn  # type: ignore[method-assign] # a stand-in of a stand-in
    assert await api.ask(2) == [ANSWER] * 2
    assert api.asked == [0, 61, 62]


async def test_endless_429_ends() -> None:
    """Quotas are waited for, but not for ever: then the rest is not asked any more."""
    api = Api(lambda _number: limited(300))
    (result,) = await api.ask()
    assert result == limited(300)
    assert LONGEST_RATE_LIMITED <= api.asked[-1] <= LONGEST_RATE_LIMITED + 301
    asked = len(api.asked)
    (refused,) = await api.ask()
    assert isinstance(refused, ApiError)
    assert refused.reason is Reason.RATE_LIMITED
    assert refused.message == "not asked, since the account was given up: slow down"
    assert len(api.asked) == asked


@pytest.mark.parametrize(
    "reason",
    [Reason.CONNECT, Reason.TLS, Reason.TIMEOUT, Reason.SERVER_ERROR, Reason.INTERNAL],
)
async def test_trouble_that_goes_on_is_waited_out(reason: Reason) -> None:
    """Round after round fails: then it waits, and what had its turn is asked again."""
    fault = ApiError(reason, "nobody there")
    api = Api(lambda number: fault if number <= 5 + 5 else ANSWER)
    assert await api.ask(5) == [fault] * 3 + [ANSWER] * 2
    # Five together are one round, then each goes alone, then there are pauses.
    assert api.asked == [0] * 5 + [1, 2, 3, 4] + [35, 66, 67]


async def test_trouble_without_end_gives_the_account_up() -> None:
    """After some minutes without one answer the rest is not asked any more."""
    api = Api(lambda _number: NOBODY)
    results = await api.ask(UNREACHABLE_ROUNDS * 3)
    assert all(isinstance(each, ApiError) and each.reason is Reason.CONNECT for each in results)
    assert api.asked[-1] <= LONGEST_UNREACHABLE + 60
    asked = len(api.asked)
    assert await api.ask() != [NOBODY]
    assert len(api.asked) == asked


async def test_burst_of_trouble_is_one_round() -> None:
    """Many requests that fail together are no reason to wait: the next one may be answered."""
    api = Api(lambda number: NOBODY if number <= 16 else ANSWER)
    assert await api.ask(16) == [ANSWER] * 16
    assert api.asked == [0] * 16 + list(range(1, 17))


async def test_quota_does_not_use_up_the_patience_with_trouble() -> None:
    """What has been over quota for long may be in trouble for as long as anybody."""
    api = Api(lambda number: limited(300) if number <= 5 else NOBODY if number <= 10 else ANSWER)
    assert ANSWER in await api.ask(8)


async def test_refused_token_gives_the_account_up() -> None:
    """Rounds of 401 in a row, ever longer pauses between them, are the end: each had a renewal."""
    api = Api(lambda _number: REFUSED)
    results = await api.ask(5)
    assert api.asked == [0] * 5 + [61, 182]
    assert results[0] == REFUSED
    assert await api.ask() != [REFUSED]
    assert len(api.asked) == 5 + REFUSED_ROUNDS - 1


async def test_burst_of_refusals_is_one_round() -> None:
    """Twenty refused together are asked again once the pause is over, and nothing is lost."""
    api = Api(lambda number: REFUSED if number <= 20 else ANSWER)
    assert await api.ask(20) == [ANSWER] * 20
    assert api.asked == [0] * 20 + list(range(61, 81))


@pytest.mark.parametrize("answer", sorted(set(Reason) - ACCOUNT_FAILURES.keys() - {Reason.OVERDUE}))
async def test_refusal_after_answers_is_the_first(answer: Reason) -> None:
    """An answer of any kind ends the silence, be it a status that nobody expected."""
    said = ApiError(answer, "something")
    says: list[str | ApiError] = [said, said, REFUSED, REFUSED, said, REFUSED, REFUSED, ANSWER]
    api = Api(lambda number: says[number - 1])
    assert [(await api.ask(within=200))[0] for _ in range(6)] == [
        *(said, said, REFUSED, said, REFUSED, ANSWER)
    ]


@pytest.mark.parametrize("other", [NOBODY, limited(5)])
async def test_refusals_count_though_there_is_other_trouble_between(other: ApiError) -> None:
    """A token is no better for it that the API could not be asked in between."""
    api = Api(lambda number: REFUSED if number % 2 else other)
    await api.ask(10)
    assert len(api.asked) < 20
    (result,) = await api.ask()
    assert isinstance(result, ApiError)
    assert result.reason is Reason.UNAUTHORIZED
    assert result.message.startswith("not asked")


@pytest.mark.parametrize("fault", [REFUSED, NOBODY])
async def test_failure_beside_an_answer_is_its_buckets_own(fault: ApiError) -> None:
    """Where others are answered meanwhile, it neither counts nor is it asked again."""
    api = Api(lambda number: fault if number % 2 == 0 else ANSWER)
    for _ in range(10):
        assert await api.ask(2, within=1) == [ANSWER, fault]
    assert len(api.asked) == 20


async def test_one_refused_bucket_among_good_ones_does_not_end_the_account() -> None:
    """Refused when it goes alone, twice: it has failed, and the next bucket is let in."""
    api = Api(lambda number: REFUSED if number in {1, 2, 4, 5} else ANSWER)
    results = [(await api.ask(within=200))[0] for _ in range(4)]
    assert results == [REFUSED, ANSWER, REFUSED, ANSWER]


async def test_account_that_is_given_up_takes_no_turns() -> None:
    """Turns are for those who ask: nobody else waits for them on its account."""
    api = Api(lambda _number: REFUSED)
    await api.ask(3)

    @asynccontextmanager
    async def none_left() -> AsyncIterator[None]:
        raise AssertionError("it took a turn")
        yield

    api.turn = none_left  # type: ignore[method-assign] # a stand-in of a stand-in
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
    """Buckets that fail each for itself are gone through without a pause."""
    api = Api(lambda _number: fault)
    for _ in range(20):
        assert await api.ask(within=1) == [fault]
    assert len(api.asked) == 20


async def test_answer_between_starts_the_count_anew() -> None:
    """Trouble that comes now and then never pauses anybody, and costs one more request at most."""
    fault = ApiError(Reason.TIMEOUT, "no answer")
    api = Api(lambda number: ANSWER if number % 3 == 0 else fault)
    for _ in range(40):
        await api.ask(within=2)
    await settle()
    assert len(api.asked) == 60
