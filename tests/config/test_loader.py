"""Unreadable files, equality of configurations, and secrets in their repr."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exporter.blocking import CONFIG_LIMIT
from exporter.config import ConfigError, load
from tests.config.samples import ACCOUNT, TOKEN, good, written


def test_missing_file_is_a_problem(tmp_path: Path) -> None:
    """A missing file is reported without a line, with the flag to choose another."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.yaml", {})
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (None, "")
    assert str(problem) == (
        f"{tmp_path}/config.yaml: cannot be read (No such file or directory): "
        "choose the file with --config.file"
    )


def test_directory_is_a_problem(tmp_path: Path) -> None:
    """A directory in place of the file is reported as unreadable."""
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path, {})


@pytest.mark.parametrize("length", [253, 300])
def test_name_that_is_too_long_is_a_problem(tmp_path: Path, length: int) -> None:
    """A file name that is too long is reported as a problem, on one line."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / ("x" * length), {})
    reason = "No such file or directory" if length == 253 else "File name too long"
    assert f"cannot be read ({reason}): " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pipe_is_a_problem_and_hangs_nothing(tmp_path: Path) -> None:
    """A pipe is rejected without hanging, such as a shell's <(…)."""
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.yaml", {})
    assert str(caught.value) == (
        f"{tmp_path}/config.yaml: cannot be read (it is not a regular file): "
        "save it as a regular file; pipes, such as <(…), and devices are not supported"
    )


def test_file_over_the_limit_is_a_problem(tmp_path: Path) -> None:
    """A file larger than the limit is rejected."""
    path = tmp_path / "config.yaml"
    path.touch()
    os.truncate(path, CONFIG_LIMIT + 1)
    with pytest.raises(ConfigError, match=r"\(it is larger than 64 MiB\): make it smaller"):
        load(path, {})


def test_equal_content_makes_equal_configurations(tmp_path: Path) -> None:
    """Configurations are equal if their content is, including regular expressions and secrets."""
    text = (
        ACCOUNT.replace("credentials_file: token", f"credentials: {TOKEN}")
        + "    proxy_url: http://ops:s3cr3t@proxy.example.com\n"
        "    discovery: {include: [media-.*]}\n"
        "    bucket_files: ['list*.yaml']\n"
    )
    path = written(tmp_path, text, list1="- {id: one, labels: {team: media}}")
    before = load(path, {})
    written(
        tmp_path, f"# the same\n{text}", list1="- {id: one, labels: {team: media}} # ", list2=""
    )
    assert load(path, {}) == before
    written(tmp_path, text.replace("s3cr3t", "other"))
    assert load(path, {}) != before


def test_other_authorities_of_the_system_make_another_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed system CA bundle makes the configuration unequal, so that a reload uses it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    before = good(ACCOUNT)
    (tmp_path / "bundle.pem").write_text("others")
    assert good(ACCOUNT) != before


def test_credentials_file_stands_beside_the_config_file() -> None:
    """A relative credentials_file is resolved from the configuration's directory."""
    absolute = ACCOUNT.replace("token}", "/run/secrets/token}")
    for text, file in ((ACCOUNT, "etc/token"), (absolute, "/run/secrets/token")):
        assert good(text).accounts[0].credentials == Path(file)


def test_token_shows_in_no_repr() -> None:
    """The str and repr of a configuration do not contain a token."""
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
    """The str and repr of a configuration contain no password of a login or proxy."""
    config = good(ACCOUNT.replace("authorization: {credentials_file: token}", keys))
    assert "s3cr3t" not in f"{config} {config!r} {config.accounts[0].credentials}"


def test_text_names_no_file_of_its_own() -> None:
    """A configuration parsed from text lists no source files."""
    assert not good(ACCOUNT).sources.config
