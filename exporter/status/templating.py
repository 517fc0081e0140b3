"""Pages out of templates: everything is escaped, a name that is not there is a bug.

How numbers and moments read is `status.words`; what a page says is decided by who renders it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from exporter.model import ONLINE_STATUS
from exporter.status import text
from exporter.status.sparkline import BAR, HEIGHT, WIDTH, poll_kind, poll_words

PIECE = 16 * 1024
"""Characters of a page that are made at a time: two or three milliseconds' work."""


def bucket_query(bucket_id: str) -> str:
    """The query that names a bucket, whatever characters its id has."""
    return f"id={quote(bucket_id, safe='', errors='replace')}"


def account_query(name: str) -> str:
    """The query that chooses an account's buckets."""
    return f"account={quote(name, safe='', errors='replace')}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("exporter.status"),
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
        poll_words,
    ):
        environment.filters[reading.__name__] = reading
    environment.globals.update(
        sparkline_size={"bar": BAR, "height": HEIGHT, "width": WIDTH}, online=ONLINE_STATUS
    )
    return environment


def template(name: str) -> Template:
    """A template of this package, compiled once."""
    return _environment().get_template(name)


def pieces(page: Template, context: Mapping[str, object]) -> Iterator[bytes]:
    """The page in pieces, made while they are read."""
    gathered: list[str] = []
    size = 0
    for piece in page.generate(context):
        gathered.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield "".join(gathered).encode(errors="replace")
            gathered, size = [], 0
    yield "".join(gathered).encode(errors="replace")
