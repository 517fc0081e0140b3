"""Parses pages for the checker: strict, and fast enough for thousands of them.

An invalid page raises PageError. The client library's parsers are much slower, so they only check
some of the pages (`library_samples`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_to_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_to_families

Labels: TypeAlias = tuple[tuple[str, str], ...]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=[a-zA-Z_])|$)')
_ESCAPE = re.compile(r'\\([\\"n])')
_VALUE = re.compile(r"[+-]?(?:[0-9.]+(?:e[+-]?[0-9]+)?|Inf)|NaN")
_SUFFIXES = {
    "gauge": ("",),
    "counter": ("", "_total"),
    "histogram": ("_bucket", "_sum", "_count"),
}
SERIES_KEPT = 200_000


class PageError(ValueError):
    """A page that violates its format."""


class Series:
    """A name with its sorted labels. The hash is cached, because pages repeat the same series."""

    __slots__ = ("_hash", "labels", "name")

    def __init__(self, name: str, labels: Labels) -> None:
        self.name = name
        self.labels = labels
        self._hash = hash((name, labels))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Series):
            return NotImplemented
        return (self.name, self.labels) == (other.name, other.labels)

    def __repr__(self) -> str:
        return f"{self.name}{dict(self.labels)}"

    def label(self, name: str) -> str:
        """The value of a label; empty if there is none, as in Prometheus."""
        return next((value for key, value in self.labels if key == name), "")


@dataclass(slots=True)
class Page:
    """The samples of a page by name, and the type of each family."""

    kinds: dict[str, str] = field(default_factory=dict)
    samples: dict[str, dict[Series, float]] = field(default_factory=dict)

    def of(self, name: str) -> dict[Series, float]:
        """The samples with a name."""
        return self.samples.get(name, {})

    def by(self, name: str, label: str) -> dict[str, float]:
        """The samples with a name, by the value of a label that identifies them."""
        return {series.label(label): value for series, value in self.of(name).items()}

    def flat(self) -> dict[Series, float]:
        """All samples."""
        return {series: value for each in self.samples.values() for series, value in each.items()}


def page(text: str, *, openmetrics: bool) -> Page:
    """Parse a page. Raises PageError."""
    if not text.endswith("\n"):
        raise PageError("the page does not end with a newline")
    lines = text.removesuffix("\n").split("\n")
    if openmetrics and lines.pop() != "# EOF":
        raise PageError("the page does not end with # EOF")
    reader = _Reader()
    for line in lines:
        if line.startswith("#"):
            reader.describe(line)
        else:
            reader.add(line)
    return reader.page


class _Reader:
    """Parses the lines of a page in order."""

    def __init__(self) -> None:
        self.page = Page()
        self._names: tuple[str, ...] = ()
        self._name = ""
        self._samples: dict[Series, float] = {}
        self._helped: set[str] = set()

    def describe(self, line: str) -> None:
        _, keyword, name, rest = (*line.split(" ", 3), "", "", "")[:4]
        if keyword == "HELP":
            if name in self._helped:
                raise PageError(f"a second HELP of {name}")
            self._helped.add(name)
            return
        if keyword != "TYPE" or rest not in _SUFFIXES:
            raise PageError(f"no comment of a page: {line!r}")
        if name in self.page.kinds:
            raise PageError(f"a second TYPE of {name}")
        self.page.kinds[name] = rest
        self._names = tuple(name + suffix for suffix in _SUFFIXES[rest])

    def add(self, line: str) -> None:
        series, value = _sample(line)
        if series.name not in self._names:
            raise PageError(f"{series.name} stands outside of its family")
        if series.name != self._name:
            self._name = series.name
            self._samples = self.page.samples.setdefault(series.name, {})
        if series in self._samples:
            raise PageError(f"{series} is there twice")
        self._samples[series] = value


@lru_cache(maxsize=SERIES_KEPT)
def _sample(line: str) -> tuple[Series, float]:
    head, _, number = line.rpartition(" ")
    series = _series(head)
    if not _VALUE.fullmatch(number):
        raise PageError(f"no value of a sample: {line!r}")
    return series, float(number)


@lru_cache(maxsize=SERIES_KEPT)
def _series(head: str) -> Series:
    name, brace, rest = head.partition("{")
    if not _NAME.fullmatch(name) or (brace and not rest.endswith("}")):
        raise PageError(f"no series: {head!r}")
    labels: dict[str, str] = {}
    position, text = 0, rest.removesuffix("}")
    while position < len(text):
        found = _LABEL.match(text, position)
        if found is None or found[1] in labels:
            raise PageError(f"no labels, or one twice: {head!r}")
        labels[found[1]] = _ESCAPE.sub(_unescaped, found[2])
        position = found.end()
    return Series(name, tuple(sorted(labels.items())))


def _unescaped(escape: re.Match[str]) -> str:
    return "\n" if escape[1] == "n" else escape[1]


def library_samples(text: str, *, openmetrics: bool) -> dict[Series, float]:
    """The samples of a page according to the client library's parsers."""
    parse: Callable[..., object] = openmetrics_to_families if openmetrics else text_to_families
    families = parse(text)
    return {
        Series(sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families  # type: ignore[attr-defined] # the library's own
        for sample in family.samples
    }
