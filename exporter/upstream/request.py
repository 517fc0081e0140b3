"""Makes one attempt at a call: sends it, waits with a timeout, classifies errors, reports it.

Every request of an account goes through here. Whether to retry, and with which token, is decided by
the callers. The account's secrets are known here, so that no message quotes one.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from threading import Lock
from typing import TypeVar

import httpx

from exporter.blocking import in_thread
from exporter.clock import Clock
from exporter.model import ApiError, Reason
from exporter.upstream.events import Attempt, Call, Observer
from exporter.upstream.json_reader import LARGE_BODY
from exporter.upstream.parsing import MAX_MESSAGE_LENGTH, Parsed, printable_line, server_message
from exporter.upstream.server_info import ResponseHead, ServerInfo, http_date
from exporter.upstream.transport import (
    ACCEPT_ENCODING,
    FRESH_CONNECTION,
    URLS_KEPT,
    RawResponse,
    RequestFailed,
    Transport,
)

SHORTEST_SECRET = 4
"""Shorter secrets are ignored: they occur in texts by chance."""

SHORTEST_PIECE = 8
"""A text that ends with at least this many first characters of a secret counts as quoting it."""

SECRETS_PER_KIND = 4
"""Secrets kept per kind: an old token may still be in use, and quoted, after a renewal."""


class Secrets:
    """The newest secrets of each kind."""

    def __init__(self) -> None:
        self._held: dict[str, deque[str]] = {}

    def add(self, kind: str, secret: str) -> None:
        """Remember a secret. The oldest one of its kind may be dropped."""
        held = self._held.setdefault(kind, deque(maxlen=SECRETS_PER_KIND))
        if len(secret) >= SHORTEST_SECRET and secret not in held:
            held.append(secret)

    def take_over(self, previous: Secrets) -> None:
        """Also keep the secrets from before a reload, which may still be quoted."""
        for kind, before in previous._held.items():
            now = self._held.get(kind, ())
            self._held[kind] = deque([*before, *now], maxlen=SECRETS_PER_KIND)

    def are_quoted_in(self, text: str) -> bool:
        """Whether the text contains a secret, or ends inside one because it was truncated."""
        return any(
            form in text or _ends_within(text, form)
            for held in self._held.values()
            for secret in held
            for form in _forms(secret)
        )


def _forms(secret: str) -> set[str]:
    """The forms in which a message may quote a secret: as it is, or in JSON."""
    sent = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return sent | {printable_line(form) for form in sent}


def _ends_within(text: str, secret: str) -> bool:
    piece = secret[:SHORTEST_PIECE]
    begin = text.find(piece) if len(piece) == SHORTEST_PIECE else -1
    while begin >= 0 and not secret.startswith(text[begin:]):
        begin = text.find(piece, begin + 1)
    return begin >= 0


OK = 200
SUCCESSES = range(200, 300)
SERVER_ERRORS = range(500, 600)

REASONS = {
    400: Reason.BAD_REQUEST,
    401: Reason.UNAUTHORIZED,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    # Counts as no response: servers send a 408 before they close an idle connection, possibly while
    # a request is being sent.
    408: Reason.CONNECT,
    429: Reason.RATE_LIMITED,
}

T = TypeVar("T")

_one_large_body = Lock()
"""One large body is parsed at a time, so the event loop shares the GIL with one thread at most."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """An API call without its token, and the secrets that it contains."""

    call: Call
    method: str
    path: str  # after the base URL, percent-encoded
    body: bytes = field(default=b"", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    max_bytes: int | None = None  # limit for the response body; None: max_response_bytes
    any_2xx: bool = False  # whether any 2xx counts as a 200
    fresh_connection: bool = False  # whether it must not use an idle connection


class Requester:
    """Makes the attempts of one account."""

    def __init__(
        self,
        account: str,
        base_url: str,
        *,
        transport: Transport,
        timeout: float,
        max_response_bytes: int,
        user_agent: str,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._account = account
        # Cached, because parsing a URL is a large part of making a request.
        self._url = lru_cache(maxsize=URLS_KEPT)(lambda path: httpx.URL(base_url + path))
        self._transport = transport
        self.timeout = timeout
        self._max_response_bytes = max_response_bytes
        self._clock = clock
        self._observer = observer
        self._headers = lru_cache(maxsize=2)(partial(_headers, user_agent))
        self.secrets = Secrets()
        self.server_info = ServerInfo()

    async def attempt(
        self, api_request: ApiRequest, read: Callable[[bytes], Parsed[T]], token: str = ""
    ) -> T | ApiError:
        """The result of `read` for the body of a 200 (or of `any_2xx`), or an error.

        If the body is large, `read` runs in a thread.
        """
        request = self._request(api_request, token)
        self._hold_secrets(api_request, token)
        started = self._clock.monotonic()
        status: int | None = None
        result: T | ApiError
        try:
            async with self._clock.timeout(self.timeout):
                max_bytes = api_request.max_bytes or self._max_response_bytes
                note = partial(self._note_head, started)
                answer = await self._transport.send(request, max_bytes, note)
                status = answer.status
                result = await self._read(answer, read, SUCCESSES if api_request.any_2xx else (OK,))
            if isinstance(result, ApiError):
                result = self._presentable(result, answer.status)
        except RequestFailed as error:
            status, result = error.status, error.api_error
        except TimeoutError:
            result = ApiError(Reason.TIMEOUT, f"no response within {self.timeout:g}s")
        reason = result.reason if isinstance(result, ApiError) else None
        seconds = self._clock.monotonic() - started
        self._observer.attempted(Attempt(self._account, api_request.call, status, reason, seconds))
        return result

    def not_sent(self, call: Call, error: ApiError) -> None:
        """Report an attempt that failed before anything was sent."""
        self._observer.attempted(Attempt(self._account, call, None, error.reason, None))

    def retrying(self, call: Call) -> None:
        self._observer.retrying(self._account, call)

    def _note_head(self, started: float, head: ResponseHead) -> None:
        received = self._clock.now()
        self.server_info.note(head, received.monotonic - started, received)

    async def _read(
        self, answer: RawResponse, read: Callable[[bytes], Parsed[T]], good: Container[int]
    ) -> T | ApiError:
        """Parse a response, and report the schema drift in it."""
        if answer.status not in good:
            return self._status_error(answer)
        if len(answer.body) <= LARGE_BODY:
            parsed = read(answer.body)
        else:
            parsed = await in_thread(lambda: _read_alone(answer.body, read))
        if parsed.drift:
            self._observer.drifted(parsed.drift)
        return parsed.result

    def _request(self, api_request: ApiRequest, token: str) -> httpx.Request:
        """Create the request, with cached URL and headers.

        A stream instead of `content` skips httpx's inspection of the body, two thirds of the cost.
        """
        return httpx.Request(
            api_request.method,
            self._url(api_request.path),
            headers=self._headers(token),
            stream=httpx.ByteStream(api_request.body),
            extensions={FRESH_CONNECTION: api_request.fresh_connection},
        )

    def _hold_secrets(self, api_request: ApiRequest, token: str) -> None:
        """Remember the secrets before they are sent, because the response may quote them."""
        self.secrets.add("access token", token)
        for secret in api_request.secrets:
            self.secrets.add(api_request.call, secret)

    def _presentable(self, error: ApiError, status: int) -> ApiError:
        """Truncate the message, or replace it if it quotes a secret.

        It is replaced as a whole, because a secret may be quoted only in part or in another form.
        Truncation comes last, because a truncated secret might not be found.
        """
        message = error.message
        if self.secrets.are_quoted_in(message):
            message = f"HTTP {status}: message omitted because it contains a secret"
        return replace(error, message=message[:MAX_MESSAGE_LENGTH])

    def _status_error(self, answer: RawResponse) -> ApiError:
        reason = REASONS.get(answer.status, Reason.UNEXPECTED_STATUS)
        if answer.status in SERVER_ERRORS:
            reason = Reason.SERVER_ERROR
        said = server_message(answer.body)
        message = f"HTTP {answer.status}: {said}" if said else f"HTTP {answer.status}"
        retry_after = retry_after_seconds(answer.retry_after, self._clock.now().wall)
        return ApiError(reason, message, retry_after)


def _read_alone(body: bytes, read: Callable[[bytes], Parsed[T]]) -> Parsed[T]:
    with _one_large_body:
        return read(body)


def _headers(user_agent: str, token: str) -> httpx.Headers:
    """The headers of a request; without `Authorization` if the token is empty."""
    headers = {
        "User-Agent": user_agent,
        "Accept": "application/json",
        "Accept-Encoding": ACCEPT_ENCODING,
        "Content-Type": "application/json",
    }
    return httpx.Headers({**headers, "Authorization": f"Bearer {token}"} if token else headers)


def retry_after_seconds(header: str | None, wall: float) -> float | None:
    """Seconds from a Retry-After header, which RFC 9110 allows as seconds or as an HTTP date."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    moment = http_date(text)
    return None if moment is None else max(0.0, moment - wall)
