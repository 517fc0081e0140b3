"""What an answer's bytes mean."""

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
    AnswerLimits,
    Parsed,
    label_text,
    parse_stats,
    printable_line,
    server_message,
)

DAY = date(2024, 1, 15)
ANSWER_LIMITS = AnswerLimits(frozenset({"ONLINE", "OFFLINE", "DISCONNECTED"}), 10)
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
"""The row of the vendor's example."""


def parse(answer: object, answer_limits: AnswerLimits = ANSWER_LIMITS) -> Parsed[DayStats]:
    """Parse an answer that is given as a Python value."""
    return parse_stats(json.dumps(answer).encode(), DAY, answer_limits)


def rows(*found: object) -> dict[str, object]:
    """A successful answer with these rows."""
    return {"success": True, "nodeStats": list(found)}


def only_node(parsed: Parsed[DayStats]) -> Node:
    """The one node of a good answer."""
    assert isinstance(parsed.result, DayStats)
    (found,) = parsed.result.nodes
    return found


def fault(parsed: Parsed[DayStats]) -> ApiError:
    """The fault of an unusable answer."""
    assert isinstance(parsed.result, ApiError)
    return parsed.result


def test_vendors_example_in_base_units() -> None:
    """The example of the vendor's page is read whole, as ratio, seconds and Unix time."""
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
    """A row with nothing but a host is a node without figures."""
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
    """A value that cannot be used costs its own sample alone, and is counted as drift."""
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
    """A numeric string is a number, and an uptime may miss its range by rounding."""
    parsed = parse(rows({**ROW, "perc_uptime": value}))
    assert only_node(parsed).uptime_ratio == ratio
    assert not parsed.drift


def test_unknown_status_is_kept_and_counted() -> None:
    """A status outside the known ones stays what it is, and is counted."""
    parsed = parse(rows({**ROW, "node_status": "ERROR"}))
    assert only_node(parsed).status == "ERROR"
    assert parsed.drift == {Drift(DriftKind.UNKNOWN_STATUS, "node_status"): 1}


def test_rows_that_name_no_node_are_left_out() -> None:
    """A row without ip and host, or that is no object, costs no other row."""
    parsed = parse(rows({"perc_uptime": 5}, {"ip": "", "host": ""}, "row", ROW))
    assert only_node(parsed).ip == "192.168.1.100"
    assert parsed.drift == {
        Drift(DriftKind.MISSING_FIELD, "ip"): 2,
        Drift(WRONG, "nodeStats"): 1,
    }


def test_unknown_fields_are_counted_and_ignored() -> None:
    """New fields upstream cost nothing but a count."""
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
    """Rows of one node become one: the one updated last, or the last where that is unknown."""
    parsed = parse(
        rows(
            {**ROW, "last_updated": first, "avg_latency_ms": 1000},
            {**ROW, "last_updated": second, "avg_latency_ms": 2000},
        )
    )
    assert only_node(parsed).latency_average_seconds == winner
    assert parsed.drift == {Drift(DriftKind.DUPLICATE_NODE, "ip"): 1}


def test_duplicates_count_after_cutting() -> None:
    """Two hosts that differ only beyond the longest label value are one node."""
    long = "x" * MAX_LABEL_LENGTH
    parsed = parse(rows({"host": long + "1"}, {"host": long + "2"}))
    assert only_node(parsed).host == long


def test_what_is_cut_off_is_not_held() -> None:
    """Names of a megabyte, another in each answer, cost no more than what is shown of them."""
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
    """NUL and lone surrogates are replaced, quotes, LF and letters stay."""
    body = b'{"success":true,"nodeStats":[{"host":"a\\u0000\\ud800\\n\\"\xc3\xa9"}]}'
    assert only_node(parse_stats(body, DAY, ANSWER_LIMITS)).host == 'a\ufffd\ufffd\n"\xe9'


def test_line_ends_other_than_lf_are_replaced() -> None:
    """They are legal in a label, but cost some readers the whole page."""
    ends = "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
    row = {"ip": "192.0.2.1", "host": f"a{ends}\t\x1f\x1b\n", "version": f"{ends}1"}
    made = only_node(parse(rows(row)))
    assert made.host == "a" + "\ufffd" * 9 + "\t\x1f\x1b\n"
    assert made.version == "\ufffd" * 9 + "1"


def test_label_value_ends_no_line_but_at_lf() -> None:
    """However a reader splits a page into lines: Python's own way knows all ends there are."""
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
    """Whatever arrives in place of a JSON object is a fault, not an exception."""
    assert fault(parse_stats(body, DAY, ANSWER_LIMITS)).reason is Reason.MALFORMED


