"""Bearer tokens from the configuration or a file, and the expiry time that a JWT contains.

Tokens from a login are in `login`.
"""

from __future__ import annotations

import json
import math
from base64 import urlsafe_b64decode
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from exporter.blocking import SECRET_LIMIT, BlockingCalls, Fingerprint, fingerprint, read_file
from exporter.clock import Clock
from exporter.model import ApiError, Reason


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a token was issued and when it expires, in Unix time; None if it does not say."""

    issued: float | None = None
    expiry: float | None = None

    def remaining(self, wall: float) -> float | None:
        """Seconds that a token received at `wall` has left; None if unknown.

        If the local clock is outside the token's validity period, this is its full lifetime.
        """
        if self.expiry is None:
            return None
        left = self.expiry - wall
        span = math.inf if self.issued is None else self.expiry - self.issued
        if 0 < left <= span:
            return left
        return span if 0 < span < math.inf else None


def is_token(text: str) -> bool:
    """Whether `text` can be sent as `Authorization: Bearer <text>`."""
    return text.isascii() and text.isprintable() and bool(text) and " " not in text


def lifetime(token: str) -> Lifetime:
    """The claims `iat` and `exp` of a JWT (RFC 7519); both are None for other tokens."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return Lifetime()
    if not isinstance(claims, dict):
        return Lifetime()
    return Lifetime(_date(claims.get("iat")), _date(claims.get("exp")))


def _date(claim: object) -> float | None:
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        return None
    return float(claim) if 0 <= claim < _MAX_TIMESTAMP else None


_MAX_TIMESTAMP = 1e11
"""Larger claims are not seconds."""


FILE_INTERVAL = 2.0
"""Interval in seconds at which a secret's file is checked for changes."""

FILE_DEADLINE = 5.0
"""Seconds for reading a secret's file: a dead network mount never responds."""

Waiting: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]
"""Makes a context that is entered only if a token must be waited for.

Callers use it to give their request slot to others for that time.
"""


class NoToken(Exception):  # noqa: N818 - named after what happened
    """There is no token; `api_error` says why."""

    def __init__(self, api_error: ApiError) -> None:
        super().__init__(api_error.message)
        self.api_error = api_error


class Credentials(Protocol):
    """A source of bearer tokens."""

    async def run(self, on_change: Callable[[], None]) -> None:
        """Do the background work, such as watching a file, until cancelled.

        `on_change` is called whenever a request that was refused before may succeed now.
        """
        ...

    def resume(self, previous: object) -> None:
        """Take over what `previous` knows. It must be for the same user or file."""
        ...

    async def token(self, waiting: Waiting = nullcontext) -> str:
        """The token to send now. Raises NoToken."""
        ...

    async def refresh(self, refused: str) -> str | None:
        """A token other than `refused`, which got a 401; None if there is no other.

        Raises NoToken.
        """
        ...

    def expiry(self) -> float | None:
        """When the newest token expires, Unix time; None if unknown."""
        ...


class StaticToken:
    """A token that is written in the configuration."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def run(self, on_change: Callable[[], None]) -> None:
        """Do nothing: the token never changes."""

    def resume(self, previous: object) -> None:
        """Do nothing: there is no state."""

    async def token(self, waiting: Waiting = nullcontext) -> str:  # noqa: ARG002 - the protocol's
        return self._token

    async def refresh(self, refused: str) -> str | None:  # noqa: ARG002 - the protocol's
        return None

    def expiry(self) -> float | None:
        return lifetime(self._token).expiry


class TokenFile:
    """A file with a token. The token is kept in memory and updated when the file changes."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._file = SecretFile(path, "credentials_file", clock)

    async def run(self, on_change: Callable[[], None]) -> None:
        await self._file.watch(on_change)

    def resume(self, previous: object) -> None:
        if isinstance(previous, TokenFile):
            self._file = previous._file  # noqa: SLF001 - of the same class

    async def token(self, waiting: Waiting = nullcontext) -> str:
        """The token in the file. Raises NoToken if the file is unreadable or has no valid token."""
        content = self._file.content
        if content is None:
            async with waiting():
                return self._token(await self._file.update())
        return self._token(content)

    async def refresh(self, refused: str) -> str | None:
        """Read the file again, even if it looks unchanged; None if it has the same token."""
        token = self._token(await self._file.update(force=True))
        return None if token == refused else token

    def expiry(self) -> float | None:
        content = self._file.content
        if isinstance(content, str) and is_token(content):
            return lifetime(content).expiry
        return None

    def _token(self, content: str | ApiError) -> str:
        if isinstance(content, ApiError):
            raise NoToken(content)
        if not is_token(content):
            raise NoToken(
                _unauthorized(
                    f"{self._file.name} does not contain a bare token:"
                    " write one word of printable ASCII, without 'Bearer'"
                )
            )
        return content


class SecretFile:
    """A file that holds one secret; surrounding white space is ignored.

    `content` is the secret, or the error of the last read; None before the first read. If a read
    hangs, a secret in memory stays valid. Symbolic links are followed, because Kubernetes updates a
    mounted secret by swapping one.

    Error messages name the configuration key, not the path: users sometimes write the secret itself
    where the path belongs.
    """

    def __init__(self, path: Path, key: str, clock: Clock) -> None:
        self.name = key
        self.content: str | ApiError | None = None
        self._path = path
        self._clock = clock
        self._calls = BlockingCalls(clock, FILE_DEADLINE)
        self._seen: Fingerprint | None = None

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Check the file regularly until cancelled; calls `on_change` if the secret has changed.

        The first check always reads the file, because a reload promises to read all files again.
        """
        known, force = self.content, True
        while True:
            content = await self.update(force=force)
            if isinstance(content, str) and content != known:
                on_change()
            known, force = content, False
            await self._clock.sleep(FILE_INTERVAL)

    async def update(self, *, force: bool = False) -> str | ApiError:
        """Read the file in a thread, if it has changed or `force`; returns its content."""
        try:
            self._seen, content = await self._calls.run(self._read if force else self._look)
        except TimeoutError:
            hangs = self._unreadable(f"no response within {FILE_DEADLINE:g}s")
            content = self.content if isinstance(self.content, str) else hangs
        self.content = content
        return content

    def _look(self) -> tuple[Fingerprint | None, str | ApiError]:
        """Read the file if it has changed. May block, as may `_read` and `_text`."""
        unchanged = self._seen is not None and fingerprint(self._path) == self._seen
        if unchanged and isinstance(self.content, str):
            return self._seen, self.content
        return self._read()

    def _read(self) -> tuple[Fingerprint | None, str | ApiError]:
        found = fingerprint(self._path)  # before reading: a later change shows at the next check
        return found, self._text()

    def _text(self) -> str | ApiError:
        try:
            text = read_file(self._path, SECRET_LIMIT).decode().strip()
        except OSError as error:
            return self._unreadable(error.strerror)
        except UnicodeDecodeError:
            return self._unreadable("it is not UTF-8")
        return text or _unauthorized(f"{self.name} is empty: write the secret into it")

    def _unreadable(self, why: str | None) -> ApiError:
        return _unauthorized(
            f"{self.name} cannot be read: {why}:"
            " use a regular UTF-8 file of at most 1 MiB that the exporter can read"
        )


def _unauthorized(message: str) -> ApiError:
    return ApiError(Reason.UNAUTHORIZED, message)
