"""Tokens as a test looks at them: whether there is one, without waiting for it."""

from __future__ import annotations

from typing import NoReturn

from exporter.upstream.credentials import Credentials, NoToken


class MustWaitError(Exception):
    """A token is not in memory."""


async def token_in_memory(credentials: Credentials) -> str | None:
    """The token to send now, or None where there is none or it must be waited for."""
    try:
        return await credentials.token(_must_wait)
    except (MustWaitError, NoToken):
        return None


def _must_wait() -> NoReturn:
    raise MustWaitError
