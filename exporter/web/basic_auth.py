"""Who may come in with a name and a password (RFC 7617), from bcrypt hashes.

A check takes tens of milliseconds on purpose: it runs in a thread of its own, one at a time, and
its result is remembered, right or wrong. How a request is refused is not decided here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import bcrypt

from exporter.blocking import in_thread
from exporter.clock import Clock

Check: TypeAlias = Callable[[bytes, bytes], bool]

REMEMBERED = 1000
"""How many right combinations of name and password are remembered, and how many wrong ones."""

MAX_WAITING = 100
"""How many combinations of one host may wait for a check."""

MANY_WRONG = 10
"""A host with that many wrong combinations remembered comes after those with fewer, and so on for
each further ten. A few mean nothing: old passwords in scrapers, and slips."""

CHECK_SECONDS = 30.0
"""How long a request waits for its check, on a machine however busy."""

PASSWORD_LENGTH = 72
"""What bcrypt looks at of a password, in bytes."""


class TooManyWaitingError(Exception):
    """A host has too many passwords waiting to be checked."""


@dataclass(eq=False, slots=True)
class _Waiting:
    """The requests of one host that wait for the check of one name and password."""

    host: str
    mark: bytes
    name: bytes
    password: bytes
    answer: asyncio.Future[bool]
    requests: int = 0

    @property
    def key(self) -> tuple[str, bytes]:
        return self.host, self.mark


class BasicAuth:
    """The users and what is known of their passwords. `check` is bcrypt's comparison."""

    def __init__(
        self, users: Mapping[str, str], clock: Clock, check: Check = bcrypt.checkpw
    ) -> None:
        self._hashes = {name.encode(): given.encode() for name, given in users.items()}
        self._clock = clock
        self._check = check
        self._secret = secrets.token_bytes(32)
        # Right and wrong ones apart, so that guesses push no right one out; each with its host.
        self._checked: dict[bool, OrderedDict[bytes, str]] = {
            True: OrderedDict(),
            False: OrderedDict(),
        }
        self._waiting: dict[tuple[str, bytes], _Waiting] = {}  # in the order of the last request
        self._checking = False

    async def admits(self, authorization: str, host: str) -> bool:
        """Whether a header names a user and their password.

        Raises TooManyWaitingError, and TimeoutError where it takes too long.
        """
        given = _name_and_password(authorization)
        if given is None:
            return False
        mark = self._digest(b":".join(given))
        known = self._known(mark)
        return await self._result(host, mark, *given) if known is None else known

    async def _result(self, host: str, mark: bytes, name: bytes, password: bytes) -> bool:
        """What the check says, which all requests with this name and password share."""
        waiting = self._waiting.pop((host, mark), None)
        if waiting is None:
            answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            waiting = _Waiting(host, mark, name, password, answer)
        self._waiting[waiting.key] = waiting
        waiting.requests += 1
        try:
            self._bound(host)
            self._check_next()
            async with self._clock.timeout(CHECK_SECONDS):
                return await asyncio.shield(waiting.answer)
        finally:
            waiting.requests -= 1
            if not waiting.requests and self._waiting.get(waiting.key) is waiting:
                del self._waiting[waiting.key]

    def _bound(self, host: str) -> None:
        """Turn away what has waited longest: its client has most likely given up."""
        of_host = [key for key in self._waiting if key[0] == host]
        if len(of_host) > MAX_WAITING:
            self._waiting.pop(of_host[0]).answer.set_exception(TooManyWaitingError())

    def _check_next(self) -> None:
        """Start the newest check of the hosts with the fewest tens of wrong combinations.

        Newest first, so that a right one is next, however many wrong ones wait. Fewest first, so
        that a host that tries passwords without end does not hold the others up.
        """
        if self._checking or not self._waiting:
            return
        wrong = Counter(self._checked[False].values())
        following = min(
            reversed(self._waiting.values()),
            key=lambda waiting: wrong[waiting.host] // MANY_WRONG,
        )
        del self._waiting[following.key]
        self._checking = True
        check = in_thread(partial(self._fits, following.name, following.password))
        check.add_done_callback(partial(self._finish, following))

    def _finish(self, checked: _Waiting, check: asyncio.Future[bool]) -> None:
        """Remember the result, and give it to all requests with the same name and password."""
        self._checking = False
        error = check.exception()
        if error is None:
            self._remember(checked, fits=check.result())
        same = [other for other in self._waiting.values() if other.mark == checked.mark]
        for waiting in (checked, *same):
            self._waiting.pop(waiting.key, None)
            if error is None:
                waiting.answer.set_result(check.result())
            else:
                waiting.answer.set_exception(error)
        self._check_next()

    def _fits(self, name: bytes, password: bytes) -> bool:
        known = name in self._hashes
        against = self._hashes[name] if known else self._decoy(name)
        return self._check(password[:PASSWORD_LENGTH], against) and known

    def _decoy(self, name: bytes) -> bytes:
        """A user's hash for a name that is nobody's: always the same, so that it costs as much."""
        hashes = list(self._hashes.values())
        return hashes[int.from_bytes(self._digest(name)) % len(hashes)]

    def _known(self, mark: bytes) -> bool | None:
        for fits, marks in self._checked.items():
            if mark in marks:
                marks.move_to_end(mark)
                return fits
        return None

    def _remember(self, checked: _Waiting, *, fits: bool) -> None:
        marks = self._checked[fits]
        marks[checked.mark] = checked.host
        if len(marks) > REMEMBERED:
            marks.popitem(last=False)

    def _digest(self, content: bytes) -> bytes:
        """Keyed, so that no password is kept and none can be found by its digest."""
        return hashlib.blake2b(content, key=self._secret, digest_size=32).digest()


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
