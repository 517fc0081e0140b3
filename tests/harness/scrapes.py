"""Parses the samples of a scraped page."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)(?: \S+)?")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
ESCAPED = {r"\n": "\n", r"\"": '"', r"\\": "\\"}


class Sample(NamedTuple):
    """One sample."""

    name: str
    labels: dict[str, str]
    value: float


class Scrape:
    """A page. Raises ValueError if a sample is duplicated.

    It has its own parser, because the client library's is slow. `check` compares the two.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: defaultdict[str, list[str]] = defaultdict(list)
        series = set()
        for line in text.split("\n"):
            if not line or line.startswith("#"):
                continue
            key = line.rpartition(" ")[0]
            if key in series:
                raise ValueError(f"{key} is there twice")
            series.add(key)
            self._lines[re.split(r"[ {]", line, maxsplit=1)[0]].append(line)

    def __iter__(self) -> Iterator[Sample]:
        return (sample for name in self._lines for sample in self.all(name))

    def check(self) -> Scrape:
        """Fail if the client library's parser finds other samples."""
        theirs = sorted(  # as text, because NaN does not equal itself
            repr((each.name, each.labels, float(each.value)))
            for family in text_string_to_metric_families(self._text)
            for each in family.samples
        )
        assert theirs == sorted(repr(tuple(each)) for each in self)
        return self

    def ends_lines_only_at_lf(self) -> bool:
        return self._text.splitlines() == self._text.removesuffix("\n").split("\n")

    def all(self, name: str, /, **labels: str) -> list[Sample]:
        """The samples with a name that have these labels."""
        found = map(_sample, self._lines.get(name, ()))
        return [sample for sample in found if labels.items() <= sample.labels.items()]

    def value(self, name: str, /, **labels: str) -> float:
        """The value of the only sample with a name and these labels."""
        (found,) = self.all(name, **labels)
        return found.value

    def has(self, name: str, /, **labels: str) -> bool:
        return bool(self.all(name, **labels))


def _sample(line: str) -> Sample:
    found = SAMPLE.fullmatch(line)
    assert found is not None, line
    labels = {
        name: re.sub(r"\\.", lambda escape: ESCAPED[escape[0]], text)
        for name, text in LABEL.findall(found[2] or "")
    }
    return Sample(found[1], labels, float(found[3]))
