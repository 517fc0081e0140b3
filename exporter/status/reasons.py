"""Each reason for failing in words: what happened, and what to do about it.

The one place for this wording: pages, JSON and docs/metrics.md say the same. Code is in backticks.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from exporter.model import Reason


class Advice(NamedTuple):
    """A reason in words."""

    what: str
    remedy: str


_IF_HONEST = "raise it, if the answer is honest"

ADVICE: Mapping[Reason, Advice] = MappingProxyType(
    {
        Reason.BAD_REQUEST: Advice(
            "400", "near midnight: the clocks disagree, it passes. Else: is `base_url` right?"
        ),
        Reason.UNAUTHORIZED: Advice("401, or no token to send", "renew the token"),
        Reason.FORBIDDEN: Advice("403", "the token's user cannot see the bucket's workspace"),
        Reason.NOT_FOUND: Advice("404", "is the id right? Was the bucket deleted?"),
        Reason.RATE_LIMITED: Advice(
            "429; the account is paused", "fewer buckets, a longer interval, or a higher quota"
        ),
        Reason.SERVER_ERROR: Advice("5xx, three attempts", "wait; ask Flashback"),
        Reason.UNEXPECTED_STATUS: Advice(
            "any other status; redirects are never followed", "is `base_url` right?"
        ),
        Reason.UNSUCCESSFUL: Advice("200 with `success: false`", "read the message in the log"),
        Reason.MALFORMED: Advice(
            "an answer that is not what the API documents", "a proxy in between?"
        ),
        Reason.TOO_LARGE: Advice(
            "more than `max_response_bytes`; of a listing, 100,000 entries or 98 MiB",
            f"{_IF_HONEST}; list one workspace per account",
        ),
        Reason.TOO_MANY_NODES: Advice(
            "more nodes than `max_nodes_per_bucket`, or more than ten rows for each of so many",
            _IF_HONEST,
        ),
        Reason.TIMEOUT: Advice(
            "no answer within `poll_timeout`", "raise it, or look at the network"
        ),
        Reason.CONNECT: Advice(
            "no connection (DNS included), or one that closed before the whole answer",
            "look at the network",
        ),
        Reason.TLS: Advice(
            "no trusted TLS connection", "certificates, a proxy that intercepts, the clock"
        ),
        Reason.OVERDUE: Advice(
            "stale though no poll failed",
            "the exporter is too slow: look at `flashback_exporter_poll_lag_seconds`",
        ),
        Reason.INTERNAL: Advice(
            "this machine could not make a connection", "file descriptors, ports, memory"
        ),
    }
)
