"""Which known word an unknown one is meant to be.

Words for people are made by who asks; nothing here knows where a key stands.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from exporter.config.problems import QUOTED_LENGTH

_ELSEWHERE = {
    "api_key": "authorization",
    "api_url": "base_url",
    "basic_auth": "login",
    "bearer_token": "authorization",
    "bearer_token_file": "authorization",
    "endpoint": "base_url",
    "token": "authorization",
    "token_file": "authorization",
    "url": "base_url",
    "user": "email",
    "username": "email",
}
"""What other programs call our keys, where the letters do not tell."""


def meant(word: str, known: Collection[str]) -> str | None:
    """The one of the known words that this one is meant to be, most likely."""
    plain = word[:QUOTED_LENGTH].lower().replace("-", "_")
    if (elsewhere := _ELSEWHERE.get(plain)) in known:
        return elsewhere
    spellings = {each.lower(): each for each in known}
    return next((spellings[each] for each in get_close_matches(plain, spellings, 1)), None)


def misspelled(words: Collection[str], known: Collection[str]) -> set[str]:
    """The known words that stand there in another spelling."""
    return {word for each in words if each not in known and (word := meant(each, known))}
