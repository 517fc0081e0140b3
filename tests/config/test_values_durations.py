"""Durations and sizes."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.config.values import DURATION_PATTERN, SIZE_PATTERN, duration, duration_text, size

MILLISECONDS = st.integers(min_value=0, max_value=10**12)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("30s", 30),
        ("1m30s", 90),
        ("90s", 90),
        ("500ms", 0.5),
        ("1y1w1d1h1m1s1ms", 31536000 + 604800 + 86400 + 3600 + 60 + 1.001),
        ("1h5ms", 3600.005),
        ("292y", 292 * 31536000),
        ("106751d23h47m16s854ms", 9223372036.854),
    ],
)
def test_durations_are_prometheus_s(text: str, seconds: float) -> None:
    """Durations have the units of Prometheus, in order, or are 0."""
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "1",
        "00",
        "1.5m",
        "-1s",
        "1s1m",
        "1m1m",
        " 1m",
        "1m ",
        "1M",
        "1µs",
        "٣s",
        "9" * 5000 + "s",
    ],
)
def test_other_texts_are_no_durations(text: str) -> None:
    """Other units, signs, fractions, orders and digits are rejected."""
    with pytest.raises(ValueError, match=r"has no unit|is not a duration"):
        duration(text)


@pytest.mark.parametrize(
    "text", ["106751d23h47m16s855ms", "293y", "292y172d", "999999999y", "106752d"]
)
def test_durations_end_where_prometheus_s_end(text: str) -> None:
    """Durations over 292 years, the limit of Prometheus, are rejected."""
    with pytest.raises(ValueError, match="longer than 292 years: write a shorter duration"):
        duration(text)


@given(MILLISECONDS)
def test_durations_go_round(milliseconds: int) -> None:
    """A duration written as text parses to the same value and matches the schema's pattern."""
    text = duration_text(milliseconds / 1000)
    assert duration(text) == milliseconds / 1000
    assert re.search(DURATION_PATTERN, text)


@given(st.text(alphabet="0123456789ywdhms .-", max_size=12))
@example("999999999y")
def test_pattern_and_reader_of_durations_agree(text: str) -> None:
    """The schema's pattern matches what the loader accepts, and durations that are too long."""
    try:
        duration(text)
    except ValueError as error:
        has_form = "longer than 292 years" in str(error)
    else:
        has_form = True
    assert has_form == bool(re.search(DURATION_PATTERN, text))


@given(st.integers(min_value=0, max_value=10**6))
def test_sizes_count_in_powers_of_two(count: int) -> None:
    """A size is a number of bytes, or has the unit B, KiB, MiB or GiB."""
    sizes = [size(f"{count}{unit}") for unit in ("", "B", "KiB", "MiB", "GiB")]
    assert sizes == [count, count, count * 2**10, count * 2**20, count * 2**30]


@given(st.text(alphabet="0123456789BKMGi .", max_size=8))
def test_pattern_and_reader_of_sizes_agree(text: str) -> None:
    """The schema's pattern matches exactly what the loader accepts."""
    try:
        size(text)
    except ValueError:
        assert not re.search(SIZE_PATTERN, text)
    else:
        assert re.search(SIZE_PATTERN, text)
