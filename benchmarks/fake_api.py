"""A fake API: any number of buckets with deterministic data, and a server.

The server is as fast as simple Python allows, as it must not be the bottleneck. It is not measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

from benchmarks.processes import line_of, python
from exporter.model import Bucket
from exporter.upstream.parsing import ResponseLimits

STATUSES = ("ONLINE", "OFFLINE", "DISCONNECTED")
LIMITS = ResponseLimits(frozenset(STATUSES), 1000)
NODES = 6
"""Nodes of each bucket."""


def bucket(number: int) -> Bucket:
    """A bucket with an id in the API's format."""
    return Bucket("main", f"65f1c0ffee{number:014x}", f"bucket-{number}")


def answer(number: int) -> bytes:
    """The response body with a bucket's statistics."""
    nodes = [_node_stats(number, node) for node in range(NODES)]
    return json.dumps({"success": True, "nodeStats": nodes}).encode()


def listing(numbers: Iterable[int]) -> bytes:
    """The response body of a list request, with all fields that the API has."""
    entries = [_entry(bucket(number)) for number in numbers]
    return json.dumps({"success": True, "buckets": entries}).encode()


@contextmanager
def served(*, listed: int = 0, workspaces: int = 1) -> Iterator[str]:
    """The URL of a server in a separate process, with `listed` buckets over all workspaces.

    Every POST gets the same response, every GET a workspace's list. Workspaces are named 0, 1, 2
    and so on.
    """
    with python("benchmarks.fake_api", str(listed), str(workspaces)) as process:
        yield line_of(process).strip()


async def _serve(listed: int, workspaces: int) -> None:
    """Serve until standard input ends."""
    parts = (range(number, listed, workspaces) for number in range(workspaces))
    answering = partial(_Answering, _http(answer(0)), [_http(listing(part)) for part in parts])
    server = await asyncio.get_running_loop().create_server(answering, "127.0.0.1")
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)


class _Answering(asyncio.Protocol):
    """Takes a POST request as complete when its JSON body ends, a GET when its headers end."""

    def __init__(self, stats: bytes, listings: Sequence[bytes]) -> None:
        self._stats = stats
        self._listings = listings
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"}"):
            self._received = b""
            self._transport.write(self._stats)
        elif self._received.startswith(b"GET ") and self._received.endswith(b"\r\n\r\n"):
            _, _, workspace = self._received.split(b" ", 2)[1].partition(b"workspaceId=")
            self._received = b""
            self._transport.write(self._listings[int(workspace or 0)])


def _http(body: bytes) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nDate: Mon, 15 Jan 2024 12:00:00 GMT\r\n\r\n"
    )
    return head.encode() + body


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


if __name__ == "__main__":
    asyncio.run(_serve(*map(int, sys.argv[1:])))
