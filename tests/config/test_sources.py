"""Detecting changed files, and errors for files and directories that cannot be read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.config import Config, ConfigError, load
from tests.config.samples import ENVIRON, written

TEXT = """\
accounts:
  - name: main
    login: {email: ops@example.com, password_file: password}
    bucket_files: [list.yaml, 'more*.yaml']
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with two bucket files, the second through a link, and a password file."""
    (tmp_path / "password").write_text("hunter2")
    (tmp_path / "old").write_text("- two")
    (tmp_path / "new").write_text("- new")
    (tmp_path / "more1.yaml").symlink_to("old")
    return load(written(tmp_path, TEXT, list="- one"), ENVIRON)


def rewrite(directory: Path) -> None:
    """Change the content, but not its length."""
    (directory / "list.yaml").write_text("- 0ne")
    os.utime(directory / "list.yaml", ns=(1, 1))


def swap(directory: Path) -> None:
    """Swap the link as Kubernetes does."""
    (directory / "more1.yaml").unlink()
    (directory / "more1.yaml").symlink_to("new")


CHANGES: dict[str, Callable[[Path], object]] = {
    "the configuration grows": lambda path: (path / "config.yaml").write_text(f"{TEXT}\n"),
    "the configuration is gone": lambda path: (path / "config.yaml").unlink(),
    "a list is rewritten": rewrite,
    "a list is replaced": lambda path: (path / "new").rename(path / "list.yaml"),
    "a link leads elsewhere": swap,
    "a link leads nowhere": lambda path: (path / "old").unlink(),
    "another list appears": lambda path: (path / "more2.yaml").touch(),
    "a matching list is gone": lambda path: (path / "more1.yaml").unlink(),
    "a list becomes unreadable": lambda path: (path / "list.yaml").chmod(0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_change_is_noticed(
    config: Config, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    """A change of content, identity, existence or permissions of a source file is detected."""
    assert config.sources.look() == config.sources
    change(tmp_path)
    assert config.sources.look() != config.sources


def test_secret_and_unrelated_files_are_not_sources(config: Config, tmp_path: Path) -> None:
    """Password files, which are watched separately, and unrelated files are not sources."""
    (tmp_path / "password").write_text("changed")
    (tmp_path / "other.yaml").touch()
    assert config.sources.look() == config.sources


def test_same_content_is_the_same_configuration(config: Config, tmp_path: Path) -> None:
    """Files rewritten with the same content give an equal configuration, with new sources."""
    for file in tmp_path.iterdir():
        os.utime(file)
    again = load(tmp_path / "config.yaml", ENVIRON)
    assert again == config
    assert again.sources != config.sources


def pattern(directory: Path, text: str) -> str:
    """The error for a configuration with this bucket_files pattern."""
    account = TEXT.replace("[list.yaml, 'more*.yaml']", f"[{text}]")
    file = directory / "config.yaml"
    file.write_text(account)
    with pytest.raises(ConfigError) as caught:
        load(file, ENVIRON)
    return str(caught.value).removeprefix(f"{file}:4: accounts[0].bucket_files[0]: ")


def test_directory_that_cannot_be_listed_is_no_empty_one(tmp_path: Path) -> None:
    """An unreadable directory is an error instead of an empty list; this one is a symlink loop."""
    (tmp_path / "loop").symlink_to("loop")
    assert pattern(tmp_path, "'loop/*.yaml'") == (
        f"the directory {tmp_path / 'loop'} cannot be read (Too many levels of symbolic links):"
        " give the exporter permission to list it, or fix the path"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every directory")
def test_directory_without_permission_is_no_empty_one(tmp_path: Path) -> None:
    """A directory without permission is an error instead of an empty list."""
    (tmp_path / "lists").mkdir(mode=0)
    assert "(Permission denied)" in pattern(tmp_path, "'lists/*.yaml'")


def test_directory_that_is_not_there_is_no_empty_one(tmp_path: Path) -> None:
    """A missing directory is an error instead of an empty list, as it may be mounted later."""
    assert pattern(tmp_path, "'lists/*.yaml'") == (
        f"the directory {tmp_path / 'lists'} cannot be read (No such file or directory):"
        " create it, or fix the path"
    )


def test_directory_found_by_a_wildcard_need_not_have_what_follows(tmp_path: Path) -> None:
    """`*/list.yaml` reads the file from those directories that have it."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "list.yaml").write_text("- one")
    (tmp_path / "password").write_text("hunter2")
    file = tmp_path / "config.yaml"
    file.write_text(TEXT.replace("[list.yaml, 'more*.yaml']", "['*/list.yaml', '*/x*/y']"))
    assert [bucket.id for bucket in load(file, ENVIRON).buckets()] == ["one"]


