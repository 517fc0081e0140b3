"""Basic authentication (RFC 7617) against bcrypt hashes.

Checking a hash takes tens of milliseconds by design. So checks run one at a time in a thread, and
results are cached for right and for wrong passwords. The response to a rejected request belongs to
`security`.
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
"""Maximum pairs of name and password in each of the two caches, for right and for wrong ones."""

MAX_WAITING = 100
"""Credentials from one host that may wait for a check."""

MANY_WRONG = 10
"""A host's priority drops by one per this many of its wrong credentials in the cache.

Fewer have no effect: they can be typos, or old passwords in scrapers.
"""

CHECK_SECONDS = 30.0
"""Maximum seconds that a request waits for its check."""

PASSWORD_LENGTH = 72
"""Bytes of a password that bcrypt uses."""


class TooManyWaitingError(Exception):
    """A host has too many passwords that wait for a check."""


@dataclass(eq=False, slots=True)
class _Waiting:
    """The requests from one host that wait for the check of the same name and password."""

    host: str
    digest: bytes
    name: bytes
    password: bytes
    answer: asyncio.Future[bool]
    requests: int = 0

    @property
    def key(self) -> tuple[str, bytes]:
        return self.host, self.digest


class BasicAuth:
    """Authenticates users and caches results. `check` compares a password with a bcrypt hash."""

    def __init__(
        self, users: Mapping[str, str], clock: Clock, check: Check = bcrypt.checkpw
    ) -> None:
        self._hashes = {name.encode(): given.encode() for name, given in users.items()}
        self._clock = clock
        self._check = check
        self._secret = secrets.token_bytes(32)
        # Two caches, so that wrong guesses do not evict right passwords. Values are hosts.
        self._checked: dict[bool, OrderedDict[bytes, str]] = {
            True: OrderedDict(),
            False: OrderedDict(),
        }
        self._waiting: dict[tuple[str, bytes], _Waiting] = {}  # ordered by their last request
        self._checking = False

    async def admits(self, authorization: str, host: str) -> bool:
        """Whether an Authorization header has a valid name and password.

        Raises TooManyWaitingError, and TimeoutError if the check takes too long.
        """
        given = _name_and_password(authorization)
        if given is None:
            return False
        digest = self._digest(b":".join(given))
        known = self._known(digest)
        return await self._result(host, digest, *given) if known is None else known

    async def _result(self, host: str, digest: bytes, name: bytes, password: bytes) -> bool:
        """Wait for the check. Requests with the same name and password share one."""
        waiting = self._waiting.pop((host, digest), None)
        if waiting is None:
            answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            waiting = _Waiting(host, digest, name, password, answer)
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
        """If a host has too many waiting, reject the oldest: its client has probably given up."""
        of_host = [key for key in self._waiting if key[0] == host]
        if len(of_host) > MAX_WAITING:
            self._waiting.pop(of_host[0]).answer.set_exception(TooManyWaitingError())

    def _check_next(self) -> None:
        """Start the next check: the newest from the hosts with the fewest wrong credentials.

        Newest first, so that a right one is checked next, however many wrong ones wait. Fewest
        first, so that a host that keeps guessing does not delay other hosts.
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
        """Cache the result, and return it to all requests with the same name and password."""
        self._checking = False
        error = check.exception()
        if error is None:
            self._remember(checked, fits=check.result())
        same = [other for other in self._waiting.values() if other.digest == checked.digest]
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
        """A hash for an unknown name, so that its check takes as long as that of a known one.

        The same name always gets the same hash: varying costs would reveal that it is unknown.
        """
        hashes = list(self._hashes.values())
        return hashes[int.from_bytes(self._digest(name)) % len(hashes)]

    def _known(self, digest: bytes) -> bool | None:
        for fits, digests in self._checked.items():
            if digest in digests:
                digests.move_to_end(digest)
                return fits
        return None

    def _remember(self, checked: _Waiting, *, fits: bool) -> None:
        digests = self._checked[fits]
        digests[checked.digest] = checked.host
        if len(digests) > REMEMBERED:
            digests.popitem(last=False)

    def _digest(self, content: bytes) -> bytes:
        """A keyed digest: a leaked cache contains neither passwords nor crackable digests."""
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
