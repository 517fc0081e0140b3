"""What a token says of its own life."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.upstream.credentials import Lifetime, is_token, lifetime
from tests.harness.fakes import jwt

HOUR = Lifetime(issued=1000.0, expiry=4600.0)


def test_jwt_says_when_it_ends() -> None:
    """The claims iat and exp are read, whatever the padding."""
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
    """An opaque token, or a claim that is no date, has no lifetime."""
    assert lifetime(token).expiry is None


@given(st.text(), st.text(), st.text())
def test_any_token_is_survived(first: str, second: str, third: str) -> None:
    """No token raises."""
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
    """A fresh token that this clock calls expired or not yet valid lives for its own span."""
    assert HOUR.remaining(wall) == left


def test_remaining_without_issue_date() -> None:
    """Without iat only the clock counts; where that makes no sense, nothing is known."""
    assert Lifetime(None, 100.0).remaining(40.0) == 60
    assert Lifetime(None, 100.0).remaining(140.0) is None
    assert Lifetime(100.0, 100.0).remaining(140.0) is None
    assert Lifetime(50.0, None).remaining(40.0) is None


@pytest.mark.parametrize(
    ("text", "fits"),
    [("abc.d-e_f~+/=", True), ("", False), ("a b", False), ("a\n", False), ("é", False)],
)
def test_token_is_one_word_of_visible_ascii(text: str, fits: bool) -> None:  # noqa: FBT001 - expected
    """Only what can stand in a header is a token."""
    assert is_token(text) is fits
