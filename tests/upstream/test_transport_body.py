"""A body while it is read."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest

from exporter.upstream.transport import STEP, Body, Transport


@pytest.mark.parametrize("size", [0, 1, STEP - 1, STEP, STEP + 1, 5 * STEP])
def test_small_chunk_is_unpacked_in_steps(size: int) -> None:
    """However far a chunk expands, no step gives more than so many bytes."""
    body, packed = Body("gzip", size + 100), gzip.compress(b"x" * size)
    steps = sum(1 for _ in body.take(packed))
    assert steps > size // STEP
    assert body.whole() == b"x" * size


def test_steps_end_where_the_chunk_does() -> None:
    """Chunks of a byte each make the same body."""
    body = Body("gzip", STEP * 2)
    for byte in gzip.compress(b"x" * STEP * 2):
        assert sum(1 for _ in body.take(bytes([byte]))) <= 3
    assert body.whole() == b"x" * STEP * 2


async def test_others_have_their_turn_while_a_body_is_unpacked() -> None:
    """A body that expands a thousand times does not hold up the event loop."""
    packed = gzip.compress(b"x" * STEP * 8)
    headers = {"Content-Encoding": "gzip"}
    http = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=_Once(packed)))
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        others = group.create_task(take_turns())
        await asyncio.sleep(0)
        before = turns
        request = httpx.Request("GET", "https://api.example/bucket")
        answer = await Transport(http).send(request, STEP * 8)
        others.cancel()
    assert len(answer.body) == STEP * 8
    assert turns - before >= 8


class _Once(httpx.AsyncByteStream):
    """A body in one chunk."""

    def __init__(self, chunk: bytes) -> None:
        self.chunk = chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.chunk
