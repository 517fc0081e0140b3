"""`flashback-exporter backfill` as a process: its output and exit code."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.test_commands import (
    CONFIG,
    LIVE_API,
    LIVE_CONFIG,
    PROGRAM,
    TIMEOUTS,
    finished,
    line_with,
    started,
)

LAST_DAY = str(datetime.now(UTC).date() - timedelta(days=3))
BEFORE = str(datetime.now(UTC).date() - timedelta(days=4))


@pytest.fixture
def scenario() -> str:
    """The scenario of the simulator."""
    return ""


@pytest.fixture
def served(config: Path, scenario: str) -> Iterator[Path]:
    """A configuration with three buckets of a running simulator."""
    with started("simulate", "--address=127.0.0.1:0", f"--scenario={scenario}") as simulator:
        api = line_with(simulator.stdout, r"API: +(\S+)")
        config.write_text(CONFIG.format(api=api).replace("[b1]", "[b1, b2, b3]"))
        yield config


def flags(config: Path, first: str = BEFORE, last: str = LAST_DAY) -> tuple[str, ...]:
    """The arguments of a complete command."""
    output = config.parent / "out"
    return (
        "backfill",
        *(f"--config.file={config}", f"--from={first}", f"--to={last}", f"--output={output}"),
    )


def files(config: Path) -> list[str]:
    """The names of the written files."""
    return sorted(each.name for each in (config.parent / "out").glob("*.om"))


def test_days_are_written_and_told_of(served: Path) -> None:
    """A run writes one file per day, logs each day, prints the number of files and exits with 0."""
    ended = finished(*flags(served), "--label=job=flashback", "--label=instance=localhost:10120")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"{served.parent / 'out'}: files written: 2\n"
    assert files(served) == [f"{BEFORE}.om", f"{LAST_DAY}.om"]
    for day in (BEFORE, LAST_DAY):
        counts = "requested=3 with_values=3"
        assert f"event=day_finished day={day} file={day}.om {counts}" in ended.stderr
    text = (served.parent / "out" / f"{LAST_DAY}.om").read_text()
    assert ',job="flashback",instance="localhost:10120"} ' in text
    assert "s3cret" not in ended.stderr + ended.stdout


def test_environment_sets_its_flags(served: Path) -> None:
    """Each flag can be set by its environment variable, lists with commas."""
    with started(
        "backfill",
        FLASHBACK_EXPORTER_CONFIG_FILE=str(served),
        FLASHBACK_EXPORTER_FROM=LAST_DAY,
        FLASHBACK_EXPORTER_TO=LAST_DAY,
        FLASHBACK_EXPORTER_BUCKET="b1,b3",
        FLASHBACK_EXPORTER_LABEL="job=a,instance=b",
        FLASHBACK_EXPORTER_OUTPUT=str(served.parent / "out"),
    ) as process:
        _, log = process.communicate(timeout=TIMEOUTS)
    assert process.returncode == 0, log
    text = (served.parent / "out" / f"{LAST_DAY}.om").read_text()
    assert 'bucket_id="b1"' in text
    assert 'bucket_id="b2"' not in text
    assert ',job="a",instance="b"} ' in text


@pytest.mark.parametrize("scenario", ["not-found/share=1/bucket=b2"])
def test_what_failed_is_listed_and_is_code_3(served: Path) -> None:
    """Failures exit with 3, and are listed on stderr and in failed.json."""
    ended = finished(*flags(served), "--log.level=error")
    assert ended.returncode == 3
    assert ended.stderr.startswith(
        f"failed: main: b2 on 2 days from {BEFORE} to {LAST_DAY}: not_found: "
    )
    assert ended.stdout.endswith("files written: 2, failed: 2\n")
    failed = json.loads((served.parent / "out" / "failed.json").read_bytes())
    assert [each["day"] for each in failed] == [BEFORE, LAST_DAY]


def test_odd_names_of_what_failed_are_spelt_out(config: Path) -> None:
    """Control characters in ids from the API are escaped in the output of backfill and check."""
    api = LIVE_API.format(scenario="not-found/share=1", password="s3cret-password")
    api = api.replace("closed", "\\x1b[2J\\u202e")
    with started(program=(sys.executable, "-c", api)) as simulator:
        text = LIVE_CONFIG.format(api=line_with(simulator.stdout, r"API: +(\S+)"))
        config.write_text(text.split("    buckets:")[0])
        ended = finished(*flags(config))
        live = finished("check", f"--config.file={config}", "--live")
    assert "failed: main: \\u001b[2J\\u202e on 2 days" in ended.stderr
    assert "main: \\u001b[2J\\u202e  not_found" in live.stdout
    for line in f"{ended.stderr}{live.stdout}".split("\n"):
        assert line.isprintable()


@pytest.mark.long
@pytest.mark.parametrize("scenario", ["hang/share=1/bucket=b2"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_between_whole_files(served: Path, signum: signal.Signals) -> None:
    """A run stopped by a signal leaves only complete files, says so and exits with 3."""
    whole = finished(*flags(served), "--bucket=b1")
    assert whole.returncode == 0
    with started(*flags(served), "--log.level=debug") as process:
        unfinished = served.parent / "out" / ".unfinished"
        while not unfinished.exists() or not any(
            each.stat().st_size for each in unfinished.iterdir()
        ):
            assert process.poll() is None
        process.send_signal(signum)
        output, _ = process.communicate(timeout=TIMEOUTS)
    assert process.returncode == 3
    assert "stopped early: run the command again to continue" in output
    assert not unfinished.exists()
    assert files(served) == [f"{BEFORE}.om", f"{LAST_DAY}.om"]


def test_terminal_shows_progress(served: Path) -> None:
    """On a terminal there is a progress bar, and log lines appear too."""
    terminal, other_end = pty.openpty()
    termios.tcsetwinsize(other_end, (24, 100))
    command = [*PROGRAM, *flags(served)]
    with subprocess.Popen(command, stderr=other_end, stdout=subprocess.DEVNULL) as process:
        os.close(other_end)
        shown = b"".join(iter(lambda: _read(terminal), b""))
        os.close(terminal)
    assert process.returncode == 0
    assert b"/6 [" in shown
    assert b"event=day_finished" in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux returns this error at the end
        return b""


def told(*arguments: str) -> str:
    """The usage error of a command, which exits with 2."""
    ended = finished(*arguments)
    assert ended.returncode == 2
    assert ended.stdout == ""
    return ended.stderr.split("error: ")[1].replace(" (see -h)", "")


def test_what_is_needed_is_asked_for(config: Path) -> None:
    """A missing required flag is a usage error that names it."""
    wanted = flags(config)
    for name in ("from", "to", "output"):
        rest = [each for each in wanted if not each.startswith(f"--{name}=")]
        assert told(*rest) == f"--{name} is required\n"


def test_days_the_wrong_way_round_are_refused(config: Path) -> None:
    """If --from is after --to, the error has both days."""
    assert told(*flags(config, LAST_DAY, BEFORE)) == f"--from {LAST_DAY} is after --to {BEFORE}\n"


@pytest.mark.parametrize("text", ["yesterday", "2024-1-5", "20240105", "2024-02-30", "2024-W03-1"])
def test_what_is_no_day_is_refused(config: Path, text: str) -> None:
    """A day must be written as YYYY-MM-DD."""
    assert f"{text!r} is not a day such as 2024-01-15" in told(*flags(config, text))


def test_day_without_final_values_is_refused(config: Path) -> None:
    """For a day whose values are not final, the error says from when they are available."""
    today = datetime.now(UTC).date()
    tomorrow = today + timedelta(days=1)
    assert told(*flags(config, BEFORE, str(today))) == (
        f"--to {today}: the final values of this day are available from {tomorrow} 01:14 UTC\n"
    )


def test_grace_counts_for_when_a_day_can_be_had(config: Path) -> None:
    """A longer rollover_grace makes a day available later."""
    config.write_text(config.read_text().replace("5s", "5s, rollover_grace: 6h"))
    message = told(*flags(config, BEFORE, str(datetime.now(UTC).date())))
    assert message.endswith(" 07:04 UTC\n")


def test_day_to_come_is_refused(config: Path) -> None:
    """A day in the future is a usage error."""
    for day in (datetime.now(UTC).date() + timedelta(days=2), date.max):
        expected = f"--to {day}: this day is in the future\n"
        assert told(*flags(config, BEFORE, str(day))) == expected


def test_label_twice_is_refused(config: Path) -> None:
    """A --label name that is given twice is a usage error."""
    assert told(*flags(config), "--label=a=1", "--label=a=2") == ("--label: duplicate name\n")


def test_label_of_the_metric_is_refused(config: Path) -> None:
    """A --label that the metrics already have is a usage error with the reason."""
    assert "a label ip of their own" in told(*flags(config), "--label=ip=1")


def test_unknown_bucket_is_code_2(config: Path) -> None:
    """An unknown --bucket is a usage error, found without a request."""
    ended = finished(*flags(config), "--bucket=nope", "--bucket=b1")
    assert ended.returncode == 2
    assert ended.stderr.endswith("--bucket: no account polls a bucket 'nope'\n")


@pytest.mark.parametrize("scenario", ["forbidden/share=1/call=list"])
def test_bucket_that_could_not_be_looked_for_is_code_3(served: Path) -> None:
    """If discovery failed, an unknown --bucket exits with 3, because it may exist."""
    served.write_text(served.read_text() + "    discovery: {}\n")
    assert finished(*flags(served), "--bucket=nope").returncode == 3


def test_bad_configuration_is_code_1(config: Path) -> None:
    """An invalid configuration exits with 1."""
    config.write_text("accounts: []\n")
    assert finished(*flags(config)).returncode == 1


def test_directory_that_cannot_be_is_code_1(served: Path) -> None:
    """If the output directory cannot be created, the exit code is 1 with a clear error."""
    (served.parent / "out").write_text("in the way")
    ended = finished(*flags(served))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith(
        "cannot be used: Not a directory: fix that, or choose another directory with --output"
    )


def test_record_of_another_shape_is_code_1_and_one_line(served: Path) -> None:
    """An invalid record exits with 1 and a one-line error instead of a traceback."""
    answered = served.parent / "out" / "answered"
    answered.mkdir(parents=True)
    (answered / f"{BEFORE}.json").write_text("[" * 100_000)
    ended = finished(*flags(served), "--log.level=error")
    assert ended.returncode == 1
    assert ended.stderr == (
        f"{answered / BEFORE}.json: the content is invalid:"
        " remove it and the day's files: the next run writes them again\n"
    )


HUNG_DISK = """
import itertools, os, sys, threading
from exporter.cli import main
number = itertools.count(1)
real = os.fsync
def sync(descriptor):
    if next(number) < {first}:
        return real(descriptor)
    print("hanging", file=sys.stderr, flush=True)
    threading.Event().wait()