def test_one_absurd_number_costs_one_value() -> None:
    """An integer of more digits than Python reads is out of range, and the rest is sound."""
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
    """Only a list of nodes that is not called a failure counts as a reading."""
    parsed = parse(answer)
    assert fault(parsed).reason is reason
    assert parsed.drift == ({} if drift is None else {drift: 1})


def test_success_may_be_absent() -> None:
    """The vendor marks `success` as not required: a list of nodes speaks for itself."""
    assert isinstance(parse({"nodeStats": []}).result, DayStats)


def test_too_many_nodes_are_refused() -> None:
    """An answer beyond max_nodes_per_bucket is a fault, not a flood of series."""
    parsed = parse(rows(*({"host": f"h{number}"} for number in range(11))))
    assert fault(parsed).reason is Reason.TOO_MANY_NODES
    assert isinstance(parse(rows(*[ROW] * 11)).result, DayStats)


@pytest.mark.parametrize("row", [ROW, {}, 5], ids=repr)
def test_rows_are_read_up_to_a_limit(row: object) -> None:
    """Duplicates, and rows that name no node, cannot keep the event loop busy for long."""
    assert isinstance(parse(rows(*[row] * 100)).result, DayStats)
    parsed = parse(rows(*[row] * 1_000))
    assert fault(parsed).reason is Reason.TOO_MANY_NODES
    assert parsed.drift.total() <= 100


def test_large_answer_is_read_no_further_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands behind too many nodes, or too many rows, need not even be JSON."""
    monkeypatch.setattr("exporter.upstream.json_reader.STREAMED_PARTS", 100)
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
    """A name of a megabyte, or of as many escapes, costs neither the answer nor its own row."""
    for letter, size in ("x", 2**20), ("\N{GRINNING FACE}", 2**17):
        long, short = {**ROW, "host": letter * size}, {**ROW, "host": "h"}
        parsed = parse(rows(short, long, short))
        assert isinstance(parsed.result, DayStats)
        assert [each.host for each in parsed.result.nodes] == ["h", letter * MAX_LABEL_LENGTH]


def test_server_message_is_looked_for_in_small_bodies_only() -> None:
    """An error body of megabytes is not read."""
    assert not server_message(json.dumps({"message": "no", "more": "x" * LARGE_BODY}).encode())


def test_number_as_long_as_an_answer_is_no_number() -> None:
    """Text of a million digits is left out without a look at each of them."""
    parsed = parse(rows({**ROW, "perc_uptime": "1" * 10**6, "last_updated": "2" * 10**6}))
    assert parsed.drift == {Drift(WRONG, "perc_uptime"): 1, Drift(WRONG, "last_updated"): 1}


def test_row_of_many_unknown_fields_counts_them_all() -> None:
    """However many there are, and also those beside known ones."""
    parsed = parse(rows({**ROW, **{f"f{number}": 0 for number in range(20_000)}}))
    assert parsed.drift == {Drift(DriftKind.UNKNOWN_FIELD, "other"): 20_000}


def test_nothing_is_read_after_too_many_nodes() -> None:
    """What stands behind them is not even counted as drift."""
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
    """A lower-case `z`, a leap second, more digits than a microsecond has."""
    parsed = parse(rows({**ROW, "last_updated": date}))
    assert isinstance(parsed.result, DayStats)
    assert parsed.result.nodes[0].last_updated == expected
    assert not parsed.drift


@pytest.mark.parametrize("date", ["9999-12-31T23:59:60Z", "2024-13-15T10:29:60Z", "2" * 100])
def test_what_is_no_date_is_drift(date: str) -> None:
    """And raises nothing."""
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
    """The server's own words are found in each form that this API is known to use."""
    assert server_message(body) == message


def test_printable_line_is_one_short_line() -> None:
    """A message cannot break a log line, colour a terminal, or fill a disk."""
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
    """No JSON raises; what comes out is in range, unique, and counted with known labels."""
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
    """How an answer is read makes no difference to what it means."""
    small = json.dumps(answer).encode()
    large = small + b" " * LARGE_BODY
    assert parse_stats(large, DAY, ANSWER_LIMITS) == parse_stats(small, DAY, ANSWER_LIMITS)


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(body: bytes) -> None:
    """No body raises."""
    assert isinstance(parse_stats(body, DAY, ANSWER_LIMITS).result, ApiError)
    assert isinstance(server_message(body), str)
