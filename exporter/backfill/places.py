"""How many requests may be under way at once, and whose comes next: fair between accounts.

An account whose requests hang keeps what it has, but a place that falls free goes to another one.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairShare:
    """A semaphore of `number` places.

    A free place goes to the account, among those that wait, that holds the fewest; where several
    hold as few, to the one that has waited longest since it came or last gave a place back.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # the longest wait first

    @asynccontextmanager
    async def place(self, account: str) -> AsyncIterator[None]:
        """While the body runs, the account holds a place; it may have to be waited for."""
        await self._take(account)
        try:
            yield
        finally:
            self._give_back(account)

    async def _take(self, account: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account, deque()).append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came in the same moment
                self._give_back(account)
            raise

    def _give_back(self, account: str) -> None:
        self._free += 1
        self._held[account] -= 1
        if turns := self._waiting.pop(account, None):
            self._waiting[account] = turns  # behind all others
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            account = min(self._waiting, key=self._held.__getitem__)
            turns = self._waiting[account]
            turn = turns.popleft()
            if not turns:
                del self._waiting[account]
            if not turn.done():  # or its task was cancelled
                self._free -= 1
                self._held[account] += 1
                turn.set_result(None)