os.fsync = sync
sys.exit(main())
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "first",
    [
        pytest.param(1, id="while the directory is taken"),
        pytest.param(3, id="while a day's file is made"),
        pytest.param(4, id="while its record is written"),
        pytest.param(6, id="while it appears"),
    ],
)
def test_disk_that_hangs_does_not_hold_up_a_stop(served: Path, first: int) -> None:
    """While a write to the disk hangs, a signal still ends the run with 3 and its message."""
    program = (sys.executable, "-c", HUNG_DISK.format(first=first))
    with started(*flags(served), program=program) as process:
        line_with(process.stderr, "(hanging)")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=TIMEOUTS)
    assert process.returncode == 3
    assert "stopped early: run the command again to continue" in output


def test_full_disk_is_code_1_and_leaves_no_half_file(served: Path) -> None:
    """A full disk exits with 1, and no incomplete file is left."""
    small = (200_000, 200_000)
    command = [*PROGRAM, *flags(served)]
    ended = subprocess.run(
        command,
        text=True,
        capture_output=True,
        timeout=TIMEOUTS,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, small),
        # Coverage's own file would also be truncated.
        env={name: value for name, value in os.environ.items() if "COV" not in name},
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith(
        "cannot be used: File too large: free some space and run the command again: it continues"
        " where it stopped"
    )
    assert [each.name for each in (served.parent / "out").iterdir()] == ["answered"]


