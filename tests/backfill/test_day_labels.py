"""The labels that `--label` adds."""

from __future__ import annotations

import pytest

from exporter.backfill import extra_label
from exporter.backfill.day import label_suffix


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("job=flashback", ("job", "flashback")),
        ("instance=localhost:10120", ("instance", "localhost:10120")),
        ("a=b=c", ("a", "b=c")),
        ('cluster=eu "west" \\ 1', ("cluster", 'eu "west" \\ 1')),
        ("name=as the info series has it", ("name", "as the info series has it")),
    ],
)
def test_names_that_a_scrape_adds_are_taken(text: str, pair: tuple[str, str]) -> None:
    """Labels such as job and instance are accepted; the value is all after the first '='."""
    assert extra_label(text) == pair


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("job", "write it as name=value"),
        ("=x", "'' is not a label name"),
        ("1a=x", "'1a' is not a label name"),
        ("a-b=x", "'a-b' is not a label name"),
        ("a\n=x", "is not a label name"),
        ("__name__=x", "__name__ is reserved by Prometheus"),
        ("le=1", "le is reserved"),
        ("quantile=1", "quantile is reserved"),
        ("bucket_id=x", "the metrics have a label bucket_id of their own"),
        ("ip=x", "a label ip of their own"),
        ("host=x", "a label host of their own"),
        ("job=", "job has no value"),
        ("job=a\nb", "cannot be printed"),
    ],
)
def test_names_that_mean_something_else_are_refused(text: str, told: str) -> None:
    """A label name that is invalid, reserved or already used is rejected with the reason."""
    with pytest.raises(ValueError, match=told):
        extra_label(text)


def test_values_are_escaped() -> None:
    """Label values are escaped as on the metrics page."""
    assert label_suffix({"a": 'x"y\\', "b": "z"}) == r',a="x\"y\\",b="z"'
