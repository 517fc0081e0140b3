"""The style, the script and the icon of the pages: files of this package, named by their content.

A browser may keep them for good: what changes gets another name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from importlib.resources import files

from aiohttp import hdrs, web

PREFIX = "/assets/"
_FOR_GOOD = "public, max-age=31536000, immutable"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served."""

    path: str  # relative to the site
    body: bytes
    content_type: str


def load_assets() -> Mapping[str, Asset]:
    """The files of the package by their plain names."""
    return {name: _asset(name) for name in ("page.css", "page.js", "icon.svg")}


def _asset(name: str) -> Asset:
    body = (files("exporter.status") / "static" / name).read_bytes()
    stem, _, ending = name.partition(".")
    digest = blake2b(body, digest_size=6).hexdigest()
    return Asset(f"{PREFIX[1:]}{stem}.{digest}.{ending}", body, _TYPES[ending])


def add_assets(app: web.Application, assets: Mapping[str, Asset]) -> None:
    """Serve them."""
    for asset in assets.values():
        app.router.add_get(f"/{asset.path}", _Served(asset).answer)


class _Served:
    """One file."""

    def __init__(self, asset: Asset) -> None:
        self._asset = asset

    async def answer(self, _request: web.Request) -> web.Response:
        asset = self._asset
        return web.Response(
            body=asset.body,
            content_type=asset.content_type,
            charset="utf-8",
            headers={hdrs.CACHE_CONTROL: _FOR_GOOD},
        )
