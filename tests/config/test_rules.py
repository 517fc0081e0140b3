"""Rules across several keys, also in files with other problems."""

from __future__ import annotations

from tests.config.samples import ACCOUNT, good, problems


def test_rules_hold_beside_other_problems() -> None:
    """A wrong key elsewhere does not hide an invalid timeout or a duplicate bucket."""
    text = """\
global: {poll_interval: 15s, poll_timeout: 20s}
accounts:
  - id: main
    authorization: 7
    poll_interval: 10s
    base_url: http://api.example.com
    buckets: [one, one]
"""
    assert [problem.split(": ")[1] for problem in problems(text)] == [
        "global.poll_timeout",
        "accounts[0]",
        "accounts[0]",
        "accounts[0].authorization",
        "accounts[0].poll_interval",
        "accounts[0].base_url",
        "accounts[0].buckets[1]",
    ]


def test_rules_wait_for_sound_values() -> None:
    """If a value is invalid, rules that depend on it are not checked."""
    text = f"global: {{poll_interval: 60, stale_after: 1s}}\n{ACCOUNT}    poll_interval: ${{U}}m\n"
    assert [problem.split(": ")[1] for problem in problems(text)] == [
        "global.poll_interval",
        "accounts[0].poll_interval",
    ]


def test_inherited_conflict_is_told_once() -> None:
    """A conflict between global keys is reported once, not for each account."""
    (problem,) = problems(f"global: {{stale_after: 1m}}\n{ACCOUNT}")
    assert problem.startswith("1: global.stale_after: ")


def test_account_s_staleness_wins_over_the_global_one() -> None:
    """An account's own keys override the global ones, also in a rule."""
    own = "    poll_interval: 10m\n    stale_after: 30m\n"
    (account,) = good(f"global: {{stale_after: 5m}}\n{ACCOUNT}{own}").accounts
    assert account.timing.stale_after == 1800


def test_exposed_global_url_matters_only_where_it_is_used() -> None:
    """A global http:// URL is an error only for accounts that use it without allow_http."""
    start = f"global: {{base_url: http://api.example.com}}\n{ACCOUNT}"
    for leave in ("base_url: https://api.example.com", "allow_http: true"):
        assert good(f"{start}    {leave}\n").accounts
    assert len(problems(start)) == 1


def test_ids_are_compared_as_they_are_used() -> None:
    """Duplicate ids are detected after variables are expanded; unset variables are not compared."""
    text = ACCOUNT.replace("[65f1c0ffee]", '["${BUCKET}", 65f1c0ffee, "${U}", "${U}"]')
    first, second, repeat = problems(text)
    assert "U is not set" in first
    assert "U is not set" in second
    assert '"65f1c0ffee" duplicates accounts[0].buckets[0] in line 4' in repeat


def test_missing_choices_are_told_beside_other_problems() -> None:
    """Missing keys are reported together with other problems."""
    text = "accounts:\n  - proxy_url: x\n    colour: {}\n    buckets: []\n"
    assert [problem.split(": ")[:3] for problem in problems(text)] == [
        ["2", "accounts[0].proxy_url", "this URL does not start with http:// or https://"],
        ["2", "accounts[0]", 'the key "name" is missing'],
        ["2", "accounts[0]", "authorization or login is required"],
        ["3", "accounts[0]", 'the key "colour" is unknown here'],
        ["4", "accounts[0].buckets", "this account has no buckets"],
    ]


def test_what_is_no_account_lacks_nothing() -> None:
    """If an entry is not a mapping, only that is reported."""
    (problem,) = problems("accounts: [7]")
    assert "this must be a mapping" in problem


def test_wrong_list_is_no_missing_one() -> None:
    """If buckets have the wrong type, only that is reported."""
    for wrong in ("buckets: one", "buckets:", "bucket_files: [{}]", "discovery: 7"):
        (problem,) = problems(ACCOUNT.replace("buckets: [65f1c0ffee]", wrong))
        assert "has no buckets" not in problem


def test_tls_follows_the_url_in_force() -> None:
    """tls_config needs https:// in the URL that applies to the account, not the global one."""
    tls = "    tls_config: {insecure_skip_verify: true}\n"
    start = f"global: {{base_url: http://localhost}}\n{ACCOUNT}{tls}"
    assert good(f"{start}    base_url: https://localhost\n").accounts[0].tls.insecure_skip_verify
    (problem,) = problems(start)
    assert problem.startswith("6: accounts[0].tls_config: tls_config needs an https:// base_url")
