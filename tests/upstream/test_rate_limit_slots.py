"""Which account gets the next request slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from exporter.upstream.rate_limit import RequestSlots
from tests.harness.fakes import FakeClock, settle


class Requests:
    """Requests that hold a slot until a test ends them."""

    def __init__(self, slots: int) -> None:
        self.slots = RequestSlots(slots, FakeClock())
        self.begun: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._ends: dict[str, list[asyncio.Event]] = {}

    def want(self, account: str, times: int = 1) -> None:
        """Start more requests of an account."""
        self.tasks += [asyncio.create_task(self._request(account)) for _ in range(times)]

    async def end(self, account: str) -> None:
        """End the account's oldest request."""
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
    """Hand out slots while the body runs; cancel all requests after it."""
    made = Requests(slots)
    async with AsyncExitStack() as stack:
        handing_out = asyncio.create_task(made.slots.hand_out())
        stack.callback(handing_out.cancel)
        stack.callback(lambda: [task.cancel() for task in made.tasks])
        yield made


async def test_slot_that_falls_free_goes_to_the_account_that_holds_the_fewest() -> None:
    """A freed slot goes to the account with the fewest slots, not the one with most requests."""
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
    """With more accounts than slots, the account that waited longest is next."""
    async with requests(1) as made:
        for account in "abc":
            made.want(account, 10)
        await settle()
        for account in "abcabc":
            await made.end(account)
        assert "".join(made.begun) == "abcabca"


async def test_only_account_has_all_slots_in_the_order_of_asking() -> None:
    """A single account can use all slots."""
    async with requests(3) as made:
        made.want("only", 5)
        await settle()
        assert len(made.begun) == 3
        await made.end("only")
        assert len(made.begun) == 4


async def test_request_that_is_cancelled_leaves_no_slot_behind() -> None:
    """A cancelled request frees its slot, whether it waited, was just granted it, or held it."""
    async with requests(1) as made:
        made.want("a", 3)
        await settle()
        made.tasks[1].cancel()
        await settle()
        # The third gets the slot, and is cancelled before it runs again.
        made.tasks[0].cancel()
        await asyncio.sleep(0)
        made.tasks[2].cancel()
        await settle()
        assert all(task.done() for task in made.tasks)
        made.want("b", 2)
        await settle()
        assert made.begun == ["a", "b"]
