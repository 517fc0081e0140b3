"""Decompression of a body while it is read."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest

from exporter.upstream.transport import STEP, Body, Transport


@pytest.mark.parametrize("size", [0, 1, STEP - 1, STEP, STEP + 1, 5 * STEP])
def test_small_chunk_is_unpacked_in_steps(size: int) -> None:
    """Each step of decompression returns a limited number of bytes."""
    body, packed = Body("gzip", size + 100), gzip.compress(b"x" * size)
    steps = sum(1 for _ in body.take(packed))
    assert steps >= size / STEP
    assert body.whole() == b"x" * size


def test_steps_end_where_the_chunk_does() -> None:
    """A body split into one-byte chunks is decoded in few steps per chunk."""
    body = Body("gzip", STEP * 2)
    for byte in gzip.compress(b"x" * STEP * 2):
        assert sum(1 for _ in body.take(bytes([byte]))) <= 3
    assert body.whole() == b"x" * STEP * 2


@pytest.mark.parametrize("chunk_size", [1, 7, 40, 10_000])
def test_members_make_one_body(chunk_size: int) -> None:
    """A gzip body of several members, even an empty one, is decoded for any chunk size."""
    packed = b"".join(map(gzip.compress, [b"one,", b"", b"two," * 100, b"three"]))
    body = Body("gzip", 1000)
    for begin in range(0, len(packed), chunk_size):
        for _ in body.take(packed[begin : begin + chunk_size]):
            pass
    assert body.whole() == b"one," + b"two," * 100 + b"three"


def test_each_member_is_a_step() -> None:
    """Each gzip member is a step of its own, so many small ones do not block the event loop."""
    body = Body("gzip", 10**6)
    assert sum(1 for _ in body.take(gzip.compress(b"x") * 1000)) == 1000
    assert body.whole() == b"x" * 1000


async def test_others_have_their_turn_while_a_body_is_unpacked() -> None:
    """A large decompression gives way to other tasks, so it does not block the event loop."""
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
