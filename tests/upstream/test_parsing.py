"""Parsing of the stats response."""

from __future__ import annotations

import json
import tracemalloc
import unicodedata
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import MAX_LABEL_LENGTH, ApiError, DayStats, Node, Reason
from exporter.upstream.events import POSSIBLE_DRIFT, Drift, DriftKind
from exporter.upstream.json_reader import LARGE_BODY
from exporter.upstream.parsing import (
    Parsed,
    ResponseLimits,
    label_text,
    parse_stats,
    printable_line,
    server_message,
)

DAY = date(2024, 1, 15)
ANSWER_LIMITS = ResponseLimits(frozenset({"ONLINE", "OFFLINE", "DISCONNECTED"}), 10)
ROW: dict[str, Any] = {
    "ip": "192.168.1.100",
    "host": "*-us-east-1-aws.flashback.tech",
    "perc_uptime": 99.5,
    "avg_latency_ms": 45,
    "version": "1.2.3",
    "node_status": "ONLINE",
    "last_updated": "2024-01-15T10:30:00Z",
    "last_latency_ms": 42,
}
"""The row in the vendor's example."""


def parse(answer: object, response_limits: ResponseLimits = ANSWER_LIMITS) -> Parsed[DayStats]:
    """Parse a response given as a Python value."""
    return parse_stats(json.dumps(answer).encode(), DAY, response_limits)


def rows(*found: object) -> dict[str, object]:
    """A successful response with these rows."""
    return {"success": True, "nodeStats": list(found)}


def only_node(parsed: Parsed[DayStats]) -> Node:
    """The single node of a good response."""
    assert isinstance(parsed.result, DayStats)
    (found,) = parsed.result.nodes
    return found


def fault(parsed: Parsed[DayStats]) -> ApiError:
    """The error of an unusable response."""
    assert isinstance(parsed.result, ApiError)
    return parsed.result


def test_vendors_example_in_base_units() -> None:
    """The vendor's example is parsed completely, into ratios, seconds and Unix time."""
    parsed = parse(rows(ROW))
    assert only_node(parsed) == Node(
        ip="192.168.1.100",
        host="*-us-east-1-aws.flashback.tech",
        version="1.2.3",
        status="ONLINE",
        uptime_ratio=0.995,
        latency_average_seconds=0.045,
        latency_last_seconds=0.042,
        last_updated=1705314600.0,
    )
    assert isinstance(parsed.result, DayStats)
    assert parsed.result.day == DAY
    assert not parsed.drift


@pytest.mark.parametrize("gone", ["absent", "null"])
def test_absent_and_null_are_left_out_and_not_drift(gone: str) -> None:
    """Missing and null fields are left out without counting as drift."""
    row = {"host": "h"} if gone == "absent" else {**dict.fromkeys(ROW), "host": "h"}
    parsed = parse(rows(row))
    assert only_node(parsed) == Node(ip="", host="h")
    assert not parsed.drift


WRONG = DriftKind.WRONG_TYPE
RANGE = DriftKind.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("field", "value", "kind", "attribute"),
    [
        ("perc_uptime", "lots", WRONG, "uptime_ratio"),
        ("perc_uptime", "99.5%", WRONG, "uptime_ratio"),
        ("perc_uptime", "1_0", WRONG, "uptime_ratio"),
        ("perc_uptime", True, WRONG, "uptime_ratio"),
        ("perc_uptime", [99], WRONG, "uptime_ratio"),
        ("perc_uptime", 100.5, RANGE, "uptime_ratio"),
        ("perc_uptime", -1, RANGE, "uptime_ratio"),
        ("perc_uptime", float("nan"), RANGE, "uptime_ratio"),
        ("avg_latency_ms", -0.1, RANGE, "latency_average_seconds"),
        ("avg_latency_ms", float("inf"), RANGE, "latency_average_seconds"),
        ("avg_latency_ms", 10**400, RANGE, "latency_average_seconds"),
        ("last_latency_ms", "1e999", RANGE, "latency_last_seconds"),
        ("last_latency_ms", {}, WRONG, "latency_last_seconds"),
        ("last_updated", "2024-01-15T10:30:00", WRONG, "last_updated"),
        ("last_updated", "yesterday", WRONG, "last_updated"),
        ("last_updated", 1705314600, WRONG, "last_updated"),
        ("last_updated", "0001-01-01T00:00:00Z", RANGE, "last_updated"),
        ("node_status", 1, WRONG, "status"),
        ("version", 1.2, WRONG, "version"),
    ],
)
def test_nonsense_leaves_out_one_value_and_counts(
    field: str, value: object, kind: DriftKind, attribute: str
) -> None:
    """An unusable value loses only its own sample, and is counted as drift."""
    parsed = parse(rows({**ROW, field: value}))
    good = only_node(parse(rows(ROW)))
    found = only_node(parsed)
    assert getattr(found, attribute) is None
    assert parsed.drift == {Drift(kind, field): 1}
    for other in Node.__dataclass_fields__.keys() - {attribute}:
        assert getattr(found, other) == getattr(good, other)


