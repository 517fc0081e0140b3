"""Filters, search and paging of buckets, read from a query string. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from exporter.model import MAX_LABEL_LENGTH, Bucket, Node
from exporter.polling.targets import is_not_online
from exporter.status.state import Health, RankedBucket, shown_nodes, status_name

PAGE_SIZE = 50
_MAX_DIGITS = 9

NOT_ONLINE = "not-online"
"""Stands for any node status but ONLINE."""


@dataclass(frozen=True, slots=True)
class Filter:
    """The filters of a query. An empty or invalid value matches everything."""

    state: Health | None = None
    account: str = ""
    node: str = ""  # a node status as in the metrics, or NOT_ONLINE
    search: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filter:
        """Parse a query string. Invalid values are ignored."""
        state, page = query.get("state", ""), query.get("page", "")
        is_number = page.isascii() and page.isdigit() and len(page) <= _MAX_DIGITS
        return cls(
            state=Health(state) if state in set(Health) else None,
            account=query.get("account", ""),
            node=query.get("node", ""),
            search=query.get("q", "").strip()[:MAX_LABEL_LENGTH],
            page=max(1, int(page)) if is_number else 1,
        )

    @property
    def is_everything(self) -> bool:
        return replace(self, page=1) == Filter()

    def query(self, page: int = 1) -> str:
        """The query string for another page with the same filters."""
        pairs = {
            "state": self.state or "",
            "account": self.account,
            "node": self.node,
            "q": self.search,
            "page": str(page) if page > 1 else "",
        }
        said = {name: value for name, value in pairs.items() if value}
        return urlencode(said, errors="replace")

    def matches(
        self, ranked: RankedBucket, monotonic: float, known_statuses: Sequence[str]
    ) -> bool:
        """Whether a bucket matches the filters."""
        if self.state is not None and ranked.health is not self.state:
            return False
        if self.account and ranked.status.bucket.account != self.account:
            return False
        if not (self.node or self.search):
            return True
        nodes = shown_nodes(ranked.status, monotonic)
        if self.node and not any(self._has_status(node, known_statuses) for node in nodes):
            return False
        return not self.search or self._is_found(ranked, nodes)

    def _has_status(self, node: Node, known: Sequence[str]) -> bool:
        if self.node == NOT_ONLINE:
            return is_not_online(node)
        return status_name(node, known) == self.node

    def _is_found(self, ranked: RankedBucket, nodes: Sequence[Node]) -> bool:
        sought = self.search.casefold()
        texts = [
            *_texts(ranked.status.bucket),
            *(t for each in nodes for t in (each.ip, each.host)),
        ]
        newest = ranked.status.state.newest
        error = getattr(newest, "error", None)
        if error is not None:
            texts += [error.reason, error.message]
        return sought in "\n".join(texts).casefold()


def _texts(bucket: Bucket) -> Iterator[str]:
    yield from (bucket.name, bucket.id, bucket.region, bucket.storage_type)
    yield from bucket.labels.values()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the matching buckets."""

    number: int  # from 1
    count: int  # of pages, at least 1
    matches: int
    ranked: tuple[RankedBucket, ...]

    @classmethod
    def of(cls, matches: Sequence[RankedBucket], number: int) -> Page:
        """Page `number`, or the last one if there are fewer."""
        count = max(1, -(-len(matches) // PAGE_SIZE))
        number = min(number, count)
        first = (number - 1) * PAGE_SIZE
        return cls(number, count, len(matches), tuple(matches[first : first + PAGE_SIZE]))
