"""Numbers and moments as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.status import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86400, "1 d"),
        (356400, "4 d 3 h"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    """A span has its two greatest units."""
    assert words.span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "now"), (-0.5, "now"), (5, "5 s ago"), (-5, "in 5 s"), (90, "1 min ago")],
)
def test_relative_moments(seconds: float, text: str) -> None:
    """What is past is ago, what comes is in a while; beyond a minute seconds do not count."""
    assert words.relative(seconds) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (1.0, "100 %"),
        (0.99999, "99.99 %"),
        (0.995, "99.5 %"),
        (0.8194, "81.94 %"),
        (0.29, "29 %"),
        (0.0, "0 %"),
    ],
)
def test_shares(ratio: float, text: str) -> None:
    """What is not all never looks like all, and binary fractions do not show."""
    assert words.percent(ratio) == text


def test_shares_as_the_api_sends_them() -> None:
    """Each share of two decimals reads as it was sent."""
    sent = [hundredths / 100 for hundredths in range(10001)]
    assert [words.percent(share / 100) for share in sent] == [f"{share:.10g} %" for share in sent]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0042, "4.2 ms"),
        (0.038, "38 ms"),
        (0.9994, "999 ms"),
        (1.25, "1.25 s"),
        (1e305, "1e+305 s"),
    ],
)
def test_latencies(seconds: float, text: str) -> None:
    """A latency has three digits at most."""
    assert words.latency(seconds) == text


def test_moments() -> None:
    """Moments are in UTC, for people and for machines."""
    assert words.utc(1705320000.25) == "2024-01-15 12:00:00 UTC"
    assert words.rfc3339(1705320000.25) == "2024-01-15T12:00:00.250Z"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain é 😀", "plain é 😀"),
        ("a\u202eb", "a\\u202eb"),
        ("a\x07\n", "a\\u0007\\u000a"),
        ("\ud800", "\\ud800"),
        ("\ufeff\u200b", "\\ufeff\\u200b"),
        ("\U000e0041", "\\U000e0041"),
        ("x" * 301, "x" * 300 + "…"),
    ],
)
def test_text_from_elsewhere_is_all_seen(text: str, seen: str) -> None:
    """What would turn, hide or break the text around it is spelt out; what is too long is cut."""
    assert words.shown(text) == seen


@given(st.text())
def test_shown_text_is_harmless(text: str) -> None:
    """Whatever comes, what is shown is printable, can be encoded and is bounded."""
    seen = words.shown(text, 50)
    assert seen.isprintable()
    assert len(seen.encode()) <= 50 * 10 + 3


@given(st.floats(min_value=0, max_value=1))
def test_no_share_is_rounded_up(ratio: float) -> None:
    """A share never reads as more than it is."""
    shown = float(words.percent(ratio).removesuffix(" %"))
    assert shown <= ratio * 100 or math.isclose(shown, ratio * 100)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 nodes"), (1, "1 node"), (2, "2 nodes"), (12345, "12,345 nodes")]
)
def test_counts(number: int, text: str) -> None:
    """One is one, the rest are many."""
    assert words.counted(number, "node") == text
