"""The HTML pages: overview, one bucket, help.

They are rendered from a snapshot with the markup in `templates`. They load nothing from other
sites, and the headers forbid it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import hdrs, web

from exporter.blocking import in_thread
from exporter.model import MAX_LABEL_LENGTH, ONLINE_STATUS, UNKNOWN_STATUS, Reason
from exporter.status import text
from exporter.status.api import add_status_api
from exporter.status.filters import NOT_ONLINE, Filter, Page
from exporter.status.snapshot import Snapshot
from exporter.status.state import Health, RankedBucket
from exporter.status.summary import Summary, headline, notices
from exporter.status.text import ADVICE
from exporter.status.view import BAR, HEIGHT, WIDTH, poll_kind, poll_text
from exporter.web.limits import ConcurrencyLimit, send

if TYPE_CHECKING:  # imported at run time when the first page is requested
    from jinja2 import Environment, Template

PREFIX = "/assets/"
_CACHE_FOREVER = "public, max-age=31536000, immutable"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file as it is served."""

    path: str  # relative to the root URL
    body: bytes
    content_type: str


def load_assets() -> Mapping[str, Asset]:
    """The static files, by file name."""
    return {name: _asset(name) for name in ("page.css", "page.js", "icon.svg")}


def _asset(name: str) -> Asset:
    body = (files("exporter.status") / "static" / name).read_bytes()
    stem, _, ending = name.partition(".")
    digest = blake2b(body, digest_size=6).hexdigest()
    return Asset(f"{PREFIX[1:]}{stem}.{digest}.{ending}", body, _TYPES[ending])


def add_assets(app: web.Application, assets: Mapping[str, Asset]) -> None:
    for asset in assets.values():
        app.router.add_get(f"/{asset.path}", _Served(asset).answer)


class _Served:
    """Serves one static file."""

    def __init__(self, asset: Asset) -> None:
        self._asset = asset

    async def answer(self, _request: web.Request) -> web.Response:
        asset = self._asset
        return web.Response(
            body=asset.body,
            content_type=asset.content_type,
            charset="utf-8",
            headers={hdrs.CACHE_CONTROL: _CACHE_FOREVER},
        )


PIECE = 16 * 1024
"""Characters of a page that are rendered at a time: two or three milliseconds of work."""


def bucket_query(bucket_id: str) -> str:
    """The query string for a bucket, whatever characters its id contains."""
    return f"id={quote(bucket_id, safe='', errors='replace')}"


def account_query(name: str) -> str:
    """The query string for the buckets of an account."""
    return f"account={quote(name, safe='', errors='replace')}"


def load_templates() -> Mapping[str, str]:
    """The templates by name. Read at the start, because an upgrade may replace the files later."""
    folder = files("exporter.status") / "templates"
    return {file.name: file.read_text("utf-8") for file in folder.iterdir()}


def environment_of(sources: Mapping[str, str]) -> Environment:
    """The compiled templates."""
    from jinja2 import (  # noqa: PLC0415 - 4 MB that are only needed for pages
        DictLoader,
        Environment,
        StrictUndefined,
    )

    environment = Environment(
        loader=DictLoader(sources),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for reading in (
        text.counted,
        text.latency,
        text.percent,
        text.relative,
        text.rfc3339,
        text.shown,
        text.span,
        text.utc,
        account_query,
        bucket_query,
        poll_kind,
        poll_text,
    ):
        environment.filters[reading.__name__] = reading
    environment.globals.update(
        sparkline_size={"bar": BAR, "height": HEIGHT, "width": WIDTH},
        online=ONLINE_STATUS,
        max_label_length=MAX_LABEL_LENGTH,
    )
    for name in sources:
        environment.get_template(name)
    return environment


def pieces(page: Template, context: Mapping[str, object]) -> Iterator[bytes]:
    """Render the page lazily, in pieces."""
    gathered: list[str] = []
    size = 0
    for piece in page.generate(context):
        gathered.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield "".join(gathered).encode(errors="replace")
            gathered, size = [], 0
    yield "".join(gathered).encode(errors="replace")


PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self';"
    " img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    hdrs.CACHE_CONTROL: "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
REFRESH_SECONDS = 5
NODES_IN_A_ROW = 12
"""Nodes shown per bucket in the overview; the bucket's own page shows all."""

NODES_DOWN_SHOWN = 5
"""Nodes not online that the overview lists, those in the most buckets first."""

ACCOUNTS_SHOWN = 100


def add_status_routes(
    app: web.Application,
    limit: ConcurrencyLimit,
    telemetry_path: str,
    *,
    take_snapshot: Callable[[], Snapshot],
) -> None:
    """Serve the JSON, and the pages unless the telemetry path is `/`."""
    add_status_api(app, take_snapshot, limit)
    if telemetry_path == "/":
        return
    pages = _Pages(take_snapshot, limit, telemetry_path)
    app.router.add_get("/", pages.overview)
    app.router.add_get("/bucket", pages.bucket)
    app.router.add_get("/help", pages.help)
    add_assets(app, pages.assets)


class _Pages:
    """Handles requests for pages."""

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
        self._sources = load_templates()
        self._environment: Environment | None = None

    async def overview(self, request: web.Request) -> web.StreamResponse:
        """The buckets that match the query, the worst first."""
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
        """The states and reasons, with their remedies."""
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
        page = await self._template(name)
        body = pieces(page, {**self._site, **everywhere, **context})
        await send(request, response, body)
        return response

    async def _template(self, name: str) -> Template:
        """Compile the templates in a thread when the first page is requested, since it is slow."""
        if self._environment is None:
            self._environment = await in_thread(partial(environment_of, self._sources))
        return self._environment.get_template(name)


def _of_bucket(summary: Summary, found: RankedBucket) -> dict[str, object]:
    (view,) = summary.views([found])
    return {"view": view}


def _node_choices(known_statuses: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The choices of the node filter: the value in the query and its text."""
    yield NOT_ONLINE, f"not {ONLINE_STATUS}"
    for status in (*known_statuses, UNKNOWN_STATUS):
        yield status, status
