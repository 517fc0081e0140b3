"""`/api/v1/status`: what the pages say, as JSON.

What it consists of is decided in `status.to_json`; here it is put together piece by piece, so that
ten thousand buckets hold nobody up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from http import HTTPStatus

from aiohttp import hdrs, web

from exporter.status.filters import Filter
from exporter.status.snapshot import Snapshot
from exporter.status.summary import Summary
from exporter.status.to_json import (
    account_object,
    bucket_object,
    process_object,
    summary_object,
)
from exporter.web.limits import ConcurrencyLimit, send

PATH = "/api/v1/status"
HEADERS = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
BUCKETS_AT_A_TIME = 10


def add_status_api(
    app: web.Application, take_snapshot: Callable[[], Snapshot], limit: ConcurrencyLimit
) -> None:
    """Serve it."""
    app.router.add_get(PATH, _StatusApi(take_snapshot, limit).answer)


class _StatusApi:
    """The handler."""

    def __init__(self, take_snapshot: Callable[[], Snapshot], limit: ConcurrencyLimit) -> None:
        self._take_snapshot = take_snapshot
        self._limit = limit

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """All buckets, those that a query chooses, or the one that it names."""
        if (refusal := self._limit.rejection()) is not None:
            return refusal
        async with self._limit.acquire():
            summary = Summary(self._take_snapshot(), Filter.of(request.query))
            for _ in summary.steps():
                await asyncio.sleep(0)
            bucket_id = request.query.get("bucket_id")
            if bucket_id is not None:
                summary.matches = [each for each in summary.matches if each.bucket_id == bucket_id]
                if not summary.matches:
                    return _no_such_bucket()
            response = web.StreamResponse(headers=HEADERS)
            response.content_type, response.charset = "application/json", "utf-8"
            await send(request, response, _document(summary))
            return response


def _no_such_bucket() -> web.Response:
    return web.json_response(
        {"error": "no such bucket"}, status=HTTPStatus.NOT_FOUND, headers=HEADERS
    )


def _document(summary: Summary) -> Iterator[bytes]:
    """The whole document in pieces."""
    head = process_object(summary.snapshot.process, summary.snapshot.now)
    head["summary"] = summary_object(summary.totals)
    head["accounts"] = [
        account_object(account, summary.totals.accounts[account.name])
        for account in summary.snapshot.accounts
    ]
    yield json.dumps(head)[:-1].encode() + b', "buckets": ['
    gathered: list[str] = []
    comma = ""
    for view in summary.views(summary.matches):
        gathered.append(comma + json.dumps(bucket_object(view)))
        comma = ", "
        if len(gathered) == BUCKETS_AT_A_TIME:
            yield "".join(gathered).encode()
            gathered = []
    yield "".join(gathered).encode() + b"]}\n"
