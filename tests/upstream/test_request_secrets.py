"""Recognizing secrets in texts."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import ApiError, Reason
from exporter.upstream.events import Call
from exporter.upstream.login import LoginApi
from exporter.upstream.parsing import Parsed, server_message
from exporter.upstream.rate_limit import RateLimiter
from exporter.upstream.request import (
    SECRETS_PER_KIND,
    SHORTEST_SECRET,
    ApiRequest,
    Requester,
    Secrets,
)
from exporter.upstream.transport import Transport
from tests.harness.fakes import FakeClock, Recorder

SECRET = 'pass word\tätsch"\\0123456789'


def holding(*secrets: str) -> Secrets:
    """Secrets that contain these tokens."""
    held = Secrets()
    for secret in secrets:
        held.add("token", secret)
    return held


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"HTTP 403: you sent {json.dumps({'password': SECRET})}",
        f"you sent {json.dumps({'password': SECRET}, ensure_ascii=False)}, didn't you?",
        server_message(json.dumps({"message": f"wrong: {SECRET}"}).encode()),
        server_message(json.dumps({"message": json.dumps({"password": SECRET})}).encode()),
        f"cut: {SECRET[:12]}",
    ],
)
def test_a_secret_is_found(text: str) -> None:
    """A secret is found in plain, JSON-encoded, sanitized and truncated text."""
    assert holding(SECRET).are_quoted_in(text)


@pytest.mark.parametrize("text", ["", "HTTP 403: no", "pass", SECRET[5:], SECRET[:7], "a: b"])
def test_other_texts_quote_none(text: str) -> None:
    """Short pieces of a secret, and short secrets, are not matched."""
    assert not holding(SECRET, "a", "").are_quoted_in(text)


def test_old_ones_are_known_for_a_while() -> None:
    """The newest SECRETS_PER_KIND tokens are matched, older ones are not."""
    tokens = [f"token-{number}" for number in range(SECRETS_PER_KIND + 1)]
    held = holding(*tokens, tokens[-1])
    assert not held.are_quoted_in(tokens[0])
    assert all(held.are_quoted_in(token) for token in tokens[1:])


def test_what_was_held_before_a_reload_is_held_after_it() -> None:
    """A reload keeps the old secrets; the newer ones are not dropped for them."""
    before, after = (
        holding(*(f"old-{number}" for number in range(SECRETS_PER_KIND))),
        holding("newest"),
    )
    before.add("password", "passw0rd")
    after.take_over(before)
    assert all(after.are_quoted_in(each) for each in ("old-3", "newest", "passw0rd"))
    assert not after.are_quoted_in("old-0")


TOKENS = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=SHORTEST_SECRET)


@given(TOKENS, st.text(max_size=100), st.text(max_size=100))
def test_any_token_in_any_message_is_found(token: str, before: str, after: str) -> None:
    """A token in any API message is found in the sanitized message."""
    body = json.dumps({"message": f"{before} {token} {after}"}).encode()
    assert holding(token).are_quoted_in(server_message(body)[:1000])


class Api:
    """A fake API that issues numbered tokens, and quotes the text `quote` in its message."""

    def __init__(self) -> None:
        self.granted = 0
        self.quote = ""

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/stats"):
            body = {"success": False, "message": f"not for {self.quote}"}
            return httpx.Response(403, json=body)
        self.granted += 1
        tokens = {
            "accessToken": f"access-{self.granted}",
            "refreshToken": f"refresh-{self.granted}",
        }
        return httpx.Response(200, json={"success": True, **tokens})


async def test_every_secret_of_the_account_is_kept_from_its_messages() -> None:
    """Messages are hidden if they contain any secret of the account, also an old one."""
    api, clock = Api(), FakeClock()
    requester = Requester(
        "main",
        "https://api.example",
        transport=Transport(httpx.MockTransport(api.answer)),
        timeout=10,
        max_response_bytes=1000,
        user_agent="test",
        clock=clock,
        observer=Recorder(),
    )
    login_api = LoginApi("me", requester=requester, rate_limiter=RateLimiter(1000, clock))
    await login_api.log_in("passw0rd")
    await login_api.refresh("refresh-1")
    for quoted in ("passw0rd", "access-1", "access-2", "refresh-1", "refresh-2", "nobody"):
        api.quote = quoted
        api_request = ApiRequest(Call.STATS, "POST", "/bucket/b1/stats")
        fault = await requester.attempt(
            api_request, lambda _: Parsed(ApiError(Reason.MALFORMED, "")), "access-2"
        )
        assert isinstance(fault, ApiError)
        is_shown = quoted == "nobody"
        text = "not for nobody" if is_shown else "message omitted because it contains a secret"
        assert fault.message == f"HTTP 403: {text}"
