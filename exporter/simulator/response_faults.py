"""Faults in whole responses: errors, 429s, invalid bodies, compression, size.

Each function takes the correct response and the call, and returns the response to send instead.
Pure; how it is sent belongs to `delivery`.
"""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from functools import cache
from typing import TypeAlias

from exporter.simulator.calls import ApiCall, SimulatedResponse, json_response, refusal
from exporter.simulator.data_faults import HOSTILE
from exporter.simulator.world import unix_to_day

AlterResponse: TypeAlias = Callable[[SimulatedResponse, ApiCall], SimulatedResponse]

RETRY_AFTER_SECONDS = 30
REDIRECT_TARGET = "/elsewhere"
BOMB_BYTES = 64 * 2**20  # decompressed
HUGE_BYTES = 16 * 2**20
NESTING = 100_000

_MEANINGS = {
    400: "Invalid date format",
    401: "Invalid or expired token",
    403: "Insufficient permissions",
    404: "Bucket or user not found",
}
_TEXT, _HTML = "text/plain; charset=utf-8", "text/html; charset=utf-8"
_PROXY_PAGE = b"<html><head><title>Please wait</title></head><body><h1>nginx</h1></body></html>"
_UNSUCCESSFUL_BODIES: tuple[dict[str, object], ...] = (
    {},
    {"message": "Statistics are not available"},
    {"error": "try later"},
    {"nodeStats": []},
)
_NOT_JSON = (b"", b"OK", b'{"success":true,"nodeSt', b"\xff\xfe\x00", b"{'success': True}", b"[]]")
_WRONG_SHAPES: tuple[object, ...] = (
    None,
    [],
    "nodeStats",
    42,
    {},
    {"success": True},
    {"success": True, "nodeStats": None},
    {"success": True, "nodeStats": {"ip": "198.51.100.11"}},
    {"success": True, "nodeStats": "none"},
    {"success": True, "nodeStats": [1, None, "x", [], {}]},
    {"success": True, "nodeStats": [{"ip": ["a"], "host": {"b": 1}, "perc_uptime": []}]},
    {"success": "yes", "nodeStats": 3},
)
_WRONG_LISTS: tuple[object, ...] = (
    None,
    [],
    "buckets",
    42,
    {},
    {"success": True},
    {"success": True, "buckets": None},
    {"success": True, "buckets": {"id": "a"}},
    {"success": True, "buckets": "none"},
    {"success": True, "buckets": [1, None, "x", [], True]},
    {"success": True, "units": []},
    {"success": False},
    {"success": False, "buckets": [], "message": "Buckets are not available"},
)
MALFORMED = (
    b"",
    b"OK",
    b'{"success":true,"buck',
    b"\xff\xfe\x00",
    *(json.dumps(shape).encode() for shape in _WRONG_LISTS),
)
"""Bodies that are not a list of buckets: not JSON, another structure, or `success: false`."""


def same_response(response: SimulatedResponse, _call: ApiCall) -> SimulatedResponse:
    return response


def error_forms(status: int, meaning: str) -> tuple[SimulatedResponse, ...]:
    """The error bodies that this API, and proxies in front of it, are known to send."""
    code = meaning.upper().replace(" ", "_")
    return (
        refusal(status, meaning),
        json_response(status, {"success": False, "error_code": code, "message": meaning}),
        json_response(status, {"success": False, "error_code": code}),
        json_response(status, {"success": False, "error": meaning}),
        SimulatedResponse(status, b""),
        SimulatedResponse(status, meaning.encode(), _TEXT),
        SimulatedResponse(status, _PROXY_PAGE, _HTML),
    )


def refused(status: int) -> AlterResponse:
    """One of the error bodies with `status`, which is 400, 401, 403 or 404."""
    forms = error_forms(status, _MEANINGS[status])
    return lambda _response, call: call.pick(forms, "form")


def without_past(response: SimulatedResponse, call: ApiCall) -> SimulatedResponse:
    is_past = call.day is not None and call.day < unix_to_day(call.now)
    return refusal(400, "No statistics are kept for this day") if is_past else response


