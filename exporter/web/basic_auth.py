"""Who may come in with a name and a password (RFC 7617), from bcrypt hashes.

A check takes tens of milliseconds on purpose: it runs in a thread of its own, one at a time, and
what was right once is remembered. How a request is refused is not decided here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias
from weakref import WeakValueDictionary

import bcrypt

from exporter.blocking import BlockingCalls
from exporter.clock import Clock

Check: TypeAlias = Callable[[bytes, bytes], bool]

REMEMBERED = 100
"""How many right combinations of name and password are remembered."""

MAX_WAITING = 100
"""How many requests of one host may wait for a check: more are turned away."""

CHECK_SECONDS = 30.0
"""How long a check may take, on a machine however busy."""

PASSWORD_LENGTH = 72
"""What bcrypt looks at of a password, in bytes."""


class TooManyWaitingError(Exception):
    """A host has too many passwords waiting to be checked."""


class BasicAuth:
    """The users and what is known of their passwords. `check` is bcrypt's comparison."""

    def __init__(
        self, users: Mapping[str, str], clock: Clock, check: Check = bcrypt.checkpw
    ) -> None:
        self._hashes = {name.encode(): given.encode() for name, given in users.items()}
        self._check = check
        self._secret = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._one_check = asyncio.Semaphore(1)
        # Who goes away lets the next one in; the check that nobody waits for any more ends first.
        self._checks = BlockingCalls(clock, CHECK_SECONDS)
        self._queues: WeakValueDictionary[str, _Queue] = WeakValueDictionary()

    async def admits(self, authorization: str, host: str) -> bool:
        """Whether a header names a user and their password.

        Raises TooManyWaitingError, and TimeoutError where a check takes too long.
        """
        given = _name_and_password(authorization)
        if given is None:
            return False
        mark = self._digest(b":".join(given))
        if self._is_right(mark):
            return True
        # Hosts take turns: one that tries passwords without end does not hold the others up.
        async with self._queues.setdefault(host, _Queue()).turn(), self._one_check:
            return self._is_right(mark) or await self._fits(*given, mark)

    async def _fits(self, name: bytes, password: bytes, mark: bytes) -> bool:
        known = name in self._hashes
        against = self._hashes[name] if known else self._decoy(name)
        fits = await self._checks.run(partial(self._check, password[:PASSWORD_LENGTH], against))
        if fits and known:
            self._right[mark] = None
            if len(self._right) > REMEMBERED:
                self._right.popitem(last=False)
        return fits and known

    def _decoy(self, name: bytes) -> bytes:
        """A user's hash for a name that is nobody's: always the same, so that it costs as much."""
        hashes = list(self._hashes.values())
        return hashes[int.from_bytes(self._digest(name)) % len(hashes)]

    def _is_right(self, mark: bytes) -> bool:
        if mark in self._right:
            self._right.move_to_end(mark)
            return True
        return False

    def _digest(self, content: bytes) -> bytes:
        """Keyed, so that no password is kept and none can be found by its digest."""
        return hashlib.blake2b(content, key=self._secret, digest_size=32).digest()


class _Queue:
    """The requests of one host that wait for a check."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            raise TooManyWaitingError
        self._waiting += 1
        try:
            async with self._lock:
                yield
        finally:
            self._waiting -= 1


def _name_and_password(authorization: str) -> tuple[bytes, bytes] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        return None
    name, colon, password = decoded.partition(b":")
    return (name, password) if colon else None
