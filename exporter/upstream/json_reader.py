"""Parses JSON bodies: small ones at once, very large ones as a stream.

Pure. A parser in C keeps the GIL until it is done, even in a thread: 8 MiB of `{}` take 0.2 s and
180 MB. So a body with very many values is read with ijson, value by value, and only one element of
its long list is in memory at a time. What the values mean is decided in `parsing`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from inspect import GEN_CLOSED, getgeneratorstate
from io import BytesIO
from typing import TypeAlias

import ijson  # type: ignore[import-untyped] # it has no types
import orjson

LARGE_BODY = 64 * 1024
"""Bytes; a longer body takes too long to parse on the event loop. About 250 nodes fit."""

STREAMING_THRESHOLD = 100_000
"""Maximum of commas and opening brackets; larger bodies are streamed and must be strict JSON.

Their number approximates the number of values. A body with this many takes about 10 ms to parse at
once; long strings add little. A response with ten thousand nodes has fewer.
"""

MAX_EVENTS = 10_000
"""Maximum of parser events in a streamed element or other value, and of keys in the object."""

LONGEST_INTEGER = 400
"""Digits; the largest float has 309."""

JsonObject: TypeAlias = dict[str, object]


class _MalformedError(Exception):
    """The body is not a JSON object, or one that no API would send."""


def json_object(body: bytes) -> JsonObject | None:
    """The JSON object in a body; None if it is not one, or if the body is large."""
    return None if len(body) > LARGE_BODY else _whole(body)


def object_with_list(
    body: bytes, name: str, read: Callable[[Iterable[object]], None]
) -> JsonObject | None:
    """The JSON object in a body, or None; `read` gets the elements of its list `name`.

    `read` may stop early: the rest of a streamed body is then neither parsed nor checked. In the
    returned object of a streamed body, the list is empty.
    """
    if sum(map(body.count, (b",", b"{", b"["))) > STREAMING_THRESHOLD:
        try:
            return _streamed(body, name, read)
        except (ijson.JSONError, _MalformedError, ValueError):
            return None
    answer = _whole(body)
    elements = None if answer is None else answer.get(name)
    if isinstance(elements, list):
        read(elements)
    return answer


def _whole(body: bytes) -> JsonObject | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = _lenient(body)
    return answer if isinstance(answer, dict) else None


def _lenient(body: bytes) -> object:
    """Parse a body that is not strict JSON; None if that is impossible.

    One value such as NaN, or half of a surrogate pair, must not invalidate the whole response.
    """
    try:
        return json.loads(body, parse_int=_integer)
    except (ValueError, RecursionError):  # RecursionError: too deeply nested
        return None


def _integer(digits: str) -> float:
    """Python refuses very long integers, and one of them must not invalidate the whole response."""
    return int(digits) if len(digits) < LONGEST_INTEGER else float(digits)


_Event: TypeAlias = tuple[str, object]
_STARTS = {"start_map", "start_array"}
_ENDS = {"end_map", "end_array"}


def _streamed(body: bytes, name: str, read: Callable[[Iterable[object]], None]) -> JsonObject:
    events: Iterator[_Event] = ijson.basic_parse(BytesIO(body), use_float=True)
    if next(events, None) != ("start_map", None):
        raise _MalformedError
    answer: JsonObject = {}
    for number, (_, key) in enumerate(events):
        if key is None:  # the end of the object
            break
        first = next(events)
        if key == name and first[0] == "start_array":
            elements = _elements(events)
            read(elements)
            answer[name] = []
            if getgeneratorstate(elements) != GEN_CLOSED:
                return answer  # `read` has stopped early
        else:
            answer[str(key)] = _value(first, events)
        if number > MAX_EVENTS:
            raise _MalformedError
    for _ in events:  # ijson raises if anything follows the object
        pass
    return answer


def _elements(events: Iterator[_Event]) -> Generator[object, None, None]:
    for event in events:
        if event[0] == "end_array":
            return
        yield _value(event, events)


def _value(event: _Event, events: Iterator[_Event]) -> object:
    builder = ijson.ObjectBuilder()
    builder.event(*event)
    depth = parts = int(event[0] in _STARTS)
    while depth:
        kind, value = next(events)
        builder.event(kind, value)
        depth += (kind in _STARTS) - (kind in _ENDS)
        parts += 1
        if parts > MAX_EVENTS:
            raise _MalformedError
    return builder.value