@pytest.mark.parametrize(
    ("value", "ratio"),
    [("99.5", 0.995), (" 50 ", 0.5), ("1e1", 0.1), (100.004, 1.0), (-0.004, 0.0), (0, 0.0)],
)
def test_numbers_as_strings_and_rounding_are_accepted(value: object, ratio: float) -> None:
    """Numeric strings are numbers, and uptimes slightly out of range by rounding are clamped."""
    parsed = parse(rows({**ROW, "perc_uptime": value}))
    assert only_node(parsed).uptime_ratio == ratio
    assert not parsed.drift


def test_unknown_status_is_kept_and_counted() -> None:
    """An unknown status is kept and counted as drift."""
    parsed = parse(rows({**ROW, "node_status": "ERROR"}))
    assert only_node(parsed).status == "ERROR"
    assert parsed.drift == {Drift(DriftKind.UNKNOWN_STATUS, "node_status"): 1}


def test_rows_that_name_no_node_are_left_out() -> None:
    """A row without ip and host, or that is not an object, is skipped and counted."""
    parsed = parse(rows({"perc_uptime": 5}, {"ip": "", "host": ""}, "row", ROW))
    assert only_node(parsed).ip == "192.168.1.100"
    assert parsed.drift == {
        Drift(DriftKind.MISSING_FIELD, "ip"): 2,
        Drift(WRONG, "nodeStats"): 1,
    }


def test_unknown_fields_are_counted_and_ignored() -> None:
    """Unknown fields are ignored and counted as drift."""
    parsed = parse({**rows({**ROW, "new": 1, "newer": 2}), "extra": 3})
    assert only_node(parsed) == only_node(parse(rows(ROW)))
    assert parsed.drift == {Drift(DriftKind.UNKNOWN_FIELD, "other"): 3}


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ("2024-01-15T10:30:00Z", "2024-01-15T10:31:00Z", 2),
        ("2024-01-15T10:31:00Z", "2024-01-15T10:30:00Z", 1),
        ("2024-01-15T10:30:00Z", "2024-01-15T11:30:00+01:00", 2),
        ("2024-01-15T10:31:00Z", None, 2),
        (None, "2024-01-15T10:30:00Z", 2),
    ],
)
def test_of_duplicate_rows_the_newest_wins(
    first: str | None, second: str | None, winner: int
) -> None:
    """Of duplicate rows the newest is used, or the last one if an update time is missing."""
    parsed = parse(
        rows(
            {**ROW, "last_updated": first, "avg_latency_ms": 1000},
            {**ROW, "last_updated": second, "avg_latency_ms": 2000},
        )
    )
    assert only_node(parsed).latency_average_seconds == winner
    assert parsed.drift == {Drift(DriftKind.DUPLICATE_NODE, "ip"): 1}


def test_duplicates_count_after_cutting() -> None:
    """Hosts that are equal after truncation are duplicates."""
    long = "x" * MAX_LABEL_LENGTH
    parsed = parse(rows({"host": long + "1"}, {"host": long + "2"}))
    assert only_node(parsed).host == long


