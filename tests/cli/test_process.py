"""Signals at any time, and a stderr without a reader."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.cli.test_commands import (
    ANY_PORT,
    PATCHED_DEMO,
    PROGRAM,
    TIMEOUTS,
    finished,
    line_with,
    listening,
    started,
    started_with_a_stuck_scrape,
)
from tests.harness.scrapes import Scrape

DROPPED = "flashback_exporter_log_lines_dropped_total"

SIGNAL_AT_IMPORT = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
from exporter.cli import main
sys.exit(main())
"""

STUCK_LOOP = """
def stuck(*_):
    print("stuck", flush=True)
    {how}
exporter.polling.event_log.EventLogger.log_transition = stuck
"""
BUSY = "while True: pass"
BLOCKED = "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"


@pytest.fixture
def broken() -> str:
    """A configuration with so many problems that its errors fill the log pipe."""
    return "accounts:\n" + "".join(f"  - {{unknown_{number}: 1}}\n" for number in range(200))


@contextmanager
def unread(process: subprocess.Popen[str]) -> Iterator[None]:
    """Fill a process's stderr pipe while the body runs, as if its terminal was stopped."""
    assert process.stderr is not None
    # Opened again, so that only our writes are non-blocking, not those of the process.
    pipe = os.open(f"/proc/{process.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while select.select([], [pipe], [], 0)[1]:
            os.write(pipe, b"\n" * select.PIPE_BUF)
        yield
    finally:
        os.close(pipe)


def scrape(base: str) -> Scrape:
    """The current metrics."""
    return Scrape(httpx.get(base + "/metrics", trust_env=False, timeout=TIMEOUTS).text)


def taken(pid: int) -> None:
    """Wait until the process has no pending signals."""
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        pending = [line for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
        if not any(int(line.split()[1], 16) for line in pending):
            return


@pytest.mark.long
def test_log_that_nobody_reads_holds_nothing_up(config: Path, broken: str) -> None:
    """If stderr is blocked, scrapes and SIGTERM still work, and dropped lines are counted."""
    with started(f"--config.file={config}", ANY_PORT, "--log.level=debug") as process:
        base = listening(process)
        with unread(process):
            assert scrape(base).value(DROPPED) == 0
            config.write_text(broken)
            while not scrape(base).value(DROPPED):
                process.send_signal(signal.SIGHUP)
            assert httpx.get(base + "/-/healthy", trust_env=False).status_code == 200
            process.terminate()
            assert process.wait(TIMEOUTS) == 0


def test_second_signal_ends_it_while_nobody_reads_the_log() -> None:
    """If a scrape delays the stop and stderr is blocked, a second signal ends the process."""
    with started_with_a_stuck_scrape() as process, unread(process):
        process.terminate()
        taken(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUTS) == 128 + signal.SIGINT


def test_log_whose_reader_has_gone_counts_as_dropped(config: Path) -> None:
    """If stderr's reader is gone, the exporter continues and counts the dropped lines."""
    with started(f"--config.file={config}", ANY_PORT) as process:
        base = listening(process)
        assert process.stderr is not None
        process.stderr.close()
        while not scrape(base).value(DROPPED):
            process.send_signal(signal.SIGHUP)
        process.terminate()
        assert process.wait(TIMEOUTS) == 0


def test_closed_standard_error_is_no_hindrance() -> None:
    """The demo works without a stderr."""
    program = ("sh", "-c", 'exec "$@" 2>&-', "sh", *PROGRAM)
    with started("demo", ANY_PORT, program=program) as process:
        base = line_with(process.stdout, r"Metrics: +(\S+)/metrics")
        assert scrape(base).value(DROPPED) == 0
        process.terminate()
        assert process.wait(TIMEOUTS) == 0


@pytest.mark.parametrize("how", [BUSY, BLOCKED])
def test_second_signal_ends_it_whatever_the_loop_does(how: str) -> None:
    """If the event loop is stuck, a second signal still ends the process."""
    patch = STUCK_LOOP.format(how=how)
    with started(program=(sys.executable, "-c", PATCHED_DEMO.format(patch=patch))) as process:
        line_with(process.stdout, "(stuck)")
        process.terminate()
        taken(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUTS) == 128 + signal.SIGINT


def test_second_signal_ends_process_1() -> None:
    """As PID 1 of a container, the process also ends by a second signal."""
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("a process of number 1 needs unshare and root")
    code = PATCHED_DEMO.format(patch=STUCK_LOOP.format(how=BLOCKED))
    program = (unshare, "--pid", "--fork", "--kill-child", sys.executable, "-c", code)
    with started(program=program) as process:
        line_with(process.stdout, "(stuck)")
        (child,) = psutil.Process(process.pid).children()
        child.send_signal(signal.SIGTERM)
        taken(child.pid)
        child.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUTS) == 128 + signal.SIGINT


@pytest.mark.long
def test_stop_ends_in_time_whatever_the_loop_does() -> None:
    """If the event loop is stuck, one SIGTERM ends the process after a timeout."""
    patch = STUCK_LOOP.format(how=BLOCKED)
    with started(program=(sys.executable, "-c", PATCHED_DEMO.format(patch=patch))) as process:
        line_with(process.stdout, "(stuck)")
        process.terminate()
        assert process.wait(TIMEOUTS) == 0


def at_import(module: str, signum: signal.Signals) -> tuple[str, ...]:
    """Arguments to run the program so that it gets a signal when it first imports a module."""
    code = SIGNAL_AT_IMPORT.format(module=module, number=int(signum))
    return (sys.executable, "-c", code)


MOMENTS = ["exporter.cli.run", "structlog", "pydantic", "aiohttp", "exporter.app"]


@pytest.mark.parametrize("module", MOMENTS)
def test_hangup_before_it_is_ready_is_a_reload(config: Path, module: str) -> None:
    """SIGHUP during the start is handled once the exporter is ready."""
    program = at_import(module, signal.SIGHUP)
    with started(f"--config.file={config}", ANY_PORT, program=program) as process:
        assert line_with(process.stderr, r"event=config_reloaded accounts=(\d)") == "1"
        process.terminate()
        assert process.wait(TIMEOUTS) == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", MOMENTS)
def test_stop_before_it_is_ready_is_a_clean_stop(
    config: Path, module: str, signum: signal.Signals
) -> None:
    """SIGTERM or SIGINT during the start exits with 0 and without a traceback."""
    program = at_import(module, signum)
    with started(f"--config.file={config}", ANY_PORT, program=program) as process:
        assert process.wait(TIMEOUTS) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


COMMANDS = ["once", "check", "backfill"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", ["exporter.cli.commands", "exporter.cli.{command}", "yaml"])
@pytest.mark.parametrize("command", COMMANDS)
def test_signal_ends_a_command_that_is_being_loaded(
    config: Path, command: str, module: str, signum: signal.Signals
) -> None:
    """A signal ends a short command at once and without output, even during imports."""
    program = at_import(module.format(command=command), signum)
    days = ["--from=2024-01-01", "--to=2024-01-01", f"--output={config.parent}"]
    arguments = [command, f"--config.file={config}", *(days if command == "backfill" else [])]
    with started(*arguments, program=program) as process:
        out, errors = process.communicate(timeout=TIMEOUTS)
        assert (process.returncode, out, errors) == (128 + signum, "", "")


LAST_LINE = """
import os, signal, sys
import structlog
import exporter.cli.once
from exporter.cli import main
def logs_and_is_stopped(*args, **options):
    sys.setswitchinterval(3600)  # the log's thread runs only while it is waited for
    structlog.get_logger().error("last_line")
    os.kill(os.getpid(), signal.SIGINT)
exporter.cli.once.poll_once = logs_and_is_stopped
main()
"""


def test_signal_loses_no_line_of_the_log(config: Path) -> None:
    """A short command that is ended by a signal still writes its last log lines."""
    program = (sys.executable, "-c", LAST_LINE)
    with started("once", f"--config.file={config}", program=program) as process:
        _, errors = process.communicate(timeout=TIMEOUTS)
        assert process.returncode == 128 + signal.SIGINT
        assert "event=last_line" in errors


def test_background_job_of_a_script_ignores_ctrl_c(config: Path) -> None:
    """A short command started as a background job ignores SIGINT, as its shell intended."""
    ignoring = ("sh", "-c", 'trap "" INT; exec "$0" "$@"')
    with started(
        "check", f"--config.file={config}", program=(*ignoring, *at_import("yaml", signal.SIGINT))
    ) as process:
        out, errors = process.communicate(timeout=TIMEOUTS)
        assert (process.returncode, errors) == (0, "")
        assert "valid" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_signal_ends_a_command_that_is_process_1(config: Path, command: str) -> None:
    """As PID 1 of a container, a short command also ends on SIGTERM."""
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("a process of number 1 needs unshare and root")
    program = (unshare, "--pid", "--fork", *at_import("yaml", signal.SIGTERM))
    days = ["--from=2024-01-01", "--to=2024-01-01", f"--output={config.parent}"]
    arguments = [command, f"--config.file={config}", *(days if command == "backfill" else [])]
    with started(*arguments, program=program) as process:
        assert process.wait(TIMEOUTS) == 128 + signal.SIGTERM


BCRYPT_IN_A_THREAD = """
import atexit, os, signal, threading
import bcrypt
import exporter.cli.run
from exporter.cli import main
def hash():
    started.set()
    while True:
        bcrypt.hashpw(b"x", bcrypt.gensalt(10))
started = threading.Event()
threading.Thread(target=hash, daemon=True).start()
started.wait()
main()
"""


def test_hash_that_is_being_checked_does_not_abort_the_stop(config: Path) -> None:
    """While a thread runs bcrypt, SIGTERM exits with 0 instead of aborting."""
    program = (sys.executable, "-c", BCRYPT_IN_A_THREAD)
    with started(f"--config.file={config}", ANY_PORT, program=program) as process:
        listening(process)
        process.terminate()
        assert process.wait(TIMEOUTS) == 0


def test_hangup_ends_a_demo() -> None:
    """SIGHUP ends a demo, which has nothing to reload."""
    with started("demo", ANY_PORT) as process:
        line_with(process.stdout, "(Metrics)")
        process.send_signal(signal.SIGHUP)
        assert process.wait(TIMEOUTS) == -signal.SIGHUP


def test_odd_names_are_spelt_out(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control characters in names are escaped in warnings and errors."""
    monkeypatch.setenv("FLASHBACK_EXPORTER_LOG_LEVEL\x1b\u202e", "x")
    warned = finished("check", f"--config.file={config}").stderr
    assert "FLASHBACK_EXPORTER_LOG_LEVEL\\u001b\\u202e: unknown variable, ignored" in warned
    refused = finished(f"--config.file={config}", ANY_PORT, "--web.config.file=no\x1b.yaml").stderr
    assert "no\\u001b.yaml: cannot be read" in refused
    for line in (warned + refused).splitlines():
        assert line.isprintable()
