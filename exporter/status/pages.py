"""The pages for people: all buckets, one bucket, the words explained.

Made from a snapshot, they say nothing of their own; markup is in `templates`. Nothing in them comes
from elsewhere, and a browser is told to accept nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from http import HTTPStatus

from aiohttp import hdrs, web

from exporter.model import ONLINE_STATUS, UNKNOWN_STATUS, Reason
from exporter.status.api import add_status_api
from exporter.status.assets import add_assets, load_assets
from exporter.status.filters import NOT_ONLINE, Filter, Page
from exporter.status.notices import notices
from exporter.status.reasons import ADVICE
from exporter.status.snapshot import Snapshot
from exporter.status.state import Health, RankedBucket
from exporter.status.summary import Summary, headline
from exporter.status.templating import pieces, template
from exporter.web.limits import ConcurrencyLimit, send

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self';"
    " img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    hdrs.CACHE_CONTROL: "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TEMPLATES = (
    "base.html",
    "parts.html",
    "overview.html",
    "bucket.html",
    "no_bucket.html",
    "help.html",
)
REFRESH_SECONDS = 5
NODES_IN_A_ROW = 12
"""Nodes of a bucket that are shown among others; its own page has all."""

NODES_DOWN_SHOWN = 5
"""Nodes not online that are named at the top, those of the most buckets first."""

ACCOUNTS_SHOWN = 100


def add_status_routes(
    app: web.Application,
    limit: ConcurrencyLimit,
    telemetry_path: str,
    *,
    take_snapshot: Callable[[], Snapshot],
) -> None:
    """Serve the JSON, and the pages with what belongs to them, unless metrics take their place."""
    add_status_api(app, take_snapshot, limit)
    if telemetry_path == "/":
        return
    for name in TEMPLATES:
        template(name)  # compiled now: later it would keep others waiting
    pages = _Pages(take_snapshot, limit, telemetry_path)
    app.router.add_get("/", pages.overview)
    app.router.add_get("/bucket", pages.bucket)
    app.router.add_get("/help", pages.help)
    add_assets(app, pages.assets)


class _Pages:
    """The handlers."""

    def __init__(
        self,
        take_snapshot: Callable[[], Snapshot],
        limit: ConcurrencyLimit,
        telemetry_path: str,
    ) -> None:
        self._take_snapshot = take_snapshot
        self._limit = limit
        self.assets = load_assets()
        self._site = {
            "assets": {name: asset.path for name, asset in self.assets.items()},
            "telemetry_path": telemetry_path,
            "refresh_seconds": REFRESH_SECONDS,
            "Health": Health,
        }

    async def overview(self, request: web.Request) -> web.StreamResponse:
        """All buckets, the worst first; a query chooses among them."""
        if (refusal := self._limit.rejection()) is not None:
            return refusal
        async with self._limit.acquire():
            chosen = Filter.of(request.query)
            summary = await self._summary(chosen)
            page = Page.of(summary.matches, chosen.page)
            snapshot = summary.snapshot
            accounts = snapshot.accounts
            context = {
                "chosen": chosen,
                "page": page,
                "views": summary.views(page.ranked),
                "accounts": accounts[:ACCOUNTS_SHOWN],
                "accounts_more": max(0, len(accounts) - ACCOUNTS_SHOWN),
                "notices": notices(snapshot.process, accounts, snapshot.now),
                "node_choices": _node_choices(snapshot.process.known_statuses),
                "nodes_in_a_row": NODES_IN_A_ROW,
                "nodes_down_shown": NODES_DOWN_SHOWN,
            }
            return await self._answer(request, "overview.html", summary, context)

    async def bucket(self, request: web.Request) -> web.StreamResponse:
        """All that is known of one bucket."""
        if (refusal := self._limit.rejection()) is not None:
            return refusal
        async with self._limit.acquire():
            bucket_id = request.query.get("id", "")
            summary = await self._summary(Filter())
            found = next((each for each in summary.matches if each.bucket_id == bucket_id), None)
            if found is None:
                context: dict[str, object] = {"bucket_id": bucket_id}
                status = HTTPStatus.NOT_FOUND
                return await self._answer(request, "no_bucket.html", summary, context, status)
            return await self._answer(request, "bucket.html", summary, _of_bucket(summary, found))

    async def help(self, request: web.Request) -> web.StreamResponse:
        """What the words mean and what to do."""
        summary = Summary(self._take_snapshot(), Filter())
        advice = {reason: ADVICE[reason] for reason in Reason}
        return await self._answer(request, "help.html", summary, {"advice": advice})

    async def _summary(self, chosen: Filter) -> Summary:
        summary = Summary(self._take_snapshot(), chosen)
        for _ in summary.steps():
            await asyncio.sleep(0)
        return summary

    async def _answer(
        self,
        request: web.Request,
        name: str,
        summary: Summary,
        context: dict[str, object],
        status: HTTPStatus = HTTPStatus.OK,
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=PAGE_HEADERS)
        response.content_type, response.charset = "text/html", "utf-8"
        everywhere = {
            "now": summary.snapshot.now,
            "process": summary.snapshot.process,
            "totals": summary.totals,
            "headline": headline(summary.totals),
        }
        body = pieces(template(name), {**self._site, **everywhere, **context})
        await send(request, response, body)
        return response


def _of_bucket(summary: Summary, found: RankedBucket) -> dict[str, object]:
    (view,) = summary.views([found])
    return {"view": view}


def _node_choices(known_statuses: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What can be chosen as a node's status: the value in the query, and what people read."""
    yield NOT_ONLINE, f"any but {ONLINE_STATUS}"
    for status in (*known_statuses, UNKNOWN_STATUS):
        yield status, status
