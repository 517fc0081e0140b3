"""Content negotiation: the format and the compression that a client accepts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.metrics_handler import wants_gzip, wants_openmetrics

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;"
    "escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_TEXT_FIRST = (
    "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;q=0.5,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        (PROMETHEUS_TEXT_FIRST, False),
        ("application/openmetrics-text", True),
        ('Application/OpenMetrics-Text; version="1.0.0"', True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
        ("application/openmetrics-text;q=7", False),
        ("application/openmetrics-text, text/plain", True),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("*/*", False),
        ("application/json", False),
        ("", False),
        (";;,,=", False),
    ],
)
def test_format_follows_accept(accept: str, openmetrics: bool) -> None:  # noqa: FBT001 - expected
    """The format is OpenMetrics if the client names it and prefers it no less than text."""
    assert wants_openmetrics(accept) is openmetrics


@pytest.mark.parametrize(
    ("accept_encoding", "gzip"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("x-gzip", True),
        ("GZIP;q=0.5", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0.5, gzip", True),
        ("identity;q=0, gzip;q=0.1", True),
        ("deflate", False),
        ("gzip;q=banana", False),
        ("", False),
    ],
)
def test_compression_follows_accept_encoding(accept_encoding: str, gzip: bool) -> None:  # noqa: FBT001 - expected
    """A page is compressed if the client accepts gzip and does not prefer it uncompressed."""
    assert wants_gzip(accept_encoding) is gzip


@given(st.text())
def test_any_header_is_survived(header: str) -> None:
    """No header raises an exception."""
    assert wants_openmetrics(header) in {True, False}
    assert wants_gzip(header) in {True, False}
