"""Responses with broken HTTP framing: nothing that was received appears in errors or logs."""

from __future__ import annotations

import asyncio
import io
import json
import traceback
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import httpx
import pytest

from exporter.logs import configure
from exporter.model import ApiError
from exporter.upstream.discovery import parse_listing
from exporter.upstream.events import Call
from exporter.upstream.login import parse_tokens
from exporter.upstream.parsing import Parsed, ResponseLimits, parse_stats
from exporter.upstream.request import ApiRequest, Requester
from exporter.upstream.server_info import ResponseHead
from exporter.upstream.transport import RawResponse, RequestFailed, Transport
from tests.harness.fakes import FakeClock, Recorder
from tests.upstream import scripted
from tests.upstream.scripted import chunked, http

MARK = "Xyz9q"
SECRET = MARK * 4
"""Every nine characters of it contain the mark."""

HEAD = (f"Set-Cookie: session={SECRET}; Secure", f"Location: /{SECRET}")
DAY = date(2024, 1, 15)

BODIES: dict[Call, dict[str, Any]] = {
    Call.STATS: {"success": True, "accessToken": SECRET, "nodeStats": [{"host": "h"}]},
    Call.LIST: {"success": True, "buckets": [{"id": "b1", "key": SECRET, "secret": SECRET}]},
    Call.LOGIN: {"success": True, "accessToken": SECRET, "refreshToken": SECRET},
    Call.REFRESH: {"success": True, "accessToken": SECRET, "refreshToken": SECRET},
}

READ: dict[Call, Callable[[bytes], Parsed[object]]] = {
    Call.STATS: lambda body: parse_stats(body, DAY, ResponseLimits(frozenset(), 10)),
    Call.LIST: parse_listing,
    Call.LOGIN: parse_tokens,
    Call.REFRESH: parse_tokens,
}


def whole(call: Call, *, in_chunks: bool) -> bytes:
    """A good response with secrets in its status line, headers and body."""
    body = json.dumps(BODIES[call]).encode()
    answer = chunked(body, *HEAD) if in_chunks else http(body, *HEAD)
    return answer.replace(b"200 OK", f"200 {SECRET}".encode(), 1)


def broken(answer: bytes) -> Iterator[bytes]:
    """The response broken at every byte, and in ways that faulty proxies break it."""
    for number in range(len(answer)):
        before, after = answer[:number], answer[number:]
        yield before
        yield (
            before + b"\r\n" + after,
            before + b"\x00\xff: " + after,
            before + after[1:],
        )[number % 3]
    head, _, body = answer.partition(b"\r\n\r\n")
    yield head.partition(b"\r\n")[2] + b"\r\n\r\n" + body  # no status line
    yield head + body  # no blank line
    yield body
    yield head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + json.dumps(SECRET).encode()
    for length in (b"0", b"7", b"99999", b"-1", b"x", SECRET.encode()):
        yield head.replace(b"Content-Length: ", b"Content-Length: " + length) + b"\r\n\r\n" + body


class TracebackRecorder(Transport):
    """A transport that records the tracebacks of its errors."""

    def __init__(self, transport: Transport, tracebacks: list[str]) -> None:
        self.transport = transport
        self.tracebacks = tracebacks

    async def send(
        self,
        request: httpx.Request,
        max_bytes: int,
        on_head: Callable[[ResponseHead], None] = lambda _: None,
    ) -> RawResponse:
        try:
            return await self.transport.send(request, max_bytes, on_head)
        except RequestFailed:
            self.tracebacks.append(traceback.format_exc())
            raise


def requester(transport: Transport, url: str, case: int) -> Requester:
    """A requester for one case, which the server recognizes by the user agent."""
    return Requester(
        "main",
        url,
        transport=transport,
        timeout=10,
        max_response_bytes=100_000,
        user_agent=f"{case}",
        clock=FakeClock(),
        observer=Recorder(),
    )


@pytest.mark.parametrize("split", [False, True], ids=["at once", "head first"])
@pytest.mark.parametrize("in_chunks", [False, True], ids=["plain", "chunked"])
@pytest.mark.parametrize("call", list(Call))
async def test_nothing_of_a_broken_answer_is_shown(
    call: Call, *, in_chunks: bool, split: bool
) -> None:
    """Wherever a response breaks, errors, tracebacks and the log contain nothing received."""
    log = io.StringIO()
    configure("debug", "logfmt", log)
    cases = list(broken(whole(call, in_chunks=in_chunks)))
    if split:
        cases = [case for case in cases if b"\r\n\r\n" in case]
    tracebacks: list[str] = []
    faults: list[ApiError] = []

    async def script(asked: scripted.Client) -> None:
        answer = cases[int(asked.header("user-agent"))]
        head, blank, rest = answer.partition(b"\r\n\r\n")
        if split:
            await asked.send(head + blank)
            await asyncio.sleep(0)
            await asked.send(rest)
        else:
            await asked.send(answer)
        raise ConnectionResetError

    async with scripted.scripted(script) as server, scripted.client(limit=50) as real:
        transport = TracebackRecorder(real, tracebacks)

        async def attempt(case: int) -> None:
            asking = requester(transport, server.url, case)
            result = await asking.attempt(
                ApiRequest(call, "POST", "/any", b"{}"), READ[call], "tok"
            )
            if isinstance(result, ApiError):
                faults.append(result)

        async with asyncio.TaskGroup() as group:
            for case in range(len(cases)):
                group.create_task(attempt(case))
    assert len(faults) > len(cases) / 4
    assert len(tracebacks) > len(cases) / 8
    shown = [*(f"{fault!r}" for fault in faults), *tracebacks, log.getvalue()]
    assert [text for text in shown if MARK in text] == []
