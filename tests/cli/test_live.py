"""The output of `check --live`."""

from __future__ import annotations

from exporter.cli.check_live import Verdict, verdict_table


def test_names_and_messages_are_spelt_out() -> None:
    """Control characters in names and messages are escaped, and long names are cut."""
    found = [
        Verdict("main: b1 (\x1b[2J\u202e)", "unsuccessful: no\r\nsuch \u2066bucket", is_good=False),
        Verdict("main: b2", "6 nodes", is_good=True),
        Verdict("main: " + "x" * 1000, "6 nodes", is_good=True),
    ]
    first, second, third = verdict_table(found).split("\n")
    assert "  FAIL  main: b1 (\\u001b[2J\\u202e) " in first
    assert first.endswith("  unsuccessful: no\\u000d\\u000asuch \\u2066bucket")
    assert second.split() == ["ok", "main:", "b2", "6", "nodes"]
    assert len(third) < 400
