"""Made-up buckets, answers and states of any number: what all contestants work on.

The same number always gives the same data, without chance, and no two buckets have the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from exporter.model import Bucket, DayStats, GoodPoll, Instant, Timing
from exporter.polling.targets import Targets
from exporter.upstream.parsing import AnswerLimits, parse_stats

NOW = Instant(1705320000.0, 1000.0)  # 2024-01-15T12:00:00Z
TIMING = Timing()
STATUSES = ("ONLINE", "OFFLINE", "DISCONNECTED")
GUARD = AnswerLimits(frozenset(STATUSES), 1000)
NODES = 6
"""Nodes of each bucket."""


def bucket(number: int) -> Bucket:
    """A bucket with an id as the API gives them."""
    return Bucket("main", f"65f1c0ffee{number:014x}", f"bucket-{number}")


def answer(number: int) -> bytes:
    """What the API says of a bucket."""
    nodes = [_node_stats(number, node) for node in range(NODES)]
    return json.dumps({"success": True, "nodeStats": nodes}).encode()


def listing(numbers: Iterable[int]) -> bytes:
    """What the API says of which buckets there are, with as much beside as it has for each."""
    entries = [_entry(bucket(number)) for number in numbers]
    return json.dumps({"success": True, "buckets": entries}).encode()


def body_to_reading(body: bytes, duration: float = 0.1) -> GoodPoll:
    """What a good poll makes of a made-up answer."""
    stats = parse_stats(body, NOW.day, GUARD).result
    if not isinstance(stats, DayStats):
        raise TypeError(f"a made-up answer is no good: {stats}")
    return GoodPoll(stats, NOW, duration)


def readings(buckets: int) -> Iterator[tuple[Bucket, GoodPoll]]:
    """Each bucket and what its poll gave."""
    for number in range(buckets):
        yield bucket(number), body_to_reading(answer(number), 0.1 + number / 1e6)


def targets(buckets: Iterable[Bucket]) -> Targets:
    """Buckets that are polled, of which nothing is known yet."""
    found = Targets()
    found.sync(found.prepare(((each, TIMING) for each in buckets), STATUSES, NOW), NOW)
    return found


def polled_targets(buckets: int) -> Targets:
    """Buckets that have been polled once each."""
    polled = list(readings(buckets))
    found = targets(bucket for bucket, _ in polled)
    for target, (_, reading) in zip(found, polled, strict=True):
        found.record(target, reading)
    return found


def _entry(listed: Bucket) -> dict[str, object]:
    return {
        "id": listed.id,
        "name": listed.name,
        "storageType": "S3",
        "bucket": f"{listed.name}-store",
        "key": "AKIAIOSFODNN7EXAMPLE",
        "endpoint": "https://s3.eu-central-1.example.net",
        "region": "eu-central-1",
        "workspaceId": "65f1c0ffee00000000000000",
        "createdAt": "2024-01-15T10:30:00Z",
    }


def _node_stats(number: int, node: int) -> dict[str, object]:
    spread = (number * 7919 + node * 104729) % 10_000
    return {
        "ip": f"192.0.2.{node + 1}",
        "host": f"node-{node + 1}.eu-central.example.net",
        "perc_uptime": (90_000 + spread) / 1000,
        "avg_latency_ms": (2_000 + spread) / 100,
        "version": "1.4.2",
        "node_status": STATUSES[spread % 100 // 98],
        "last_updated": f"2024-01-15T11:{spread % 60:02d}:{node:02d}.{spread % 1000:03d}Z",
        "last_latency_ms": (2_500 + spread) / 100,
    }
