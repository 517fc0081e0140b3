"""Where a bearer token comes from: given, or a file that may change; what one says of its own life.

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
    """When a token was issued and when it ends, Unix time; None where it does not say."""

    issued: float | None = None
    expiry: float | None = None

    def remaining(self, wall: float) -> float | None:
        """Seconds that a token received at `wall` has left; None where that cannot be known.

        Where this machine's clock contradicts the token, the token's own span counts.
        """
        if self.expiry is None:
            return None
        left = self.expiry - wall
        span = math.inf if self.issued is None else self.expiry - self.issued
        if 0 < left <= span:
            return left
        return span if 0 < span < math.inf else None


def is_token(text: str) -> bool:
    """Whether `text` can stand behind `Authorization: Bearer`."""
    return text.isascii() and text.isprintable() and bool(text) and " " not in text


def lifetime(token: str) -> Lifetime:
    """What a token says in `iat` and `exp` (RFC 7519); nothing where it is no JWT."""
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
    return float(claim) if 0 <= claim < _END_OF_TIME else None


_END_OF_TIME = 1e11
"""Beyond this a claim is no number of seconds."""


FILE_WATCH = 2.0
"""How often it is looked whether a secret's file has changed, seconds."""

FILE_DEADLINE = 5.0
"""How long a look at a secret's file may take, seconds: a dead network mount never answers."""

Waiting: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]
"""What a token is waited for in, where it is not in memory: it lets others make their requests."""


class NoToken(Exception):  # noqa: N818 - it names what happened, and is no bug
    """There is no token to be had; `api_error` says why."""

    def __init__(self, api_error: ApiError) -> None:
        super().__init__(api_error.message)
        self.api_error = api_error


class Credentials(Protocol):
    """A source of bearer tokens."""

    async def run(self, news: Callable[[], None]) -> None:
        """Do what tokens need in the background, until cancelled.

        `news` is called whenever what was refused before may be granted now.
        """
        ...

    def resume(self, previous: object) -> None:
        """Go on with what other credentials know; they are of the same user or file."""
        ...

    async def token(self, waiting: Waiting = nullcontext) -> str:
        """The token to send now. Raises NoToken."""
        ...

    async def refresh(self, refused: str) -> str | None:
        """Another token after the API refused one, or None where there is no other.

        Raises NoToken.
        """
        ...

    def expiry(self) -> float | None:
        """When the newest token ends, Unix time, if it says so."""
        ...


class StaticToken:
    """The token that stands in the configuration."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def run(self, news: Callable[[], None]) -> None:
        """Nothing to do."""

    def resume(self, previous: object) -> None:
        """Nothing to go on with."""

    async def token(self, waiting: Waiting = nullcontext) -> str:  # noqa: ARG002 - the protocol's
        return self._token

    async def refresh(self, refused: str) -> str | None:  # noqa: ARG002 - the protocol's
        return None

    def expiry(self) -> float | None:
        """When the token ends, if it says so."""
        return lifetime(self._token).expiry


class TokenFile:
    """A file with a token in it. The token is in memory, and followed when the file changes."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._file = SecretFile(path, "credentials_file", clock)

    async def run(self, news: Callable[[], None]) -> None:
        await self._file.watch(news)

    def resume(self, previous: object) -> None:
        """Go on with what is known of the same file."""
        if isinstance(previous, TokenFile):
            self._file = previous._file  # noqa: SLF001 - of the same class

    async def token(self, waiting: Waiting = nullcontext) -> str:
        """The token in the file. Raises NoToken where there is no file or no token in it."""
        content = self._file.content
        if content is None:
            async with waiting():
                return self._token(await self._file.update())
        return self._token(content)

    async def refresh(self, refused: str) -> str | None:
        """What the file holds by now, whatever it looks like, where that is another token."""
        token = self._token(await self._file.update(anew=True))
        return None if token == refused else token

    def expiry(self) -> float | None:
        """When the token in the file ends, if it says so."""
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
                    f"{self._file.name} does not hold a bare token:"
                    " it must be one word of visible ASCII, without 'Bearer'"
                )
            )
        return content


class SecretFile:
    """A file that holds one secret; white space around it is no part of it.

    `content` is what was found when it was last looked at: the secret, or why there is none; None
    before the first look. While a look hangs, a secret in memory stays good. Kubernetes swaps a
    symbolic link: what counts is the file that the path leads to.

    Messages name it by its key: people write the secret itself in place of a path at times.
    """

    def __init__(self, path: Path, key: str, clock: Clock) -> None:
        self.name = key
        self.content: str | ApiError | None = None
        self._path = path
        self._clock = clock
        self._calls = BlockingCalls(clock, FILE_DEADLINE)
        self._seen: Fingerprint | None = None

    async def watch(self, news: Callable[[], None]) -> None:
        """Look at the file again and again until cancelled; `news` is called for another secret.

        The first look reads it whatever it looks like: a reload reads all files again.
        """
        known, anew = self.content, True
        while True:
            content = await self.update(anew=anew)
            if isinstance(content, str) and content != known:
                news()
            known, anew = content, False
            await self._clock.sleep(FILE_WATCH)

    async def update(self, *, anew: bool = False) -> str | ApiError:
        """The content, read again if the file has changed, or `anew`; never on the event loop."""
        try:
            self._seen, content = await self._calls.run(self._read if anew else self._look)
        except TimeoutError:
            hangs = self._unreadable(f"no answer within {FILE_DEADLINE:g}s")
            content = self.content if isinstance(self.content, str) else hangs
        self.content = content
        return content

    def _look(self) -> tuple[Fingerprint | None, str | ApiError]:
        """May block, like all that follows."""
        unchanged = self._seen is not None and fingerprint(self._path) == self._seen
        if unchanged and isinstance(self.content, str):
            return self._seen, self.content
        return self._read()

    def _read(self) -> tuple[Fingerprint | None, str | ApiError]:
        found = fingerprint(self._path)  # before reading: what changes meanwhile is read again
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
            f"{self.name} cannot be read: {why};"
            " name a regular UTF-8 file of at most 1 MiB that the exporter may read"
        )


def _unauthorized(message: str) -> ApiError:
    return ApiError(Reason.UNAUTHORIZED, message)
