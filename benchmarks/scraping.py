"""A scrape of very many buckets, beside the client library showing the same samples.

What is measured ends with the bytes of the page: no HTTP, no sockets.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeAlias

from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from benchmarks import reference, sample
from benchmarks.measuring import Cost, Preparation, Round, costs
from benchmarks.table import Quantity, Row, megabytes, milliseconds
from exporter.web.metrics_handler import GZIP_LEVEL, gzipped

Encoding: TypeAlias = Callable[[Iterable[bytes]], Iterator[bytes]]

AIM = "≤ 1/100"
SCRAPE_INTERVAL = 15.0
"""How often a server scrapes, seconds."""

_MORE = f"one more server, each {SCRAPE_INTERVAL:g} s: CPU"
LIBRARY = "prometheus_client"


class Size(NamedTuple):
    """How much is done."""

    buckets: int
    rounds: int


FULL = Size(buckets=10_000, rounds=3)
QUICK = Size(buckets=500, rounds=1)


def compare(size: Size) -> list[Row]:
    """CPU time of one page, and the memory of a process that can make it."""
    cost = costs(_contestants(size.buckets), size.rounds)
    name = f"scrape of {size.buckets:,} x {sample.NODES} nodes"
    level_1, level_9 = f"{LIBRARY}, gzip level 1", f"{LIBRARY}, gzip as its server does"
    return [
        _cpu_row(name, "text", cost["page"], LIBRARY, cost["library"], aim=AIM),
        _cpu_row(name, "OpenMetrics", cost["page"], LIBRARY, cost["OpenMetrics"], aim=AIM),
        _cpu_row(name, "text, gzip", cost["page, gzip"], level_1, cost["level 1"]),
        _cpu_row(name, "text, gzip", cost["page, gzip"], level_9, cost["level 9"]),
        Row(name, _MORE, _share(cost["page, gzip"]), "", None, "≤ 1 %"),
        _memory_row(name, "text", cost["page"], LIBRARY, cost["library"]),
        _memory_row(name, "text, gzip", cost["page, gzip"], level_9, cost["level 9"]),
    ]


def _contestants(buckets: int) -> dict[str, Preparation]:
    level_1, level_9 = partial(_gzipped, level=GZIP_LEVEL), partial(_gzipped, level=9)
    return {
        "page": partial(_pages, buckets, iter),
        "page, gzip": partial(_pages, buckets, gzipped),
        "library": partial(_library_pages, buckets, generate_latest, iter),
        "OpenMetrics": partial(_library_pages, buckets, generate_openmetrics, iter),
        "level 1": partial(_library_pages, buckets, generate_latest, level_1),
        "level 9": partial(_library_pages, buckets, generate_latest, level_9),
    }


def _cpu_row(name: str, what: str, page: Cost, beside: str, base: Cost, *, aim: str = "") -> Row:
    here, there = milliseconds(page.cpu_seconds), milliseconds(base.cpu_seconds)
    return Row(name, f"{what}: CPU", here, beside, there, aim)


def _share(page: Cost) -> Quantity:
    """Of a core, for a page per scrape interval."""
    return Quantity(100 * page.cpu_seconds / SCRAPE_INTERVAL, "% of a core")


def _memory_row(name: str, what: str, page: Cost, beside: str, base: Cost) -> Row:
    here, there = megabytes(page.peak_bytes), megabytes(base.peak_bytes)
    return Row(name, f"{what}: peak memory", here, beside, there)


@contextmanager
def _pages(buckets: int, encode: Encoding) -> Iterator[Round]:
    """The exporter's page, chunk by chunk as it is sent."""
    store = sample.polled_targets(buckets)

    def do_round() -> int:
        for _ in encode(store.render(sample.NOW.monotonic)):
            pass
        return 1

    yield do_round


@contextmanager
def _library_pages(
    buckets: int,
    generate: Callable[[Collector], bytes],
    encode: Encoding,
) -> Iterator[Round]:
    registry = reference.registry(list(sample.readings(buckets)), sample.STATUSES)

    def do_round() -> int:
        for _ in encode([generate(registry)]):
            pass
        return 1

    yield do_round


def _gzipped(chunks: Iterable[bytes], *, level: int) -> Iterator[bytes]:
    compressor = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()
