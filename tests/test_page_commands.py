"""The commands on the pages are valid: programs, flags, targets, files.

Nothing is run. Commands of other programs are listed with the reason, or with the test that runs
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.cli import flags
from exporter.cli.commands import COMMANDS
from tests.harness.documents import ROOT, code_words, examples, page_texts
from tests.harness.shell_lines import commands

FLAGS = {name: command.flags for name, command in COMMANDS.items()}
IMAGE = re.compile(r"ghcr\.io/flashback-exporter/flashback-exporter:")
FOLDERS = r"benchmarks|deploy|docs|exporter|helm|monitoring|tests|\.github"
SOURCE = re.compile(rf"(\./)?({FOLDERS})/[^<…]+|[\w-]+\.txt|config\.\w+\.(yaml|json)")

OTHER_PROGRAMS = {
    "cosign": "takes an image that was released",
    "cp": "every system has it",
    "curl": "its requests have tests of their own; the script: tests/real/test_coming_from.py",
    "date": "run with its script by tests/real/test_coming_from.py",
    "docker": "takes Docker; the image is built and run by tests/real/test_image.py",
    "build-distributions": "tests/deploy/test_release.py",
    "gh": "takes an image that was released",
    "grep": "run with its command by tests/real/test_troubleshooting.py",
    "helm": "tests/real/test_examples.py",
    "install": "writes to the system's folders; which files it takes is checked here",
    "jq": "run with its script by tests/real/test_coming_from.py",
    "kubectl": "takes a cluster",
    "mv": "every system has it",
    "openssl": "tests/real/test_guard.py",
    "pip": "takes a package index; which files it takes is checked here",
    "pipx": "takes a package that was released",
    "promtool": "tests/real/test_backfill.py",
    "vmalert": "its flags name programs that have to run; the rules: tests/real/test_vmalert.py",
    "rm": "every system has it",
    "sudo": "takes the right to be root",
    "systemctl": "takes a system that was booted by systemd",
}
"""Commands of other programs in examples, and why they are not run here."""


def shell_commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of the shell examples, with its place."""
    for example in examples("sh"):
        for words in commands(example.text):
            yield str(example), words


def own_arguments(words: list[str]) -> list[str] | None:
    """The arguments of the exporter in a command, also in a container."""
    for index, word in enumerate(words):
        is_started = index == 0 or words[index - 1] == "--"
        if is_started and Path(word).name == "flashback-exporter":
            return words[index + 1 :]
        if words[:2] == ["docker", "run"] and IMAGE.match(word):
            return words[index + 1 :]
    return None


def own_commands() -> Iterator[tuple[str, list[str]]]:
    """Each exporter command in examples and code marks: its place and arguments."""
    for place, words in shell_commands():
        arguments = own_arguments(words)
        if arguments is not None:
            yield place, arguments
    for page, code in code_words():
        if code.startswith("flashback-exporter ") and "[" not in code:
            (words,) = commands(code)
            yield page, words[1:]


def test_every_command_is_ours_or_listed() -> None:
    """Each program on the pages is ours or listed above, and no other is listed."""
    own = {"flashback-exporter", "make", "python", "python3"}
    named = {Path(words[0]).name for _, words in shell_commands()}
    assert named - own == OTHER_PROGRAMS.keys()


@pytest.mark.parametrize(("place", "arguments"), list(own_commands()))
def test_own_commands_have_the_flags_that_pages_give_them(
    place: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The parser accepts each exporter command line, with its flags and values."""
    command, *rest = arguments if arguments and arguments[0] in COMMANDS else ["run", *arguments]
    if rest == ["--version"]:
        return
    try:
        flags.parse(flags.parser(command, ""), FLAGS[command], rest, {})
    except SystemExit:
        pytest.fail(f"{place}: {capsys.readouterr().err}")


def test_every_command_is_known_with_its_flags() -> None:
    """All commands are covered by FLAGS."""
    assert FLAGS.keys() == set(COMMANDS)


def test_flags_and_variables_that_pages_name_exist() -> None:
    """Each flag in code marks and each variable on a page exists."""
    known = {flag.name: flag.variable for each in FLAGS.values() for flag in each}
    for page, code in code_words():
        for name in re.findall(r"^--((?:config|log|shard|web)\.[a-z.-]+)", code):
            assert name in known, f"{page}: --{name}"
    for page, text in page_texts():
        for variable in re.findall(r"FLASHBACK_EXPORTER_[A-Z_]*[A-Z]", text):
            assert variable in known.values(), f"{page}: {variable}"


def test_targets_that_pages_name_exist() -> None:
    """Each `make` target on a page exists."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {(place, words[1]) for place, words in shell_commands() if words[0] == "make"}
    named |= {
        (page, target)
        for page, code in code_words()
        for target in re.findall(r"^make ([\w-]+)", code)
    }
    assert named
    assert [each for each in named if each[1] not in targets] == []


def test_modules_that_pages_run_exist() -> None:
    """Each `python -m` on a page names an existing module that knows the given flags."""
    named = [(page, words) for page, code in code_words() for words in commands_in(code)]
    for place, words in [*shell_commands(), *named]:
        is_python = Path(words[0]).name in {"python", "python3"}
        if is_python and words[1] != "-c":  # the program of `-c` is run by tests/real/test_guard.py
            dash, module, *arguments = words[1:]
            assert dash == "-m", place
            folder = ROOT / module.replace(".", "/")
            program = folder / "__main__.py" if folder.is_dir() else folder.with_suffix(".py")
            files = list(folder.glob("*.py")) if folder.is_dir() else [program]
            for flag in (each for each in arguments if each.startswith("--")):
                known = any(f'"{flag}"' in file.read_text() for file in files)
                assert known, f"{place}: {module} {flag}"
            assert program.exists() or module == "venv", f"{place}: {module}"


def commands_in(code: str) -> list[list[str]]:
    """The commands in code marks that run a module."""
    return commands(code) if re.match(r"\S*python3? -m ", code) else []


def test_files_that_pages_name_exist() -> None:
    """Each path into the source, in code marks or in a command, exists."""
    named = [(page, code) for page, code in code_words() if " " not in code]
    named += [(place, word) for place, words in shell_commands() for word in words]
    found = [(place, word) for place, word in named if SOURCE.fullmatch(word)]
    assert found
    for place, word in found:
        pattern = word.split("::")[0].removeprefix("./").rstrip("/")
        assert list(ROOT.glob(pattern)), f"{place}: {word}"
