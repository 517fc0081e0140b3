"""Scrapes as tests read them: the parsed samples of a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families


class Sample(NamedTuple):
    """One line of a page."""

    name: str
    labels: dict[str, str]
    value: float


class Scrape:
    """A page, parsed by the client library; a page with a sample twice is refused."""

    def __init__(self, text: str) -> None:
        self._samples: dict[tuple[str, frozenset[tuple[str, str]]], Sample] = {}
        for family in text_string_to_metric_families(text):
            for found in family.samples:
                key = (found.name, frozenset(found.labels.items()))
                if key in self._samples:
                    raise ValueError(f"{found.name}{found.labels} is there twice")
                self._samples[key] = Sample(found.name, found.labels, found.value)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples.values())

    def all(self, name: str, /, **labels: str) -> list[Sample]:
        """The samples of a name that carry these labels."""
        return [
            sample
            for sample in self
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, /, **labels: str) -> float:
        """The value of the only sample of a name that carries these labels."""
        (found,) = self.all(name, **labels)
        return found.value

    def has(self, name: str, /, **labels: str) -> bool:
        """Whether there is such a sample."""
        return bool(self.all(name, **labels))
