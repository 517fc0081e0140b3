"""Whose request comes next where more are wanted than may be under way, and nobody polls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from exporter.upstream.rate_limit import RequestSlots
from tests.harness.fakes import FakeClock, settle


class Requests:
    """Requests that hold a slot until they are told to end."""

    def __init__(self, slots: int) -> None:
        self.slots = RequestSlots(slots, FakeClock())
        self.begun: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._ends: dict[str, list[asyncio.Event]] = {}

    def want(self, account: str, times: int = 1) -> None:
        """So many more of an account."""
        self.tasks += [asyncio.create_task(self._request(account)) for _ in range(times)]

    async def end(self, account: str) -> None:
        """The account's oldest request ends."""
        self._ends[account].pop(0).set()
        await settle()

    async def _request(self, account: str) -> None:
        async with self.slots.slot(account):
            self.begun.append(account)
            ended = asyncio.Event()
            self._ends.setdefault(account, []).append(ended)
            await ended.wait()


@asynccontextmanager
async def requests(slots: int) -> AsyncIterator[Requests]:
    """Requests that are cancelled at the end of the test."""
    made = Requests(slots)
    async with AsyncExitStack() as stack:
        handing_out = asyncio.create_task(made.slots.hand_out())
        stack.callback(handing_out.cancel)
        stack.callback(lambda: [task.cancel() for task in made.tasks])
        yield made


async def test_slot_that_falls_free_goes_to_the_account_that_holds_the_fewest() -> None:
    """However many of a hanging account wait, and for however much longer."""
    async with requests(4) as made:
        made.want("hangs", 600)
        await settle()
        made.want("healthy")
        await settle()
        assert made.begun == ["hangs"] * 4
        await made.end("hangs")
        assert made.begun[4:] == ["healthy"]
        await made.end("healthy")
        assert made.begun[5:] == ["hangs"]


async def test_accounts_that_hold_as_many_take_turns() -> None:
    """With more accounts than slots, the next one is who has been without one for longest."""
    async with requests(1) as made:
        for account in "abc":
            made.want(account, 10)
        await settle()
        for account in "abcabc":
            await made.end(account)
        assert "".join(made.begun) == "abcabca"


async def test_only_account_has_all_slots_in_the_order_of_asking() -> None:
    """Fairness costs nothing where there is nobody else."""
    async with requests(3) as made:
        made.want("only", 5)
        await settle()
        assert len(made.begun) == 3
        await made.end("only")
        assert len(made.begun) == 4


async def test_request_that_is_cancelled_leaves_no_slot_behind() -> None:
    """Whether it still waited, was just given its slot, or held it."""
    async with requests(1) as made:
        made.want("a", 3)
        await settle()
        made.tasks[1].cancel()
        await settle()
        # The slot is given to the third, which is cancelled before it runs again.
        made.tasks[0].cancel()
        await asyncio.sleep(0)
        made.tasks[2].cancel()
        await settle()
        assert all(task.done() for task in made.tasks)
        made.want("b", 2)
        await settle()
        assert made.begun == ["a", "b"]
