"""One answer: its bytes to a bucket's text, beside `json.loads` of the same bytes alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from benchmarks import sample
from benchmarks.measuring import Round, costs
from benchmarks.table import Row, milliseconds
from exporter.upstream.parsing import parse_stats

BUCKETS = 500
AIM = "≤ 0.15 ms"


class Size(NamedTuple):
    """How much is done."""

    answers: int
    rounds: int


FULL = Size(answers=5000, rounds=9)
QUICK = Size(answers=500, rounds=1)


def compare(size: Size) -> list[Row]:
    """CPU time of one answer."""
    cost = costs(
        {
            "json": partial(_json_alone, size.answers),
            "parse": partial(_parsing, size.answers),
            "whole": partial(_parsing_and_rendering, size.answers),
        },
        size.rounds,
    )
    base = milliseconds(cost["json"].cpu_seconds)
    name, beside = "answer of six nodes", "json.loads alone"
    return [
        Row(name, "parse", milliseconds(cost["parse"].cpu_seconds), beside, base),
        Row(name, "parse and render", milliseconds(cost["whole"].cpu_seconds), beside, base, AIM),
    ]


@contextmanager
def _json_alone(answers: int) -> Iterator[Round]:
    bodies = [sample.answer(number) for number in range(BUCKETS)]

    def do_round() -> int:
        for number in range(answers):
            json.loads(bodies[number % BUCKETS])
        return answers

    yield do_round


@contextmanager
def _parsing(answers: int) -> Iterator[Round]:
    bodies = [sample.answer(number) for number in range(BUCKETS)]

    def do_round() -> int:
        for number in range(answers):
            parse_stats(bodies[number % BUCKETS], sample.NOW.day, sample.GUARD)
        return answers

    yield do_round


@contextmanager
def _parsing_and_rendering(answers: int) -> Iterator[Round]:
    bodies = [sample.answer(number) for number in range(BUCKETS)]
    targets = sample.polled_targets(BUCKETS)
    polled = list(targets)

    def do_round() -> int:
        for number in range(answers):
            position = number % BUCKETS
            targets.record(polled[position], sample.body_to_reading(bodies[position]))
        return answers

    yield do_round
