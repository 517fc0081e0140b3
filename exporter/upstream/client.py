"""The calls of one account, each with retries and a deadline.

A failure is a value, never an exception. `request` makes a single attempt. `polling` decides when
to poll a bucket and what to do with the result.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from random import Random
from typing import TypeVar
from urllib.parse import quote

from exporter.clock import Clock
from exporter.model import ApiError, Bucket, DayStats, FailedPoll, GoodPoll, PollResult, Reason
from exporter.upstream.credentials import Credentials, NoToken
from exporter.upstream.discovery import MAX_LISTING_BYTES, TOO_LARGE, ListResponse, parse_listing
from exporter.upstream.events import Call
from exporter.upstream.parsing import Parsed, ResponseLimits, parse_stats
from exporter.upstream.rate_limit import RequestTurns
from exporter.upstream.request import ApiRequest, Requester

MAX_ATTEMPTS = 3
BACKOFF_BASE = 0.5  # seconds; doubles with each attempt

TIMEOUT_MARGIN = 0.25
"""Minimum seconds between the timeout of an attempt and that of its call.

If `poll_timeout` equals `poll_interval`, the attempt times out first and is counted.
"""

T = TypeVar("T")


class Client:
    """Calls an account's API. A call takes at most `deadline` seconds, including its retries."""

    def __init__(
        self,
        requester: Requester,
        credentials: Credentials,
        *,
        response_limits: ResponseLimits,
        deadline: float,
        turns: RequestTurns,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._requester = requester
        self._credentials = credentials
        self._response_limits = response_limits
        self._deadline = deadline
        self._cut_off = max(deadline, requester.timeout + TIMEOUT_MARGIN)
        self._turns = turns
        self._clock = clock
        self._rng = rng

    async def poll(self, bucket: Bucket) -> PollResult:
        started = self._clock.now()
        result = await self.day_stats(bucket.id, started.day)
        ended = self._clock.now()
        duration = ended.monotonic - started.monotonic
        if isinstance(result, ApiError):
            return FailedPoll(result, ended, duration)
        return GoodPoll(result, ended, duration)

    async def day_stats(self, bucket_id: str, day: date) -> DayStats | ApiError:
        """Request the statistics of a bucket on a UTC day."""
        api_request = _stats_request(bucket_id, day)
        return await self._ask(
            api_request, lambda body: parse_stats(body, day, self._response_limits)
        )

    async def buckets(self, workspace_id: str | None) -> ListResponse | ApiError:
        """List the buckets that the account can access, in one workspace or in all."""
        query = "" if workspace_id is None else f"?workspaceId={quote(workspace_id, safe='')}"
        api_request = ApiRequest(Call.LIST, "GET", f"/bucket{query}", max_bytes=MAX_LISTING_BYTES)
        result = await self._ask(api_request, parse_listing)
        is_too_large = isinstance(result, ApiError) and result.reason is Reason.TOO_LARGE
        return TOO_LARGE if is_too_large else result

    async def _ask(
        self, api_request: ApiRequest, read: Callable[[bytes], Parsed[T]]
    ) -> T | ApiError:
        """Make a call, including its retries."""
        started = self._clock.monotonic()
        result: T | ApiError
        try:
            async with self._clock.timeout(self._cut_off):
                result = await self._with_retries(api_request, read)
        except TimeoutError:
            text = (
                f"no response within {self._deadline:g}s,"
                " including retries and the wait for a token"
            )
            return ApiError(Reason.TIMEOUT, text)
        if not isinstance(result, ApiError) and self._clock.monotonic() - started > self._deadline:
            # Timers do not run while the machine is suspended, but this clock does.
            return ApiError(Reason.TIMEOUT, f"the response was not read within {self._deadline:g}s")
        return result

    async def _with_retries(
        self, api_request: ApiRequest, read: Callable[[bytes], Parsed[T]]
    ) -> T | ApiError:
        # Not tenacity's loop: it would take an eighth of the CPU time of a poll.
        number = 1
        while True:
            result = await self._attempt(api_request, read)
            if number == MAX_ATTEMPTS or not _is_transient(result):
                return result
            self._requester.retrying(api_request.call)
            async with self._without_turn():
                await self._clock.sleep(self._backoff(number))
            number += 1
            if number == MAX_ATTEMPTS and _is_connect_error(result):
                # The first two attempts may have used idle connections that were already dead.
                api_request = replace(api_request, fresh_connection=True)

    async def _attempt(
        self, api_request: ApiRequest, read: Callable[[bytes], Parsed[T]]
    ) -> T | ApiError:
        """Make one attempt, and repeat it with another token after a 401."""
        try:
            token = await self._credentials.token(self._without_turn)
            result = await self._requester.attempt(api_request, read, token)
            if not _is_unauthorized(result):
                return result
            with self._turns.released():
                other = await self._credentials.refresh(token)
        except NoToken as error:
            self._requester.not_sent(api_request.call, error.api_error)
            return error.api_error
        if other is None:
            return result
        self._requester.retrying(api_request.call)
        await self._turns.acquire()
        return await self._requester.attempt(api_request, read, other)

    @asynccontextmanager
    async def _without_turn(self) -> AsyncIterator[None]:
        """Give the request slot back while the body runs, then wait for another one."""
        with self._turns.released():
            yield
        await self._turns.acquire()

    def _backoff(self, number: int) -> float:
        """Seconds before the next attempt, with full jitter: from 0 to a limit that doubles."""
        return self._rng.uniform(0, BACKOFF_BASE * 2 ** (number - 1))


def _stats_request(bucket_id: str, day: date) -> ApiRequest:
    body = f'{{"day":"{day.isoformat()}T00:00:00.000Z"}}'.encode()
    return ApiRequest(Call.STATS, "POST", f"/bucket/{quote(bucket_id, safe='')}/stats", body)


def _is_transient(result: object) -> bool:
    return isinstance(result, ApiError) and result.is_transient


def _is_connect_error(result: object) -> bool:
    return isinstance(result, ApiError) and result.reason is Reason.CONNECT


def _is_unauthorized(result: object) -> bool:
    return isinstance(result, ApiError) and result.reason is Reason.UNAUTHORIZED
