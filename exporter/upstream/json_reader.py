"""JSON bodies: small ones read at once, large ones value by value.

Pure. A reader in C keeps the interpreter to itself until it is done, in whichever thread it runs:
for 8 MiB of `{}` that takes 0.2 s and 180 MB. So a body of very many values is read by ijson, one
by one, and of its long list one element at a time is held. What they mean is not known here.
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
"""Bytes; a longer body takes too long to be read on the event loop. 250 rows fit in."""

STREAMED_PARTS = 100_000
"""Commas and brackets; a body with more is read value by value. It must be JSON to the letter.

They are as good as a count of its values. So many are read at once in some 10 ms, long texts apart,
which cost little. Ten thousand nodes have fewer.
"""

MOST_PARTS = 10_000
"""Values, names and ends of lists and objects in one element of a streamed list, or beside it."""

LONGEST_INTEGER = 400
"""Digits; a float ends at about 309."""

JsonObject: TypeAlias = dict[str, object]


class _MalformedError(Exception):
    """It is no JSON object, or one that nobody would send."""


def json_object(body: bytes) -> JsonObject | None:
    """The JSON object that a body is, or None; None also for a large body."""
    return None if len(body) > LARGE_BODY else _whole(body)


def object_with_list(
    body: bytes, name: str, read: Callable[[Iterable[object]], None]
) -> JsonObject | None:
    """The JSON object that a body is, or None; `read` is handed the elements of its list `name`.

    `read` may stop before their end: nothing behind them need be read then. In a very large body,
    that list is empty in what is returned.
    """
    if sum(map(body.count, (b",", b"{", b"["))) > STREAMED_PARTS:
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
    """What a body means that is no JSON to the letter; None where it means nothing.

    One value such as NaN, or half a character, must not cost the whole answer.
    """
    try:
        return json.loads(body, parse_int=_integer)
    except (ValueError, RecursionError):  # deep nesting raises the latter
        return None


def _integer(digits: str) -> float:
    """One absurd number must not cost the whole answer: Python refuses integers that long."""
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
                return answer  # enough was read
        else:
            answer[str(key)] = _value(first, events)
        if number > MOST_PARTS:
            raise _MalformedError
    for _ in events:  # ijson objects to whatever follows
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
        if parts > MOST_PARTS:
            raise _MalformedError
    return builder.value
