"""Files that cannot be read at all, and what a configuration shows of its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import ConfigError, load
from tests.config.samples import ACCOUNT, TOKEN, good


def test_missing_file_is_a_problem(tmp_path: Path) -> None:
    """A file that is not there is reported without a line."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.yaml", {})
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (None, "")
    assert str(problem) == (
        f"{tmp_path}/config.yaml: cannot be read (No such file or directory): "
        "name the file with --config.file"
    )


def test_directory_is_a_problem(tmp_path: Path) -> None:
    """A directory in the place of the file is reported the same way."""
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path, {})


def test_credentials_file_stands_beside_the_config_file() -> None:
    """A relative path starts at the config file's directory, an absolute one at the root."""
    absolute = ACCOUNT.replace("token}", "/run/secrets/token}")
    for text, file in ((ACCOUNT, "etc/token"), (absolute, "/run/secrets/token")):
        assert good(text).accounts[0].credentials == Path(file)


def test_token_shows_in_no_repr() -> None:
    """Neither str nor repr of a configuration holds a token, given by hand or by variable."""
    for given in (TOKEN, '"${FLASHBACK_TOKEN}"'):
        config = good(ACCOUNT.replace("credentials_file: token", f"credentials: {given}"))
        assert TOKEN not in f"{config} {config!r}"


@pytest.mark.parametrize(
    "keys",
    [
        "login: {email: ops@example.com, password: s3cr3t}",
        "authorization: {credentials_file: token}\n    proxy_url: http://ops:s3cr3t@proxy.example.com",
    ],
)
def test_password_shows_in_no_repr(keys: str) -> None:
    """Neither a password nor a proxy's is in the str or repr of a configuration."""
    config = good(ACCOUNT.replace("authorization: {credentials_file: token}", keys))
    assert "s3cr3t" not in f"{config} {config!r} {config.accounts[0].credentials}"


def test_text_names_no_file_of_its_own() -> None:
    """A configuration that was not read from a file does not claim to have been."""
    assert not good(ACCOUNT).sources.config
