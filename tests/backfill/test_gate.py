"""How an account's questions wait, are asked again, and are given up."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from exporter.backfill.gate import (
    QUOTA_PATIENCE,
    REFUSALS_IN_A_ROW,
    TROUBLE_PATIENCE,
    TROUBLES_IN_A_ROW,
    Gate,
)
from exporter.model import Fault, Reason
from tests.fakes import FakeClock, settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ANSWER = "an answer"


def limited(retry_after: float | None = None) -> Fault:
    """A 429."""
    return Fault(Reason.RATE_LIMITED, "slow down", retry_after)


class Api:
    """What is asked through a gate: says what it is told to, and notes when it was asked."""

    def __init__(self, says: Callable[[int], str | Fault]) -> None:
        self.clock = FakeClock()
        self.gate = Gate("main", self.clock)
        self.says = says
        self.asked: list[float] = []
        self.at_once = self.most_at_once = 0

    async def question(self) -> str | Fault:
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

    async def ask(self, times: int = 1, within: float = 10_000) -> list[str | Fault]:
        """What comes of questions that are asked side by side."""
        async with asyncio.TaskGroup() as group:
            asking = [self.gate.ask(self.question, self.turn) for _ in range(times)]
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
    assert QUOTA_PATIENCE <= api.asked[-1] <= QUOTA_PATIENCE + 301
    asked = len(api.asked)
    (refused,) = await api.ask()
    assert isinstance(refused, Fault)
    assert refused.reason is Reason.RATE_LIMITED
    assert refused.message == "not asked, since the account was given up: slow down"
    assert len(api.asked) == asked


@pytest.mark.parametrize(
    "reason",
    [Reason.CONNECT, Reason.TLS, Reason.TIMEOUT, Reason.SERVER_ERROR, Reason.INTERNAL],
)
async def test_trouble_that_goes_on_is_waited_out(reason: Reason) -> None:
    """One after another fails: then it waits, and what had its turn is asked again."""
    fault = Fault(reason, "nobody there")
    api = Api(lambda number: fault if number <= TROUBLES_IN_A_ROW + 1 else ANSWER)
    for _ in range(TROUBLES_IN_A_ROW - 1):
        assert await api.ask(within=1) == [fault]
    began = api.clock.monotonic() - 1000
    assert await api.ask() == [ANSWER]
    assert api.asked[-3:] == [began, began + 31, began + 62]


async def test_trouble_without_end_gives_the_account_up() -> None:
    """After some minutes without one answer the rest is not asked any more."""
    fault = Fault(Reason.CONNECT, "nobody there")
    api = Api(lambda _number: fault)
    results = await api.ask(TROUBLES_IN_A_ROW * 3)
    assert all(isinstance(each, Fault) and each.reason is Reason.CONNECT for each in results)
    assert api.asked[-1] <= TROUBLE_PATIENCE + 60
    asked = len(api.asked)
    assert await api.ask() != [fault]
    assert len(api.asked) == asked


async def test_refused_token_gives_the_account_up() -> None:
    """A few 401 in a row are the end: the client has renewed the token each time."""
    fault = Fault(Reason.UNAUTHORIZED, "HTTP 401")
    api = Api(lambda _number: fault)
    for _ in range(10):
        await api.ask(within=1)
    assert len(api.asked) == REFUSALS_IN_A_ROW


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Reason.NOT_FOUND, "HTTP 404"),
        Fault(Reason.BAD_REQUEST, "HTTP 400"),
        Fault(Reason.MALFORMED, "no JSON"),
    ],
)
async def test_what_concerns_a_bucket_is_no_reason_to_wait(fault: Fault) -> None:
    """Buckets that fail each for itself are gone through without a pause."""
    api = Api(lambda _number: fault)
    for _ in range(20):
        assert await api.ask(within=1) == [fault]
    assert len(api.asked) == 20


async def test_answer_between_starts_the_count_anew() -> None:
    """Trouble that comes now and then never pauses anybody."""
    fault = Fault(Reason.TIMEOUT, "no answer")
    api = Api(lambda number: ANSWER if number % TROUBLES_IN_A_ROW == 0 else fault)
    for _ in range(40):
        await api.ask(within=1)
    await settle()
    assert len(api.asked) == 40
