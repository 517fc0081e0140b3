"""Messages for misplaced keys and values that are not text, beyond the bad files."""

from __future__ import annotations

import pytest

from tests.config.samples import ACCOUNT, problems

LOGIN = 'login: {email: ops@example.com, password: "${A}"}'


def test_key_of_an_account_is_unknown_elsewhere() -> None:
    """For a misplaced key, the message says where it belongs."""
    (problem,) = problems(f"{ACCOUNT}login: x\n")
    assert problem == '5: the key "login" is unknown here: it belongs under "accounts"'


def test_key_of_two_mappings_is_sent_to_both() -> None:
    """For a key that belongs in two places, the message says both."""
    (problem,) = problems(f"{ACCOUNT}poll_interval: 1m\n")
    assert problem.endswith('it belongs under "global" or under "accounts"')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ACCOUNT.replace("main", "${A}"), "contains a character that cannot be printed"),
        (
            ACCOUNT.replace("authorization: {credentials_file: token}", LOGIN),
            "this is not valid UTF-8",
        ),
        (f"global: {{max_nodes_per_bucket: '${{A}}'}}\n{ACCOUNT}", "this is not valid UTF-8"),
    ],
)
def test_variable_that_is_no_text_is_refused(text: str, words: str) -> None:
    """A variable whose bytes are not UTF-8 is an error."""
    (problem,) = problems(text, {"A": "\udce9"})
    assert words in problem
