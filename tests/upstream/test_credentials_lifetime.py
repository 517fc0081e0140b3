"""The lifetime that a token contains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.upstream.credentials import Lifetime, is_token, lifetime
from tests.harness.fakes import jwt

HOUR = Lifetime(issued=1000.0, expiry=4600.0)


def test_jwt_says_when_it_ends() -> None:
    """The JWT claims iat and exp are read, with any base64 padding."""
    for extra in ("", "x", "xx", "xxx"):
        assert lifetime(jwt(iat=1000, exp=4600, sub=extra)) == HOUR
    assert lifetime(jwt(exp=4600.5)) == Lifetime(None, 4600.5)


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        "a.b.c",
        "..",
        jwt(exp="soon"),
        jwt(exp=True),
        jwt(exp=-1),
        jwt(exp=1e12),
        "x.W10.y",
        "x." + "W1tb" * 50000 + ".y",
    ],
)
def test_what_says_nothing_usable_says_nothing(token: str) -> None:
    """An opaque token, or one with invalid claims, has no expiry."""
    assert lifetime(token).expiry is None


@given(st.text(), st.text(), st.text())
def test_any_token_is_survived(first: str, second: str, third: str) -> None:
    """Any token is parsed without an exception."""
    assert isinstance(lifetime(f"{first}.{second}.{third}"), Lifetime)


@pytest.mark.parametrize(
    ("wall", "left"),
    [
        (1000.0, 3600.0),
        (2000.0, 2600.0),
        (999.0, 3600.0),
        (4600.0, 3600.0),
        (9999.0, 3600.0),
    ],
)
def test_token_counts_where_the_clock_contradicts_it(wall: float, left: float) -> None:
    """If by the clock a fresh token is expired or not yet valid, its full lifetime is used."""
    assert HOUR.remaining(wall) == left


def test_remaining_without_issue_date() -> None:
    """Without iat, the time left is from exp; if that is in the past, the lifetime is unknown."""
    assert Lifetime(None, 100.0).remaining(40.0) == 60
    assert Lifetime(None, 100.0).remaining(140.0) is None
    assert Lifetime(100.0, 100.0).remaining(140.0) is None
    assert Lifetime(50.0, None).remaining(40.0) is None


@pytest.mark.parametrize(
    ("text", "fits"),
    [("abc.d-e_f~+/=", True), ("", False), ("a b", False), ("a\n", False), ("é", False)],
)
def test_token_is_one_word_of_visible_ascii(text: str, fits: bool) -> None:  # noqa: FBT001 - expected
    """A token must be a single word of visible ASCII, so that it fits into a header."""
    assert is_token(text) is fits
