"""Where a bearer token comes from: given in the configuration, or a file that may change.

It knows nothing of HTTP answers: whoever is refused asks for another token.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from exporter.model import Fault, Reason

if TYPE_CHECKING:
    from pathlib import Path


class NoToken(Exception):  # noqa: N818 - it names what happened, and is no bug
    """There is no token to be had; `fault` says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(Reason.UNAUTHORIZED, message)


class Credentials(Protocol):
    """A source of bearer tokens."""

    async def token(self) -> str:
        """The token to send now. Raises NoToken."""
        ...

    async def renewed(self, refused: str) -> str | None:
        """Another token after the API refused one, or None where there is no other."""
        ...


class GivenToken:
    """The token that stands in the configuration."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        """The token to send now."""
        return self._token

    async def renewed(self, refused: str) -> str | None:  # noqa: ARG002 - the protocol's
        """Never another one."""
        return None


class TokenFile:
    """A file with a token in it, read again whenever it is another file or has changed.

    Kubernetes swaps a symbolic link: what counts is the file that the path leads to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._token = ""

    async def token(self) -> str:
        """The token in the file. Raises NoToken where there is no file or no token in it."""
        try:
            self._read_if_changed()
        except (OSError, UnicodeDecodeError) as error:
            self._seen = ()
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise NoToken(f"credentials_file {self._path.name} cannot be read: {why}") from error
        if not self._token:
            raise NoToken(f"credentials_file {self._path.name} is empty: write the token into it")
        if not is_token(self._token):
            raise NoToken(
                f"credentials_file {self._path.name} does not hold a bare token:"
                " it must be one word of visible ASCII, without 'Bearer'"
            )
        return self._token

    async def renewed(self, refused: str) -> str | None:
        """What the file holds by now, where that is another token."""
        self._seen = ()
        token = await self.token()
        return None if token == refused else token

    def _read_if_changed(self) -> None:
        found = os.stat(self._path)  # noqa: PTH116 - follows links, as Path.stat; half the cost
        seen = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            self._token = self._path.read_text("utf-8").strip()
            self._seen = seen


def is_token(text: str) -> bool:
    """Whether `text` can stand behind `Authorization: Bearer`."""
    return text.isascii() and text.isprintable() and bool(text) and " " not in text
