"""What a client accepts, read from its headers (RFC 9110, section 12.5). Pure.

The aim is Prometheus's own behaviour: a header that is absent, odd or asks for what we do not have
gets the plain text format, never an error.
"""

from __future__ import annotations

from functools import lru_cache

OPENMETRICS = "application/openmetrics-text"


@lru_cache(maxsize=64)
def wants_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics 1.0 is named, and preferred to text at least as much."""
    openmetrics = text = 0.0
    for media_type, parameters, quality in _preferences(accept):
        if media_type == OPENMETRICS and parameters.get("version", "1.0.0") == "1.0.0":
            openmetrics = max(openmetrics, quality)
        elif media_type == "text/plain":
            text = max(text, quality)
    return openmetrics > 0 and openmetrics >= text


@lru_cache(maxsize=64)
def wants_gzip(accept_encoding: str) -> bool:
    """Whether gzip is accepted, and preferred to identity at least as much."""
    qualities = {coding: quality for coding, _, quality in _preferences(accept_encoding)}
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _preferences(header: str) -> list[tuple[str, dict[str, str], float]]:
    """The items of an Accept-like header: what, its parameters, its quality from 0 to 1."""
    preferences = []
    for item in header.split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip(' "') for key, _, value in pairs}
        preferences.append((name.lower(), parameters, _quality(parameters.pop("q", "1"))))
    return preferences


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