MEASURED = """
import resource, sys
from exporter.cli import run_command
code = run_command()
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def peak(config: Path, buckets: int, days: int) -> int:
    """The peak memory of a run with this many buckets and days."""
    lines = config.read_text().split("    buckets:")[0] + "    buckets:\n"
    config.write_text(lines + "".join(f"      - b{number}\n" for number in range(buckets)))
    last = date.fromisoformat(LAST_DAY)
    output = config.parent / f"{buckets}-{days}"
    arguments = flags(config, str(last - timedelta(days=days - 1)))
    command = [sys.executable, "-c", MEASURED, *arguments[:-1], f"--output={output}"]
    ended = subprocess.run(command, text=True, capture_output=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    size = sum(each.stat().st_size for each in output.glob("*.om"))
    assert size > buckets * days * 500_000
    for each in output.glob("*.om"):
        each.unlink()
    return int(line_with(iter(ended.stdout.splitlines()), r"peak (\d+)"))


@pytest.mark.long
def test_memory_does_not_grow_with_buckets_and_days(served: Path) -> None:
    """A run with a hundred times the work needs at most 25% more memory."""
    served.write_text(served.read_text().replace("5s", "5s, max_requests_per_second: 1000"))
    small = peak(served, 3, 1)
    large = peak(served, 100, 3)
    assert large < small * 1.25


def test_help_says_what_it_is_for() -> None:
    """`backfill -h` lists the flags."""
    ended = finished("backfill", "-h")
    assert ended.returncode == 0
    assert "--from DATE" in ended.stdout
