"""What people are told about values of the wrong shape, beyond what the bad files show."""

from __future__ import annotations

import pytest

from exporter.config.document import NOT_YET_SUPPORTED
from tests.config.samples import ACCOUNT, problems


@pytest.mark.parametrize("key", sorted(NOT_YET_SUPPORTED))
def test_later_keys_are_refused_as_such(key: str) -> None:
    """A key of a later version is no mistake of the user's."""
    expected = f'5: accounts[0]: the key "{key}" is not supported yet: remove it'
    assert problems(f"{ACCOUNT}    {key}: x\n") == [expected]


def test_later_keys_are_unknown_elsewhere() -> None:
    """Only an account will have these keys."""
    (problem,) = problems(f"{ACCOUNT}login: x\n")
    assert problem == '5: the key "login" is unknown here: the keys here are global, accounts'


def test_key_of_two_mappings_is_sent_to_both() -> None:
    """A key in the wrong place is told every place where it can stand."""
    (problem,) = problems(f"{ACCOUNT}poll_interval: 1m\n")
    assert problem.endswith('it belongs under "global" or under "accounts"')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ACCOUNT.replace("main", "${A}"), "holds a character that cannot be printed"),
        (f"global: {{max_nodes_per_bucket: '${{A}}'}}\n{ACCOUNT}", "bytes that are no text"),
    ],
)
def test_variable_that_is_no_text_is_refused(text: str, words: str) -> None:
    """Bytes in the environment that are not UTF-8 get nowhere."""
    (problem,) = problems(text, {"A": "\udce9"})
    assert words in problem