def test_what_is_cut_off_is_not_held() -> None:
    """Truncated names do not keep the original text in memory."""
    texts = 20
    tracemalloc.start()
    try:
        for number in range(texts):
            row = {"ip": "198.51.100.7", "host": f"{number} " + "x" * 2**20}
            only_node(parse(rows(row)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < texts * 2**20 / 4


def test_text_becomes_a_valid_label_value() -> None:
    """NUL and lone surrogates in labels are replaced; quotes, LF and letters are kept."""
    body = b'{"success":true,"nodeStats":[{"host":"a\\u0000\\ud800\\n\\"\xc3\xa9"}]}'
    assert only_node(parse_stats(body, DAY, ANSWER_LIMITS)).host == 'a\ufffd\ufffd\n"\xe9'


def test_line_ends_other_than_lf_are_replaced() -> None:
    """Line separators other than LF are replaced, because some parsers break labels there."""
    ends = "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
    row = {"ip": "192.0.2.1", "host": f"a{ends}\t\x1f\x1b\n", "version": f"{ends}1"}
    made = only_node(parse(rows(row)))
    assert made.host == "a" + "\ufffd" * 9 + "\t\x1f\x1b\n"
    assert made.version == "\ufffd" * 9 + "1"


def test_label_value_ends_no_line_but_at_lf() -> None:
    """All line ends that str.splitlines knows are replaced in label values, except LF."""
    characters = list(map(chr, range(2**16)))
    ends = {each for each in characters if len(f"a{each}b".splitlines()) > 1} - {"\n"}
    illegal = {"\0", *(each for each in characters if unicodedata.category(each) == "Cs")}
    replaced = {each for each in characters if label_text(each) != each}
    assert replaced == ends | illegal
    assert {label_text(each) for each in replaced} == {"\ufffd"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"\xff\xfe\xfa",
        b'{"success":true,"nodeStats":[',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=["empty", "html", "list", "null", "binary", "cut", "deep", "deep objects"],
)
def test_body_that_is_no_json_object_is_malformed(body: bytes) -> None:
    """A body that is not a JSON object is malformed."""
    assert fault(parse_stats(body, DAY, ANSWER_LIMITS)).reason is Reason.MALFORMED


def test_one_absurd_number_costs_one_value() -> None:
    """An integer with too many digits is out of range; the row's other values are kept."""
    row = b'{"host":"h","perc_uptime":' + b"9" * 5000 + b',"avg_latency_ms":45}'
    parsed = parse_stats(b'{"success":true,"nodeStats":[' + row + b"]}", DAY, ANSWER_LIMITS)
    assert only_node(parsed) == Node(ip="", host="h", latency_average_seconds=0.045)
    assert parsed.drift == {Drift(RANGE, "perc_uptime"): 1}


@pytest.mark.parametrize(
    ("answer", "reason", "drift"),
    [
        ({"success": False, "nodeStats": [ROW]}, Reason.UNSUCCESSFUL, None),
        ({"success": "false", "nodeStats": [ROW]}, Reason.MALFORMED, Drift(WRONG, "success")),
        ({"success": 0, "nodeStats": [ROW]}, Reason.MALFORMED, Drift(WRONG, "success")),
        (
            {"success": True},
            Reason.MALFORMED,
            Drift(DriftKind.MISSING_FIELD, "nodeStats"),
        ),
        ({"success": True, "nodeStats": {}}, Reason.MALFORMED, Drift(WRONG, "nodeStats")),
    ],
)
def test_answer_that_does_not_claim_success_with_nodes_is_a_fault(
    answer: object, reason: Reason, drift: Drift | None
) -> None:
    """A response without a node list, or not successful, is an error; a wrong shape is drift."""
    parsed = parse(answer)
    assert fault(parsed).reason is reason
    assert parsed.drift == ({} if drift is None else {drift: 1})


def test_success_may_be_absent() -> None:
    """`success` may be missing, as the vendor documents it as optional."""
    assert isinstance(parse({"nodeStats": []}).result, DayStats)


def test_too_many_nodes_are_refused() -> None:
    """More nodes than max_nodes_per_bucket is an error; duplicates count once."""
    parsed = parse(rows(*({"host": f"h{number}"} for number in range(11))))
    assert fault(parsed).reason is Reason.TOO_MANY_NODES
    assert isinstance(parse(rows(*[ROW] * 11)).result, DayStats)


@pytest.mark.parametrize("row", [ROW, {}, 5], ids=repr)
def test_rows_are_read_up_to_a_limit(row: object) -> None:
    """The number of rows is limited too, even if they are duplicates or invalid."""
    assert isinstance(parse(rows(*[row] * 100)).result, DayStats)
    parsed = parse(rows(*[row] * 1_000))
    assert fault(parsed).reason is Reason.TOO_MANY_NODES
    assert parsed.drift.total() <= 100


def test_large_answer_is_read_no_further_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing a large response stops at the first excess node or row."""
    monkeypatch.setattr("exporter.upstream.json_reader.STREAMING_THRESHOLD", 100)
    nodes = [json.dumps({**ROW, "host": f"h{number}"}) for number in range(11)]
    too_many = "max_nodes_per_bucket (10)"
    for first, message in (
        (nodes, f"the response has more nodes than {too_many}"),
        ([nodes[0]] * 101, f"the response has more than 100 rows, 10 for each of {too_many}"),
        (["{}"] * 101, f"the response has more than 100 rows, 10 for each of {too_many}"),
    ):
        body = '{"nodeStats":[' + ",".join(first) + "," + " " * LARGE_BODY * 2 + "?"
        parsed = parse_stats(body.encode(), DAY, ANSWER_LIMITS)
        assert fault(parsed) == ApiError(Reason.TOO_MANY_NODES, message)


def test_very_long_names_are_cut() -> None:
    """A very long name is truncated; its row and the response are kept."""
    for letter, size in ("x", 2**20), ("\N{GRINNING FACE}", 2**17):
        long, short = {**ROW, "host": letter * size}, {**ROW, "host": "h"}
        parsed = parse(rows(short, long, short))
        assert isinstance(parsed.result, DayStats)
        assert [each.host for each in parsed.result.nodes] == ["h", letter * MAX_LABEL_LENGTH]


def test_server_message_is_looked_for_in_small_bodies_only() -> None:
    """The API's message is not read from a large error body."""
    assert not server_message(json.dumps({"message": "no", "more": "x" * LARGE_BODY}).encode())


def test_number_as_long_as_an_answer_is_no_number() -> None:
    """Very long numeric or date strings are drift, and rejected without being parsed."""
    parsed = parse(rows({**ROW, "perc_uptime": "1" * 10**6, "last_updated": "2" * 10**6}))
    assert parsed.drift == {Drift(WRONG, "perc_uptime"): 1, Drift(WRONG, "last_updated"): 1}


def test_row_of_many_unknown_fields_counts_them_all() -> None:
    """All unknown fields of a row are counted, however many."""
    parsed = parse(rows({**ROW, **{f"f{number}": 0 for number in range(20_000)}}))
    assert parsed.drift == {Drift(DriftKind.UNKNOWN_FIELD, "other"): 20_000}


def test_nothing_is_read_after_too_many_nodes() -> None:
    """Rows after the excess node are not parsed, so they are not counted as drift."""
    hosts = [{"host": f"h{number}"} for number in range(11)]
    assert not parse(rows(*hosts, 5, 5, 5)).drift


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2024-01-15t10:30:00z", 1705314600.0),
        ("2024-01-15T10:29:60Z", 1705314600.0),
        ("2024-01-15T11:29:60.5+01:00", 1705314600.5),
        ("2024-01-15T10:30:00.123456789Z", 1705314600.123456),
        ("2024-01-15T10:30:00-00:00", 1705314600.0),
    ],
)
def test_dates_are_what_rfc_3339_allows(date: str, expected: float) -> None:
    """All RFC 3339 forms are accepted, such as a lower-case `z`, a leap second and nanoseconds."""
    parsed = parse(rows({**ROW, "last_updated": date}))
    assert isinstance(parsed.result, DayStats)
    assert parsed.result.nodes[0].last_updated == expected
    assert not parsed.drift


