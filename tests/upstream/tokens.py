"""Access to an account's token in tests."""

from __future__ import annotations

from typing import NoReturn

from exporter.upstream.credentials import Credentials, NoToken


class MustWaitError(Exception):
    """There is no token in memory."""


async def token_in_memory(credentials: Credentials) -> str | None:
    """The token in memory, or None if there is none."""
    try:
        return await credentials.token(_must_wait)
    except (MustWaitError, NoToken):
        return None


def _must_wait() -> NoReturn:
    raise MustWaitError
