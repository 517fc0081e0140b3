"""The queries of docs/promql.md work with two replicas, and count nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.harness.documents import queries
from tests.real.programs import check

PAGE = "docs/promql.md"
NOW = 600  # Unix time at which the queries are evaluated
REPLICAS = ("a:10120", "b:10120")
JOB = 'job="flashback-exporter"'
BUCKET = f'bucket_id="b1",{JOB}'
NODE = f'host="h",ip="192.0.2.1",{BUCKET}'
OTHER_NODE = NODE.replace('"h"', '"g"')
FAILURES = "flashback_api_request_failures_total"
UPTIME = "bucket:flashback_node_uptime_previous_day_ratio"
REMAINING = "bucket:flashback_node_error_budget:remaining30d"


def of_replica(labels: str, replica: str) -> str:
    """The labels of a series once a replica has been scraped."""
    return f'{labels},instance="{replica}"'


QUERIES = queries(PAGE)

EXPORTED = {
    f'flashback_bucket_info{{name="media",team="web",account="m",{BUCKET}': "1+0x10",
    f"flashback_node_latency_last_seconds{{{NODE}": "0.25+0x10",
    f"flashback_node_latency_last_seconds{{{OTHER_NODE}": "0.5+0x10",
    f'flashback_node_status{{status="ONLINE",{NODE}': "1+0x10",
    f'flashback_node_status{{status="OFFLINE",{NODE}': "0+0x10",
    f'flashback_node_status{{status="ONLINE",{OTHER_NODE}': "0+0x10",
    f'flashback_node_status{{status="OFFLINE",{OTHER_NODE}': "1+0x10",
    f'flashback_bucket_failing{{reason="timeout",{BUCKET}': "1+0x10",
    f"flashback_bucket_up{{{BUCKET}": "0+0x10",
    f"flashback_bucket_up{{{BUCKET.replace('b1', 'b2')}": "1+0x10",
    f"flashback_bucket_last_success_timestamp_seconds{{{BUCKET}": "540+0x10",
    f'{FAILURES}{{account="m",call="stats",reason="timeout",{JOB}': "0+6x10",
    f"flashback_node_uptime_previous_day_ratio{{{NODE}": "0.75+0x10",
    f"scrape_samples_scraped{{{JOB}": "400+0x10",
}
"""What each replica exports; its instance and the closing brace are added."""

RECORDED = {
    f'{UPTIME}:avg30d{{{JOB},bucket_id="b1"}}': "0.5+0x10",
    f'{UPTIME}:count30d{{{JOB},bucket_id="b1"}}': "25+0x10",
    f'{UPTIME}:avg30d{{{JOB},bucket_id="b2"}}': "0.25+0x10",
    f'{UPTIME}:count30d{{{JOB},bucket_id="b2"}}': "24+0x10",
    f'{REMAINING}{{{JOB},bucket_id="b1"}}': "0.25+0x10",
    f'{REMAINING}{{{JOB},bucket_id="b2"}}': "0.75+0x10",
}
"""What the recording rules record from both replicas."""

RESULTS: dict[str, dict[str, float]] = {
    "Add names and labels": {
        f'{{name="media",team="web",{of_replica(node, replica)}}}': latency
        for replica in REPLICAS
        for node, latency in ((NODE, 0.25), (OTHER_NODE, 0.5))
    },
    "Count replicas once": {
        f"{{{NODE}}}": 0.25,
        f"{{{OTHER_NODE}}}": 0.5,
    },
    "Nodes that are not online": {f'{{name="media",status="OFFLINE",{OTHER_NODE}}}': 1},
    "Failing buckets by reason": {'{reason="timeout"}': 1},
    "Share of buckets that are up": {f"{{{JOB}}}": 0.5},
    "Slowest nodes": {'{host="g",ip="192.0.2.1"}': 0.5, '{host="h",ip="192.0.2.1"}': 0.25},
    "Age of the data": {f"{{{BUCKET}}}": 60},
    "Failed API requests": {'{account="m",call="stats",reason="timeout"}': 0.2},
    "Uptime of the previous day": {f"{{{NODE}}}": 0.75},
    "Uptime over 30 days": {f'{UPTIME}:avg30d{{{JOB},bucket_id="b1"}}': 0.5},
    "Error budget": {f'{REMAINING}{{{JOB},bucket_id="b1"}}': 0.25},
    "Series per exporter": {
        f"scrape_samples_scraped{{{of_replica(JOB, replica)}}}": 400 for replica in REPLICAS
    },
}
"""The expected result of each query of the page."""


def test_every_query_has_its_result() -> None:
    """Each query of the page has an expected result here, and each result has a query."""
    assert QUERIES.keys() == RESULTS.keys()


@pytest.mark.parametrize("title", RESULTS)
def test_query_counts_replicas_once(title: str, promtool_path: str, tmp_path: Path) -> None:
    """With two replicas of the same buckets, a query has exactly the expected result."""
    series = RECORDED | {
        f'{name},instance="{replica}"}}': values
        for name, values in EXPORTED.items()
        for replica in REPLICAS
    }
    query = {
        "expr": QUERIES[title],
        "eval_time": f"{NOW}s",
        "exp_samples": [{"labels": name, "value": value} for name, value in RESULTS[title].items()],
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [query],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"tests": [test]}))
    check(promtool_path, "test", "rules", str(file))
