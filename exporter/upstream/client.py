"""The calls of one account: a poll is attempts, retries and a deadline, and ends in an Outcome.

A failure is a value here, never an exception. Which bucket is asked when, and what follows from an
outcome, is decided elsewhere; HTTP itself is spoken in `transport`.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt

from exporter.model import Bucket, DayStats, Failure, Fault, Outcome, Reading, Reason
from exporter.upstream.credentials import Credentials, NoToken
from exporter.upstream.events import Attempt, Call, Observer
from exporter.upstream.parsing import Guard, parse_stats, server_message
from exporter.upstream.transport import ACCEPT_ENCODING, Answer, Transport, Unanswered

if TYPE_CHECKING:
    from datetime import date
    from random import Random

    from exporter.clock import Clock
    from exporter.model import Timing
    from exporter.upstream.pace import Pace

MAX_ATTEMPTS = 3
BACK_OFF_BASE = 0.5  # seconds; doubles with each attempt, and chance takes any part of it
OK = 200
SERVER_ERRORS = range(500, 600)

REASONS = {
    400: Reason.BAD_REQUEST,
    401: Reason.UNAUTHORIZED,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    429: Reason.RATE_LIMITED,
}


_Result: TypeAlias = DayStats | Fault


class Client:
    """Asks an account's API."""

    def __init__(
        self,
        account: str,
        base_url: str,
        *,
        transport: Transport,
        credentials: Credentials,
        timing: Timing,
        guard: Guard,
        user_agent: str,
        pace: Pace,
        clock: Clock,
        chance: Random,
        observer: Observer,
    ) -> None:
        self._account = account
        self._base_url = base_url
        self._transport = transport
        self._credentials = credentials
        self._timing = timing
        self._guard = guard
        self._pace = pace
        self._clock = clock
        self._chance = chance
        self._observer = observer
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
            "Content-Type": "application/json",
        }
        self._retrying = AsyncRetrying(
            stop=stop_after_attempt(MAX_ATTEMPTS),
            retry=retry_if_result(lambda result: isinstance(result, Fault) and result.is_passing),
            wait=self._back_off,
            sleep=self._sleep_before_retry,
            retry_error_callback=_last_result,
        )

    async def poll(self, bucket: Bucket) -> Outcome:
        """Ask for today's statistics of a bucket; it takes a poll interval at the most."""
        started = self._clock.now()
        result: _Result
        try:
            async with self._clock.timeout(self._timing.poll_interval):
                result = await self._retrying.copy()(self._with_good_token, bucket, started.day)
        except TimeoutError:
            result = Fault(Reason.TIMEOUT, "the poll did not end within its interval")
        ended = self._clock.now()
        duration = ended.monotonic - started.monotonic
        if isinstance(result, Fault):
            return Failure(result, ended, duration)
        return Reading(result, ended, duration)

    async def _with_good_token(self, bucket: Bucket, day: date) -> _Result:
        try:
            token = await self._credentials.token()
            result = await self._attempt(bucket, day, token)
            if isinstance(result, DayStats) or result.reason is not Reason.UNAUTHORIZED:
                return result
            other = await self._credentials.renewed(token)
            if other is None:
                return result
            await self._announce_retry()
            return await self._attempt(bucket, day, other)
        except NoToken as error:
            self._observer.attempted(
                Attempt(self._account, Call.STATS, None, error.fault.reason, None)
            )
            return error.fault

    async def _attempt(self, bucket: Bucket, day: date, token: str) -> _Result:
        request = self._stats_request(bucket, day, token)
        started = self._clock.monotonic()
        status: int | None = None
        try:
            async with self._clock.timeout(self._timing.poll_timeout):
                answer = await self._transport.send(request)
            status = answer.status
            result = self._result(answer, day, token)
        except Unanswered as error:
            status, result = error.status, error.fault
        except TimeoutError:
            result = Fault(Reason.TIMEOUT, f"no answer within {self._timing.poll_timeout:g}s")
        reason = result.reason if isinstance(result, Fault) else None
        seconds = self._clock.monotonic() - started
        self._observer.attempted(Attempt(self._account, Call.STATS, status, reason, seconds))
        return result

    def _stats_request(self, bucket: Bucket, day: date, token: str) -> httpx.Request:
        return httpx.Request(
            "POST",
            f"{self._base_url}/bucket/{quote(bucket.id, safe='')}/stats",
            headers={**self._headers, "Authorization": f"Bearer {token}"},
            content=f'{{"day":"{day.isoformat()}T00:00:00.000Z"}}'.encode(),
        )

    def _result(self, answer: Answer, day: date, token: str) -> _Result:
        # A server that quotes the token back must not bring it into a message.
        body = answer.body.replace(token.encode(), b"<token>")
        if answer.status != OK:
            return self._fault(answer, server_message(body))
        parsed = parse_stats(body, day, self._guard)
        if parsed.drift:
            self._observer.drifted(parsed.drift)
        return parsed.result

    def _fault(self, answer: Answer, said: str) -> Fault:
        reason = REASONS.get(answer.status, Reason.UNEXPECTED_STATUS)
        if answer.status in SERVER_ERRORS:
            reason = Reason.SERVER_ERROR
        message = f"HTTP {answer.status}: {said}" if said else f"HTTP {answer.status}"
        return Fault(reason, message, _retry_after(answer.retry_after, self._clock.now().wall))

    async def _announce_retry(self) -> None:
        self._observer.retrying(self._account, Call.STATS)
        await self._pace.turn()

    async def _sleep_before_retry(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        await self._announce_retry()

    def _back_off(self, state: RetryCallState) -> float:
        """Full jitter: any part of a span that doubles."""
        return self._chance.uniform(0, BACK_OFF_BASE * 2 ** (state.attempt_number - 1))


def _last_result(state: RetryCallState) -> _Result:
    if state.outcome is None:
        raise RuntimeError("tenacity gave up without an attempt")
    result: _Result = state.outcome.result()
    return result


def _retry_after(header: str | None, wall: float) -> float | None:
    """Seconds from a Retry-After in either form of RFC 9110: delay-seconds, or an HTTP date."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall)
    except (ValueError, OverflowError):
        return None
