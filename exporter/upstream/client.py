"""The calls of one account: attempts, retries and a deadline, until there is a result or a fault.

A failure is a value here, never an exception. Which bucket is asked when, and what follows from an
outcome, is decided elsewhere; a single attempt is made in `requester`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from random import Random
from typing import TypeVar
from urllib.parse import quote

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt

from exporter.clock import Clock
from exporter.model import ApiError, Bucket, DayStats, FailedPoll, GoodPoll, PollResult, Reason
from exporter.upstream.credentials import Credentials, NoToken
from exporter.upstream.discovery import MAX_LISTING_BYTES, TOO_LARGE, Listing, parse_listing
from exporter.upstream.events import Call, Observer
from exporter.upstream.parsing import AnswerLimits, Parsed, parse_stats
from exporter.upstream.rate_limit import RequestTurns
from exporter.upstream.request import ApiRequest, Requester

MAX_ATTEMPTS = 3
BACK_OFF_BASE = 0.5  # seconds; doubles with each attempt, and chance takes any part of it

T = TypeVar("T")


class Client:
    """Asks an account's API; a call takes `deadline` seconds at the most, all attempts included."""

    def __init__(
        self,
        requester: Requester,
        credentials: Credentials,
        *,
        answer_limits: AnswerLimits,
        deadline: float,
        rate_limiter: RequestTurns,
        clock: Clock,
        chance: Random,
        observer: Observer,
    ) -> None:
        self._requester = requester
        self._credentials = credentials
        self._answer_limits = answer_limits
        self._deadline = deadline
        self._rate_limiter = rate_limiter
        self._clock = clock
        self._chance = chance
        self._observer = observer
        self._retrying = AsyncRetrying(
            stop=stop_after_attempt(MAX_ATTEMPTS),
            retry=retry_if_result(_is_passing),
            wait=self._back_off,
            before_sleep=self._count_retry,
            sleep=self._sleep_before_retry,
            retry_error_callback=_last_result,
        )

    async def poll(self, bucket: Bucket) -> PollResult:
        started = self._clock.now()
        result = await self.day_stats(bucket.id, started.day)
        ended = self._clock.now()
        duration = ended.monotonic - started.monotonic
        if isinstance(result, ApiError):
            return FailedPoll(result, ended, duration)
        return GoodPoll(result, ended, duration)

    async def day_stats(self, bucket_id: str, day: date) -> DayStats | ApiError:
        """Ask for the statistics of a bucket on a UTC day."""
        api_request = _stats_request(bucket_id, day)
        return await self._ask(
            api_request, lambda body: parse_stats(body, day, self._answer_limits)
        )

    async def buckets(self, workspace_id: str | None) -> Listing | ApiError:
        """List the buckets that the account can see, in one workspace or in all."""
        query = "" if workspace_id is None else f"?workspaceId={quote(workspace_id, safe='')}"
        api_request = ApiRequest(Call.LIST, "GET", f"/bucket{query}", max_bytes=MAX_LISTING_BYTES)
        result = await self._ask(api_request, parse_listing)
        is_too_large = isinstance(result, ApiError) and result.reason is Reason.TOO_LARGE
        return TOO_LARGE if is_too_large else result

    async def _ask(
        self, api_request: ApiRequest, read: Callable[[bytes], Parsed[T]]
    ) -> T | ApiError:
        """What comes of a call: nearly always of one attempt, which has a deadline of its own."""
        started = self._clock.monotonic()
        made: list[tuple[str, T | ApiError]] = []
        token = self._credentials.at_hand()
        if token is not None:
            made.append((token, await self._requester.attempt(api_request, read, token)))
        if not made or _is_passing(made[0][1]) or _is_refused(made[0][1]):
            result = await self._pursued(api_request, read, made, started + self._deadline)
        else:
            result = made[0][1]
        if not isinstance(result, ApiError) and self._clock.monotonic() - started > self._deadline:
            # No timer goes off where the machine sleeps.
            return ApiError(Reason.TIMEOUT, f"the answer was not read within {self._deadline:g}s")
        return result

    async def _pursued(
        self,
        api_request: ApiRequest,
        read: Callable[[bytes], Parsed[T]],
        made: list[tuple[str, T | ApiError]],
        until: float,
    ) -> T | ApiError:
        """What comes of retries and of waiting for tokens, until a monotonic time."""
        results: list[T | ApiError] = []

        async def attempt(api_request: ApiRequest) -> T | ApiError:
            if len(results) == MAX_ATTEMPTS - 1 and _is_unconnected(results[-1]):
                # Two may have met kept connections that were dead already; the last must not.
                api_request = replace(api_request, fresh_connection=True)
            results.append(await self._with_good_token(api_request, read, made))
            return results[-1]

        result: T | ApiError
        try:
            async with self._clock.timeout(max(0.0, until - self._clock.monotonic())):
                result = await self._retrying.copy()(attempt, api_request)
        except TimeoutError:
            text = (
                f"no answer within {self._deadline:g}s, retries and the wait for a token included"
            )
            result = ApiError(Reason.TIMEOUT, text)
        return result

    async def _with_good_token(
        self,
        api_request: ApiRequest,
        read: Callable[[bytes], Parsed[T]],
        made: list[tuple[str, T | ApiError]],
    ) -> T | ApiError:
        """The next attempt, or the one in `made`, and another where its token was refused."""
        try:
            token, result = made.pop() if made else await self._attempt(api_request, read)
            other = await self._other_token(token) if _is_refused(result) else None
        except NoToken as error:
            self._requester.not_sent(api_request.call, error.fault)
            return error.fault
        if other is None:
            return result
        self._requester.retrying(api_request.call)
        await self._rate_limiter.acquire()
        return await self._requester.attempt(api_request, read, other)

    async def _attempt(
        self, api_request: ApiRequest, read: Callable[[bytes], Parsed[T]]
    ) -> tuple[str, T | ApiError]:
        token = self._credentials.at_hand()
        if token is None:
            with self._rate_limiter.released():
                token = await self._credentials.token()
            await self._rate_limiter.acquire()
        return token, await self._requester.attempt(api_request, read, token)

    async def _other_token(self, refused: str) -> str | None:
        with self._rate_limiter.released():
            return await self._credentials.refresh(refused)

    def _count_retry(self, state: RetryCallState) -> None:
        self._requester.retrying(state.args[0].call)

    async def _sleep_before_retry(self, seconds: float) -> None:
        with self._rate_limiter.released():
            await self._clock.sleep(seconds)
        await self._rate_limiter.acquire()

    def _back_off(self, state: RetryCallState) -> float:
        """Full jitter: any part of a span that doubles."""
        return self._chance.uniform(0, BACK_OFF_BASE * 2 ** (state.attempt_number - 1))


def _stats_request(bucket_id: str, day: date) -> ApiRequest:
    body = f'{{"day":"{day.isoformat()}T00:00:00.000Z"}}'.encode()
    return ApiRequest(Call.STATS, "POST", f"/bucket/{quote(bucket_id, safe='')}/stats", body)


def _is_passing(result: object) -> bool:
    return isinstance(result, ApiError) and result.is_passing


def _is_unconnected(result: object) -> bool:
    return isinstance(result, ApiError) and result.reason is Reason.CONNECT


def _is_refused(result: object) -> bool:
    return isinstance(result, ApiError) and result.reason is Reason.UNAUTHORIZED


def _last_result(state: RetryCallState) -> object:
    if state.outcome is None:
        raise RuntimeError("tenacity gave up without an attempt")
    return state.outcome.result()
