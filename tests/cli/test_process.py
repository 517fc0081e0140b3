"""The process around a command: signals at any moment, what it prints."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.cli.test_commands import (
    ANY_PORT,
    CONFIG,
    PATCHED_DEMO,
    PATIENCE,
    finished,
    line_with,
    started,
)

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
exporter.journal.Journal.note_transition = stuck
"""
BUSY = "while True: pass"
BLOCKED = "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose API nobody serves."""
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.format(api="http://127.0.0.1:9"))
    return file


def taken(pid: int) -> None:
    """Wait until no signal is pending for a process any more."""
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        pending = [line for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
        if not any(int(line.split()[1], 16) for line in pending):
            return


@pytest.mark.parametrize("how", [BUSY, BLOCKED])
def test_second_signal_ends_it_whatever_the_loop_does(how: str) -> None:
    """An event loop that is stuck, in Python or in C, keeps no signal from its effect."""
    patch = STUCK_LOOP.format(how=how)
    with started(program=(sys.executable, "-c", PATCHED_DEMO.format(patch=patch))) as process:
        line_with(process.stdout, "(stuck)")
        process.terminate()
        taken(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 128 + signal.SIGINT


def test_second_signal_ends_process_1() -> None:
    """As the first process of a container, where no signal has a default, it ends as anywhere."""
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
        assert process.wait(PATIENCE) == 128 + signal.SIGINT


def test_stop_ends_in_time_whatever_the_loop_does() -> None:
    """A stop that an event loop never hears of is carried out without it."""
    patch = STUCK_LOOP.format(how=BLOCKED)
    with started(program=(sys.executable, "-c", PATCHED_DEMO.format(patch=patch))) as process:
        line_with(process.stdout, "(stuck)")
        process.terminate()
        assert process.wait(PATIENCE) == 0


def at_import(module: str, signum: signal.Signals) -> tuple[str, ...]:
    """The program, which gets a signal when it is about to import a module."""
    code = SIGNAL_AT_IMPORT.format(module=module, number=int(signum))
    return (sys.executable, "-c", code)


MOMENTS = ["exporter.cli.run", "structlog", "pydantic", "aiohttp", "exporter.service"]


@pytest.mark.parametrize("module", MOMENTS)
def test_hangup_before_it_is_ready_is_a_reload(config: Path, module: str) -> None:
    """SIGHUP while the program is still being loaded is kept until it can be acted on."""
    program = at_import(module, signal.SIGHUP)
    with started(f"--config.file={config}", ANY_PORT, program=program) as process:
        assert line_with(process.stderr, r"event=config_reloaded accounts=(\d)") == "1"
        process.terminate()
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", MOMENTS)
def test_stop_before_it_is_ready_is_a_clean_stop(
    config: Path, module: str, signum: signal.Signals
) -> None:
    """A stop signal while the program is still being loaded ends it as later ones do."""
    program = at_import(module, signum)
    with started(f"--config.file={config}", ANY_PORT, program=program) as process:
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_hangup_ends_a_demo() -> None:
    """What has nothing to reload does what a closed terminal asks for."""
    with started("demo", ANY_PORT) as process:
        line_with(process.stdout, "(Metrics)")
        process.send_signal(signal.SIGHUP)
        assert process.wait(PATIENCE) == -signal.SIGHUP


def test_odd_names_are_spelt_out(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command quotes in warnings and problems does nothing to the terminal."""
    monkeypatch.setenv("FLASHBACK_EXPORTER_LOG_LEVEL\x1b\u202e", "x")
    warned = finished("check", f"--config.file={config}").stderr
    assert "FLASHBACK_EXPORTER_LOG_LEVEL\\u001b\\u202e: this sets nothing" in warned
    refused = finished(f"--config.file={config}", ANY_PORT, "--web.config.file=no\x1b.yaml").stderr
    assert "no\\u001b.yaml: cannot be read" in refused
    for line in (warned + refused).splitlines():
        assert line.isprintable()
