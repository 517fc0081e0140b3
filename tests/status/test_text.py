"""Readable numbers, durations and times."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.status import text


@pytest.mark.parametrize(
    ("seconds", "said"),
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
def test_spans(seconds: float, said: str) -> None:
    """A duration is written with its two largest units."""
    assert text.span(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.5, "now"), (-0.5, "now"), (5, "5 s ago"), (-5, "in 5 s"), (90, "1 min ago")],
)
def test_relative_moments(seconds: float, said: str) -> None:
    """Past times have `ago`, future ones `in`, and from a minute on seconds are left out."""
    assert text.relative(seconds) == said


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (1.0, "100 %"),
        (0.99999, "99.99 %"),
        (0.995, "99.5 %"),
        (0.8194, "81.94 %"),
        (0.29, "29 %"),
        (0.0, "0 %"),
    ],
)
def test_shares(ratio: float, said: str) -> None:
    """Only 1.0 is shown as 100 %, and binary rounding errors are not visible."""
    assert text.percent(ratio) == said


def test_shares_as_the_api_sends_them() -> None:
    """Each percentage with two decimals is shown as the API sent it."""
    sent = [hundredths / 100 for hundredths in range(10001)]
    assert [text.percent(share / 100) for share in sent] == [f"{share:.10g} %" for share in sent]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0042, "4.2 ms"),
        (0.038, "38 ms"),
        (0.9994, "999 ms"),
        (1.25, "1.25 s"),
        (1e305, "1e+305 s"),
    ],
)
def test_latencies(seconds: float, said: str) -> None:
    """A latency has at most three significant digits."""
    assert text.latency(seconds) == said


def test_moments() -> None:
    """Times are in UTC, both in the readable format and in RFC 3339."""
    assert text.utc(1705320000.25) == "2024-01-15 12:00:00 UTC"
    assert text.rfc3339(1705320000.25) == "2024-01-15T12:00:00.250Z"


@pytest.mark.parametrize(
    ("said", "seen"),
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
def test_text_from_elsewhere_is_all_seen(said: str, seen: str) -> None:
    """Control, invisible and direction-changing characters are escaped; long texts are cut."""
    assert text.shown(said) == seen


@given(st.text())
def test_shown_text_is_harmless(said: str) -> None:
    """Any text is shown as printable, encodable characters of limited length."""
    seen = text.shown(said, 50)
    assert seen.isprintable()
    assert len(seen.encode()) <= 50 * 10 + 3


@given(st.floats(min_value=0, max_value=1))
def test_no_share_is_rounded_up(ratio: float) -> None:
    """A percentage is never rounded up."""
    shown = float(text.percent(ratio).removesuffix(" %"))
    assert shown <= ratio * 100 or math.isclose(shown, ratio * 100)


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 nodes"), (1, "1 node"), (2, "2 nodes"), (12345, "12,345 nodes")]
)
def test_counts(number: int, said: str) -> None:
    """A count has the plural unless it is 1, and separators of thousands."""
    assert text.counted(number, "node") == said