def test_directory_that_a_wildcard_found_and_denies_access_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable directory that a wildcard matched is an error, not skipped."""
    for team in ("a", "b"):
        (tmp_path / team).mkdir()
        (tmp_path / team / "list1.yaml").write_text(f"- {team}")
    listed = os.listdir

    def deny(directory: Path) -> list[str]:
        if directory == tmp_path / "b":
            raise PermissionError(13, "Permission denied", str(directory))
        return listed(directory)

    monkeypatch.setattr(os, "listdir", deny)
    assert pattern(tmp_path, "'*/list?.yaml'") == (
        f"the directory {tmp_path / 'b'} cannot be read (Permission denied):"
        " give the exporter permission to list it, or fix the path"
    )


LONG = "x" * 256


@pytest.mark.parametrize(
    "name", [LONG, f"{LONG}/list.yaml", f"{LONG}/*.yaml", f"*/{LONG}", f"*/{LONG}/*.yaml"]
)
def test_name_that_is_too_long_is_a_problem_with_a_place(tmp_path: Path, name: str) -> None:
    """A name that is too long is an error with its line, before or after a wildcard."""
    (tmp_path / "a").mkdir()
    assert "(File name too long)" in pattern(tmp_path, f"'{name}'")


@pytest.mark.parametrize("key", ["ca_file", "cert_file"])
def test_tls_file_with_a_name_that_is_too_long_has_its_place(tmp_path: Path, key: str) -> None:
    """A TLS file name that is too long is an error like that of other unreadable files."""
    tls = (
        f"{{{key}: {'x' * 256}, key_file: k}}" if key == "cert_file" else f"{{{key}: {'x' * 256}}}"
    )
    file = tmp_path / "config.yaml"
    file.write_text(
        "accounts:\n  - name: main\n    authorization: {credentials: t}\n"
        f"    buckets: [b]\n    tls_config: {tls}\n"
    )
    with pytest.raises(ConfigError, match="File name too long"):
        load(file, ENVIRON)


@pytest.mark.parametrize("place", ["config.yaml", "list.yaml"])
def test_fifo_is_a_problem_and_nothing_hangs(tmp_path: Path, place: str) -> None:
    """A FIFO in place of a file is rejected without hanging."""
    (tmp_path / "password").write_text("hunter2")
    file = written(tmp_path, TEXT, list="- one")
    (tmp_path / place).unlink()
    os.mkfifo(tmp_path / place)
    with pytest.raises(ConfigError, match="it is not a regular file") as caught:
        load(file, ENVIRON)
    assert "save it as a regular file; pipes" in str(caught.value)


def test_standard_input_is_no_configuration_file() -> None:
    """/dev/stdin is rejected, because a reload could not read it again."""
    if sys.platform != "linux":
        pytest.skip("there may be no such path")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Path("/dev/stdin"), ENVIRON)


def test_file_above_the_limit_is_a_problem(tmp_path: Path) -> None:
    """A file larger than the limit is rejected; it is sparse, so the test writes little."""
    file = tmp_path / "config.yaml"
    file.touch()
    os.truncate(file, 64 * 2**20 + 1)
    with pytest.raises(ConfigError, match=r"it is larger than 64 MiB\): make it smaller"):
        load(file, ENVIRON)