def unsuccessful(_response: SimulatedResponse, call: ApiCall) -> SimulatedResponse:
    """200 with `success: false`, with or without a message and rows."""
    return json_response(200, {"success": False, **call.pick(_UNSUCCESSFUL_BODIES, "form")})


def with_hostile_message(_response: SimulatedResponse, call: ApiCall) -> SimulatedResponse:
    """An error whose message tries to break logs and pages."""
    return refusal(call.pick((200, 400, 403, 404, 500), "status"), call.pick(HOSTILE, "message"))


def with_quoted_token(_response: SimulatedResponse, call: ApiCall) -> SimulatedResponse:
    """An error that quotes the caller's token in its message and in a cookie."""
    refused = refusal(call.pick((400, 403, 500), "status"), f"no: Bearer {call.token}")
    return replace(refused, headers={"Set-Cookie": f"session={call.token}"})


def storm_in_seconds(_response: SimulatedResponse, _call: ApiCall) -> SimulatedResponse:
    return _too_many({"Retry-After": str(RETRY_AFTER_SECONDS)})


def storm_with_date(_response: SimulatedResponse, call: ApiCall) -> SimulatedResponse:
    """429 with `Retry-After` as an HTTP date by the server's clock."""
    return _too_many({"Retry-After": formatdate(call.now + RETRY_AFTER_SECONDS, usegmt=True)})


def storm_without_hint(_response: SimulatedResponse, _call: ApiCall) -> SimulatedResponse:
    return _too_many({})


def server_error(_response: SimulatedResponse, call: ApiCall) -> SimulatedResponse:
    """500, 502, 503 or 504 with any of the error bodies."""
    status = call.pick((500, 502, 503, 504), "status")
    return call.pick(error_forms(status, "Internal server error"), "form")


def proxy_page(status: int) -> AlterResponse:
    return lambda _response, _call: SimulatedResponse(status, _PROXY_PAGE, _HTML)


def not_json(_response: SimulatedResponse, call: ApiCall) -> SimulatedResponse:
    """200 with a JSON content type and a body that is not JSON."""
    return SimulatedResponse(200, call.pick(_NOT_JSON, "form"))


def wrong_shape(_response: SimulatedResponse, call: ApiCall) -> SimulatedResponse:
    """200 with JSON of another structure than documented."""
    return json_response(200, call.pick(_WRONG_SHAPES, "form"))


def malformed(_response: SimulatedResponse, call: ApiCall) -> SimulatedResponse:
    """200 with a JSON content type and anything but a list of buckets."""
    return SimulatedResponse(200, call.pick(MALFORMED, "form"))


def redirected(_response: SimulatedResponse, _call: ApiCall) -> SimulatedResponse:
    """307 to another path of this server, so that the recorder shows if a client follows it."""
    return SimulatedResponse(307, b"", headers={"Location": REDIRECT_TARGET})


def gzipped(response: SimulatedResponse, _call: ApiCall) -> SimulatedResponse:
    """The same response compressed, even if the client does not accept gzip."""
    body = gzip.compress(response.body, mtime=0)
    return replace(response, body=body, headers={**response.headers, "Content-Encoding": "gzip"})


def bomb(_response: SimulatedResponse, _call: ApiCall) -> SimulatedResponse:
    """A small gzip body that decompresses to a very large, valid response."""
    return SimulatedResponse(200, _packed_bomb(), headers={"Content-Encoding": "gzip"})


def huge(_response: SimulatedResponse, _call: ApiCall) -> SimulatedResponse:
    return SimulatedResponse(200, _padded(HUGE_BYTES))


def deeply_nested(_response: SimulatedResponse, _call: ApiCall) -> SimulatedResponse:
    """Valid JSON, nested too deeply for recursive parsers."""
    return SimulatedResponse(
        200, b'{"success":true,"nodeStats":' + b"[" * NESTING + b"]" * NESTING + b"}"
    )


def _too_many(headers: dict[str, str]) -> SimulatedResponse:
    return replace(refusal(429, "Too many requests"), headers=headers)


@cache
def _packed_bomb() -> bytes:
    return gzip.compress(_padded(BOMB_BYTES), mtime=0)


def _padded(size: int) -> bytes:
    whole = json.dumps({"success": True, "nodeStats": []}).encode()
    return whole[:-1].ljust(size - 1) + b"}"
