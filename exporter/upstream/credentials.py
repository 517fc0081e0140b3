"""Where a bearer token comes from: given in the configuration, or a file that may change.

A login that renews itself is in `login`. Nothing here knows HTTP answers: whoever is refused asks
for another token.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from exporter.model import Fault, Reason
from exporter.upstream.tokens import is_token, lifetime

if TYPE_CHECKING:
    from pathlib import Path


class NoToken(Exception):  # noqa: N818 - it names what happened, and is no bug
    """There is no token to be had; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Credentials(Protocol):
    """A source of bearer tokens."""

    def at_hand(self) -> str | None:
        """The token to send now, or None where `token` must be asked."""
        ...

    async def token(self) -> str:
        """The token to send now. Raises NoToken."""
        ...

    async def renewed(self, refused: str) -> str | None:
        """Another token after the API refused one, or None where there is no other.

        Raises NoToken.
        """
        ...

    def version(self) -> object:
        """A value that is another one once another token may be had."""
        ...

    def expiry(self) -> float | None:
        """When the newest token ends, Unix time, if it says so."""
        ...


class GivenToken:
    """The token that stands in the configuration."""

    def __init__(self, token: str) -> None:
        self._token = token

    def at_hand(self) -> str:
        """The token to send now."""
        return self._token

    async def token(self) -> str:
        """The token to send now."""
        return self._token

    async def renewed(self, refused: str) -> str | None:  # noqa: ARG002 - the protocol's
        """Never another one."""
        return None

    def version(self) -> object:
        """Always the same."""
        return None

    def expiry(self) -> float | None:
        """When the token ends, if it says so."""
        return lifetime(self._token).expiry


class TokenFile:
    """A file with a token in it, read again whenever it is another file or has changed.

    Kubernetes swaps a symbolic link: what counts is the file that the path leads to.
    """

    def __init__(self, path: Path) -> None:
        self._file = SecretFile(path, "credentials_file")
        self._newest: str | None = None

    def at_hand(self) -> str | None:
        """The token in the file, or None where there is none in it."""
        try:
            return self._read()
        except NoToken:
            return None

    async def token(self) -> str:
        """The token in the file. Raises NoToken where there is no file or no token in it."""
        return self._read()

    async def renewed(self, refused: str) -> str | None:
        """What the file holds by now, where that is another token."""
        self._file.forget()
        token = self._read()
        return None if token == refused else token

    def version(self) -> object:
        """The state of the file."""
        return self._file.version()

    def expiry(self) -> float | None:
        """When the token last read ends, if it says so."""
        return None if self._newest is None else lifetime(self._newest).expiry

    def _read(self) -> str:
        token = self._file.text()
        if not is_token(token):
            raise _unauthorized(
                f"{self._file.name} does not hold a bare token:"
                " it must be one word of visible ASCII, without 'Bearer'"
            )
        self._newest = token
        return token


class SecretFile:
    """A file that holds one secret; white space around it is no part of it.

    It is called by its key: in a hurry people write the secret itself in place of a path.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.name = key
        self._path = path
        self._seen: object = None
        self._text = ""

    def version(self) -> object:
        """A value that changes when the file does; None while there is none."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - half the cost of Path.stat, at every poll
        except OSError:
            return None
        return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)

    def text(self) -> str:
        """What the file holds now. Raises NoToken where that is nothing."""
        version = self.version()
        if version is None or version != self._seen:
            self._text = self._read()
            self._seen = version
        if not self._text:
            raise _unauthorized(f"{self.name} is empty: write the secret into it")
        return self._text

    def forget(self) -> None:
        """Read the file next time, whatever it looks like."""
        self._seen = None

    def _read(self) -> str:
        try:
            return self._path.read_text("utf-8").strip()
        except OSError as error:
            raise _unauthorized(f"{self.name} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise _unauthorized(f"{self.name} cannot be read: it is not UTF-8") from error


def _unauthorized(message: str) -> NoToken:
    return NoToken(Fault(Reason.UNAUTHORIZED, message))