@pytest.mark.parametrize("date", ["9999-12-31T23:59:60Z", "2024-13-15T10:29:60Z", "2" * 100])
def test_what_is_no_date_is_drift(date: str) -> None:
    """An invalid date is counted as drift and raises no exception."""
    parsed = parse(rows({**ROW, "last_updated": date}))
    assert isinstance(parsed.result, DayStats)
    assert parsed.result.nodes[0].last_updated is None
    assert parsed.drift.total() == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"success":false,"message":"No access"}', "No access"),
        (b'{"success":false,"error":"No access"}', "No access"),
        (b'{"success":false,"error_code":"E1","message":""}', "E1"),
        (b'{"message":{"a":1}}', ""),
        (b"<html>nginx</html>", ""),
        (b"", ""),
    ],
)
def test_server_message_in_all_its_forms(body: bytes, message: str) -> None:
    """The API's message is found in each of its known forms."""
    assert server_message(body) == message


def test_printable_line_is_one_short_line() -> None:
    """Newlines, control characters and excess length are removed from messages."""
    assert printable_line("a\nb\x1b[31m\tc\u202e") == "a b [31m c"
    assert len(printable_line("x" * 10_000)) <= 2000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from([*ROW]), inner),
    max_leaves=20,
)
ROWS = st.lists(st.dictionaries(st.sampled_from([*ROW, "odd"]), JSON) | JSON, max_size=12)


@given(st.fixed_dictionaries({}, optional={"success": JSON, "nodeStats": ROWS}) | JSON)
def test_any_json_gives_honest_nodes_or_a_fault(answer: object) -> None:
    """Any JSON gives an error, or unique nodes with values in range; drift labels are known."""
    parsed = parse(answer)
    assert parsed.drift.keys() <= set(POSSIBLE_DRIFT)
    if isinstance(parsed.result, ApiError):
        return
    found = parsed.result.nodes
    assert len({each.identity for each in found}) == len(found)
    for each in found:
        assert each.ip or each.host
        assert each.uptime_ratio is None or 0 <= each.uptime_ratio <= 1
        for seconds in (each.latency_average_seconds, each.latency_last_seconds):
            assert seconds is None or 0 <= seconds < float("inf")


@given(st.fixed_dictionaries({}, optional={"success": JSON, "nodeStats": ROWS}) | JSON)
def test_large_answer_means_what_a_small_one_does(answer: object) -> None:
    """A large response is parsed the same as a small one."""
    small = json.dumps(answer).encode()
    large = small + b" " * LARGE_BODY
    assert parse_stats(large, DAY, ANSWER_LIMITS) == parse_stats(small, DAY, ANSWER_LIMITS)


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(body: bytes) -> None:
    """Any body is parsed without an exception."""
    assert isinstance(parse_stats(body, DAY, ANSWER_LIMITS).result, ApiError)
    assert isinstance(server_message(body), str)
