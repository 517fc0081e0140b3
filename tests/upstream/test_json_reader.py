"""Parsing of small and large JSON bodies."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.upstream.json_reader import (
    LARGE_BODY,
    MAX_EVENTS,
    STREAMING_THRESHOLD,
    JsonObject,
    json_object,
    object_with_list,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


WRITTEN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
"""Values that are strictly valid JSON."""


class Rows:
    """Reads the elements of the list `rows` of a body, at most `most` of them."""

    def __init__(self, body: bytes, most: int | None = None, *, streamed: bool = True) -> None:
        self.found: list[object] = []
        self.most = most
        with pytest.MonkeyPatch.context() as patch:
            if streamed:  # even for a body with few parts
                patch.setattr("exporter.upstream.json_reader.STREAMING_THRESHOLD", -1)
            self.rest: JsonObject | None = object_with_list(body, "rows", self.read)

    def read(self, elements: Iterable[object]) -> None:
        self.found = list(islice(elements, self.most))


def large(text: str) -> bytes:
    """The body, padded to be a large one."""
    return text.encode() + b" " * LARGE_BODY


@given(st.dictionaries(st.text(), WRITTEN, min_size=1))
def test_streamed_bodies_mean_what_others_do(answer: dict[str, Any]) -> None:
    """Streaming a body gives the same values as json.loads."""
    text = json.dumps({**answer, "rows": list(answer.values())})
    rows = Rows(large(text))
    assert same(rows.found, json.loads(text)["rows"])
    assert same(rows.rest, {**json.loads(text), "rows": []})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "<html>",
        '{"rows":[1,2',
        '{"rows":[1,2]',
        '{"rows":[1,2,]}',
        '{"rows":[1 2]}',
        '{"rows":[,1]}',
        '{"rows":[1.]}',
        '{"rows":[01]}',
        '{"rows":[nul]}',
        '{"rows":["a\n"]}',
        '{"rows":[NaN]}',
        '{"rows":[1e999]}',
        '{"rows":["a]}',
        '{"rows":[]}}',
        '{"rows":[]} 1',
        '{"rows":[],}',
        '{"rows" []}',
        '{"rows":}',
        "{rows:[]}",
        "{1:[]}",
        '{"rows":[' + "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_large_body_that_is_no_object_is_none(text: str) -> None:
    """A large body that is not a strictly valid JSON object is rejected."""
    assert Rows(large(text)).rest is None


def test_large_body_that_is_not_utf8_is_none() -> None:
    """A large body that is not UTF-8 is rejected."""
    assert Rows(large('{"rows":["').replace(b" ", b"\xff") + b'"]}').rest is None


def test_list_may_be_empty_or_absent_or_no_list() -> None:
    """An empty, missing or non-list `rows` passes no elements to the reader."""
    assert Rows(large('{"rows": [ ]}')).rest == {"rows": []}
    assert Rows(large("{ }")).rest == {}
    assert Rows(large('{"rows": {"a": 1}}')).rest == {"rows": {"a": 1}}
    assert Rows(large('{"rows": null}')).rest == {"rows": None}


def test_of_a_list_that_is_there_twice_the_last_counts() -> None:
    """If the list occurs twice, the last one is used, in streamed and small bodies."""
    for streamed in (False, True):
        assert Rows(b'{"rows":[1],"rows":[2]}', streamed=streamed).found == [2]


def test_nothing_is_read_behind_what_was_wanted() -> None:
    """If the reader stops early, the rest of the body is not parsed."""
    rows = Rows(large('{"success":true,"rows":[1,2,') + b"?", most=2)
    assert rows.found == [1, 2]
    assert rows.rest == {"success": True, "rows": []}


@pytest.mark.long
@pytest.mark.parametrize("element", ["{}", '{"ip":"1"}'])
def test_memory_does_not_grow_with_the_number_of_elements(element: str) -> None:
    """Only one element is held in memory at a time."""
    body = ('{"rows":[' + ",".join([element] * (2**21 // len(element))) + "]}").encode()

    def count(elements: Iterable[object]) -> None:
        assert sum(1 for _ in elements) == 2**21 // len(element)

    tracemalloc.start()
    try:
        object_with_list(body, "rows", count)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < len(body)


def test_one_value_does_not_take_all_memory() -> None:
    """A single value with more than MAX_EVENTS parts is rejected, to limit memory."""
    for text in ('{"rows":[[%s0]]}', '{"others":[%s0],"rows":[]}'):
        assert Rows(large(text % ("0," * (MAX_EVENTS // 2)))).rest is not None
        assert Rows(large(text % ("0," * MAX_EVENTS))).rest is None


def test_names_of_a_large_object_are_bounded() -> None:
    """An object with more than MAX_EVENTS names is rejected."""
    for names in (MAX_EVENTS // 2, MAX_EVENTS * 2):
        members = {f"m{number}": 0 for number in range(names)}
        rest = Rows(large(json.dumps({**members, "rows": []}))).rest
        assert (rest is None) == (names > MAX_EVENTS)


def test_null_behind_what_was_wanted_is_an_element_too() -> None:
    """A null after the wanted elements does not end the list."""
    assert Rows(large('{"rows":[1,null,2],"b":3}'), most=1).rest == {"rows": []}


def test_few_values_are_read_at_once_however_long_they_are() -> None:
    """NaN and lone surrogates are accepted in bodies with few values, but not when streamed."""
    text = '{"rows":[NaN,"\\ud800' + "x" * 2**20 + '"%s]}'
    assert len(Rows((text % "").encode(), streamed=False).found) == 2
    assert Rows((text % (",1" * STREAMING_THRESHOLD)).encode(), streamed=False).rest is None


def test_only_the_list_of_a_large_body_is_read() -> None:
    """A large body is rejected where no list is expected, as in a login response."""
    assert json_object(b'{"a":1}' + b" " * (LARGE_BODY - 7)) == {"a": 1}
    assert json_object(large('{"a":1}')) is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "-Infinity",
        "1e999",
        "1e-999",
        "18446744073709551616",
        "1" * 300,
        "-0",
        "01",
        "1.",
        '{"b":1,"b":2}',
        '"\\ud800"',
        '"\t"',
        "1,",
        "[" * 200 + "]" * 200,
    ],
)
def test_bodies_mean_what_pythons_own_reader_says(value: str, encoding: str) -> None:
    """The fast parser accepts, rejects and returns the same as json.loads."""
    body = f'{{"a":{value}}}'.encode(encoding)
    assert same(json_object(body), python_reads(body))


@given(st.dictionaries(st.text(), JSON))
def test_written_values_are_read_as_pythons_own_reader_reads_them(answer: dict[str, Any]) -> None:
    """Any value that json.dumps writes is read as json.loads reads it."""
    for ascii_only in (True, False):
        body = json.dumps(answer, ensure_ascii=ascii_only).encode(errors="surrogatepass")
        assert same(json_object(body), python_reads(body))


def python_reads(body: bytes) -> object:
    """What json.loads returns for a body, or None if it fails."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def same(mine: object, other: object) -> bool:
    """Whether two values are equal, comparing all numbers as floats."""
    if isinstance(mine, dict) and isinstance(other, dict):
        return mine.keys() == other.keys() and all(same(mine[key], other[key]) for key in mine)
    if isinstance(mine, list) and isinstance(other, list):
        return len(mine) == len(other) and all(map(same, mine, other))
    if isinstance(mine, bool) or isinstance(other, bool):
        return mine is other
    if isinstance(mine, int | float) and isinstance(other, int | float):
        return repr(float(mine)) == repr(float(other))
    return type(mine) is type(other) and mine == other
