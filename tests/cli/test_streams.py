"""Standard output that is full, closed, without a reader or in any encoding."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cli.test_commands import PROGRAM, TIMEOUTS, line_with, started

NO_ROOM = "cannot write to standard output: No space left on device: free some space\n"
CLOSED = (
    "cannot write to standard output: Bad file descriptor: redirect it to a file or a terminal\n"
)

COMMANDS = {
    "version": "--version",
    "help": "-h",
    "check": "check --config.file={config}",
    "once": "once --config.file={config} --log.level=error",
    "demo": "demo --web.listen-address=127.0.0.1:0 --log.level=error",
    "simulate": "simulate --address=127.0.0.1:0 --log.level=error",
}


def ended(words: str, config: Path, redirection: str, **environ: str) -> tuple[int, bytes, bytes]:
    """The result of a command with its output redirected by a shell."""
    command = shlex.join(PROGRAM) + " " + words.format(config=shlex.quote(str(config)))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} {redirection}"],
        env=os.environ | environ,
        capture_output=True,
        timeout=TIMEOUTS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("redirection", "line"), [(">/dev/full", NO_ROOM), (">&-", CLOSED)])
def test_failed_write_is_one_line(config: Path, words: str, redirection: str, line: str) -> None:
    """If stdout is full or closed, every command prints one error line and exits with 1."""
    assert ended(words, config, redirection) == (1, b"", line.encode())


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_reader_that_has_gone_ends_it_quietly(config: Path, words: str, unbuffered: str) -> None:
    """If the reader of stdout is gone, the command exits with 141 without an error."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [*PROGRAM, *words.format(config=config).split()]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=TIMEOUTS,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_full_disk_for_errors_changes_no_exit_code(config: Path) -> None:
    """If stderr is full, the exit code still reports the error."""
    config.write_text("accounts: []\n")
    assert ended("check --config.file={config}", config, "2>/dev/full")[0] == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_name_is_printed_in_any_encoding(config: Path, encoding: str) -> None:
    """Characters that stdout's encoding lacks are escaped."""
    odd = config.with_name("b\u00fccket-\u6f22.yaml")
    odd.write_text(config.read_text())
    code, told, errors = ended(COMMANDS["check"], odd, "", PYTHONIOENCODING=encoding)
    assert (code, errors) == (0, b"")
    assert str(odd).encode(encoding, "backslashreplace") + b": valid" in told


def test_live_verdicts_are_printed_in_any_encoding(config: Path) -> None:
    """`check --live` escapes a bucket id that stdout's encoding lacks."""
    text = config.read_text().replace("[b1]", '["\u6f22"]')
    with started("simulate", "--address=127.0.0.1:0") as api:
        url = line_with(api.stdout, r"API: +(\S+)")
        config.write_text(text.replace("http://127.0.0.1:9", url), encoding="utf-8")
        words = COMMANDS["check"] + " --live"
        code, told, _ = ended(words, config, "", PYTHONIOENCODING="ascii")
    assert code == 0
    assert b"main: \\u6f22" in told
