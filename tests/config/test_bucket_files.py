"""Bucket files with unusual content or names."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import Config, load
from tests.config.samples import ACCOUNT, ENVIRON, load_problems, written

START = ACCOUNT.replace("buckets: [65f1c0ffee]", "bucket_files: [PATTERNS]")
ALL = START.replace("PATTERNS", "'*s.yaml'")


def ids(config: Config) -> list[str]:
    """The ids of all buckets."""
    return [bucket.id for bucket in config.buckets()]


@pytest.mark.parametrize("text", ["", "# later\n", "---\n", "[]", "~", "\ufeff"])
def test_file_without_entries_is_an_empty_list(tmp_path: Path, text: str) -> None:
    """An empty bucket file is an empty list."""
    path = written(tmp_path, ALL, eus=text, us="- one")
    assert ids(load(path, ENVIRON)) == ["one"]


def test_star_is_for_files_that_are_not_hidden(tmp_path: Path) -> None:
    """A wildcard does not match directories and hidden files."""
    path = written(tmp_path, ALL, **{"eus": "- one", ".s": "- two"})
    (tmp_path / "dirs.yaml").mkdir()
    assert ids(load(path, ENVIRON)) == ["one"]


def test_two_patterns_may_match_one_file(tmp_path: Path) -> None:
    """A file that several patterns match is read once."""
    names = f"'*s.yaml', eus.yaml, ./eus.yaml, '{tmp_path}/e*.yaml'"
    path = written(tmp_path, START.replace("PATTERNS", names), eus="- one", us="- two")
    assert ids(load(path, ENVIRON)) == ["one", "two"]


def test_directory_of_the_config_file_is_no_pattern(tmp_path: Path) -> None:
    """Wildcard characters in the configuration's directory are taken literally."""
    directory = tmp_path / "[a]*"
    directory.mkdir()
    path = written(directory, ALL, eus="- one")
    assert ids(load(path, ENVIRON)) == ["one"]


def test_unreadable_file_is_a_problem_of_its_own(tmp_path: Path) -> None:
    """An unreadable bucket file is reported, and the other files are checked too."""
    path = written(tmp_path, ALL, eus="- .", us="- one")
    (tmp_path / "as.yaml").symlink_to(tmp_path / "gone")
    lost, dot = load_problems(path)
    assert (
        lost
        == "as.yaml: cannot be read (No such file or directory): give the exporter read permission"
    )
    assert dot.startswith("eus.yaml:1: [0]: ")


def test_odd_file_name_stays_on_one_line(tmp_path: Path) -> None:
    """A file name with control characters is escaped in errors."""
    path = written(tmp_path, ALL, **{"a\ns": "- ."})
    (problem,) = load_problems(path)
    assert problem.startswith('"a\\ns.yaml":1: [0]: ')


def test_files_are_read_whatever_else_is_wrong(tmp_path: Path) -> None:
    """Bucket files are checked even if the account or a pattern has an error."""
    text = START.replace("PATTERNS", "'${U}', [], '*s.yaml'") + "    colour: red\n"
    path = written(tmp_path, text, eus="- one\n- one")
    assert [problem.split(": ")[:2] for problem in load_problems(path)] == [
        ["config.yaml:4", "accounts[0].bucket_files[0]"],
        ["config.yaml:4", "accounts[0].bucket_files[1]"],
        ["config.yaml:5", "accounts[0]"],
        ["eus.yaml:2", "[1]"],
    ]


def test_anchors_end_with_their_file(tmp_path: Path) -> None:
    """Anchors and aliases work inside of a bucket file, but not across files."""
    good = "- {id: one, labels: &labels {team: media}}\n- {id: two, labels: {<<: *labels, a: b}}"
    path = written(tmp_path, ALL, eus=good)
    assert load(path, ENVIRON).buckets()[1].labels == {"team": "media", "a": "b"}
    (problem,) = load_problems(written(tmp_path, ALL, us="- {id: three, labels: *labels}"))
    assert problem.startswith("us.yaml:1: this is not valid YAML")
