"""`/api/v1/status`: the content of the pages as JSON. docs/status.md describes it.

The response is made in pieces, so that ten thousand buckets do not block the event loop. Times are
RFC 3339 in UTC, durations are seconds and ratios are 0 to 1, like the metrics' units.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import TypeAlias

from aiohttp import hdrs, web

from exporter.model import DayStats, Instant, Node
from exporter.polling.targets import PollRecord
from exporter.status.filters import Filter
from exporter.status.snapshot import AccountStatus, DiscoveryStatus, Process, Snapshot
from exporter.status.state import Health, Totals
from exporter.status.summary import Summary
from exporter.status.text import rfc3339
from exporter.status.view import BucketView, Moment
from exporter.web.limits import ConcurrencyLimit, send

JsonObject: TypeAlias = dict[str, object]


def process_object(process: Process, now: Instant) -> JsonObject:
    config = process.config
    return {
        "time": rfc3339(now.wall),
        "version": process.version,
        "healthy": process.is_healthy,
        "ready": process.is_ready,
        "poll_lag_seconds": process.lag,
        "shard": {"ordinal": process.shard_ordinal, "total": process.shard_total},
        "config": {
            "last_reload_successful": config.refused is None,
            "loaded": rfc3339(config.loaded),
            "refused": _time(config.refused),
            "problems": config.problems,
        },
    }


def summary_object(totals: Totals) -> JsonObject:
    return {
        "buckets": totals.buckets,
        **{health.value: totals.by_health[health] for health in Health},
        "stale": totals.stale,
        "reasons": {reason.value: count for reason, count in sorted(totals.reasons.items())},
        "nodes": totals.nodes,
        "nodes_not_online": totals.not_online,
    }


def account_object(account: AccountStatus, buckets: int) -> JsonObject:
    """The object of an account; `buckets` is the number of its polled buckets."""
    discovery = account.discovery
    return {
        "name": account.name,
        "buckets": buckets,
        "paused_until": _time(account.paused_until),
        "token_expiry": _time(account.token_expiry),
        "discovery": None if discovery is None else _discovery(discovery),
    }


def _discovery(discovery: DiscoveryStatus) -> JsonObject:
    error, success = discovery.error, discovery.last_success
    return {
        "tried": discovery.was_tried,
        "up": discovery.was_tried and error is None,
        "buckets": discovery.found,
        "last_success": _time(success and success.wall),
        "reason": None if error is None else error.reason.value,
        "message": None if error is None else error.message,
    }


def bucket_object(view: BucketView) -> JsonObject:
    bucket = view.bucket
    return {
        "id": bucket.id,
        "name": bucket.name,
        "account": bucket.account,
        "labels": dict(bucket.labels),
        "storage_type": bucket.storage_type,
        "region": bucket.region,
        "workspace_id": bucket.workspace_id,
        "state": view.health.value,
        "stale": view.is_stale,
        **_trouble(view),
        "last_success": _moment(view.last_success),
        "last_poll": _moment(view.last_poll),
        "last_poll_duration_seconds": view.poll_duration,
        "next_poll": _moment(view.next_poll_at),
        "polling": view.next_poll.is_running,
        "poll_interval_seconds": view.timing.poll_interval,
        "stale_after_seconds": view.timing.stale_after,
        "day": None if view.stats is None else view.stats.day.isoformat(),
        "nodes": [_node(node) for node in view.nodes],
        "nodes_not_online": view.not_online,
        "previous_day": None if view.previous_day is None else _previous_day(view.previous_day),
        "polls": [_poll(poll) for poll in view.polls],
    }


def _trouble(view: BucketView) -> JsonObject:
    trouble = view.trouble
    return {
        "reason": None if trouble is None else trouble.reason.value,
        "meaning": None if trouble is None else trouble.advice.what,
        "remedy": None if trouble is None else trouble.advice.remedy,
        "message": None if trouble is None else trouble.message,
    }


def _node(node: Node) -> JsonObject:
    return {
        "ip": node.ip,
        "host": node.host,
        "status": node.status,
        "version": node.version,
        "uptime_ratio": node.uptime_ratio,
        "latency_average_seconds": node.latency_average_seconds,
        "latency_last_seconds": node.latency_last_seconds,
        "last_updated": _time(node.last_updated),
    }


def _previous_day(stats: DayStats) -> JsonObject:
    nodes = [
        {
            "ip": node.ip,
            "host": node.host,
            "uptime_ratio": node.uptime_ratio,
            "latency_average_seconds": node.latency_average_seconds,
        }
        for node in stats.nodes
    ]
    return {"day": stats.day.isoformat(), "nodes": nodes}


def _poll(poll: PollRecord) -> JsonObject:
    return {
        "ended": rfc3339(poll.ended),
        "reason": poll.reason,
        "duration_seconds": poll.duration,
        "nodes_not_online": poll.nodes_not_online,
    }


def _moment(moment: Moment | None) -> str | None:
    return None if moment is None else rfc3339(moment.wall)


def _time(wall: float | None) -> str | None:
    return None if wall is None else rfc3339(wall)


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
    app.router.add_get(PATH, _StatusApi(take_snapshot, limit).answer)


class _StatusApi:
    """Handles requests for the JSON."""

    def __init__(self, take_snapshot: Callable[[], Snapshot], limit: ConcurrencyLimit) -> None:
        self._take_snapshot = take_snapshot
        self._limit = limit

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """All buckets, those that match the query's filters, or only `bucket_id`."""
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
        {"error": "bucket not found"}, status=HTTPStatus.NOT_FOUND, headers=HEADERS
    )


def _document(summary: Summary) -> Iterator[bytes]:
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
