"""The commands as processes: their output and exit codes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import trustme

from exporter.polling.sharding import owner
from tests.harness.scrapes import Scrape

PROGRAM = (sys.executable, "-m", "exporter")
TIMEOUTS = 30
"""Seconds after which a process counts as hanging."""

PATCHED_DEMO = """
import sys
import exporter.polling.manager, exporter.polling.event_log
from exporter.cli import main
{patch}
sys.argv[1:] = ["demo", "--web.listen-address=127.0.0.1:0"]
sys.exit(main())
"""

BUG = """
def broken(*_):
    raise ZeroDivisionError("a bug")
exporter.polling.event_log.EventLogger.log_transition = broken
"""

ENDLESS_PAGE = """
def endless(self, openmetrics):
    while True:
        yield b"x" * 100_000
exporter.polling.manager.PollManager.exposition = endless
"""

HANGING_LOOKUP = """
import atexit
import socket
import sys
import time
from exporter.cli import main
real = socket.getaddrinfo
def slow(host, *args, **kwargs):
    if host == "slow.example":
        print("looking up", file=sys.stderr, flush=True)
        time.sleep(3600)
    return real(host, *args, **kwargs)
socket.getaddrinfo = slow
atexit.register(print, "ended by itself", file=sys.stderr)
sys.exit(main())
"""

HANGING_MOUNT = """
import os
import sys
import threading
from exporter.cli import main
real = os.open
def hang(path, *args, **kwargs):
    if str(path).endswith("config.yaml"):
        print("reading", file=sys.stderr, flush=True)
        threading.Event().wait()
    return real(path, *args, **kwargs)
os.open = hang
sys.exit(main())
"""

CONFIG = """\
global: {{base_url: {api}, poll_interval: 5s}}
accounts:
  - name: main
    authorization: {{credentials: s3cret-token}}
    buckets: [b1]
"""


def finished(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    command = [*PROGRAM, *arguments]
    return subprocess.run(command, text=True, capture_output=True, timeout=TIMEOUTS, check=False)


@contextmanager
def started(
    *arguments: str, program: tuple[str, ...] = PROGRAM, **environ: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a command until the body ends."""
    with subprocess.Popen(
        [*program, *arguments],
        env=os.environ | environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_with(stream: Iterator[str] | None, pattern: str) -> str:
    """The first group of a pattern, in the first line that matches it."""
    assert stream is not None
    for line in stream:
        found = re.search(pattern, line)
        if found:
            return found[1]
    raise AssertionError(f"the output ended without {pattern}")


def listening(process: subprocess.Popen[str]) -> str:
    """The base URL of an exporter, from its log."""
    return "http://" + line_with(process.stderr, r"event=listening address=(\S+)")


ANY_PORT = "--web.listen-address=127.0.0.1:0"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_with_code_0(config: Path, signum: signal.Signals) -> None:
    """SIGTERM and SIGINT stop the exporter with exit code 0."""
    with started("run", f"--config.file={config}", ANY_PORT) as process:
        assert httpx.get(listening(process) + "/-/healthy", trust_env=False).status_code == 200
        process.send_signal(signum)
        assert process.wait(TIMEOUTS) == 0
        assert process.stderr is not None
        assert f"signal={signum.name}" in process.stderr.read()


HANGING_LOGIN = """\
global: {{base_url: {api}, poll_interval: 5s}}
accounts:
  - name: main
    login: {{email: ops@example.com, password: s3cret}}
    buckets: [b1]
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "scenario"), [(CONFIG, "hang/share=1"), (HANGING_LOGIN, "hang/share=1/call=login")]
)
def test_signal_stops_a_poll_and_a_login_that_hang(config: Path, text: str, scenario: str) -> None:
    """A poll or login that hangs does not delay the stop."""
    with started("simulate", "--address=127.0.0.1:0", f"--scenario={scenario}") as simulator:
        config.write_text(text.format(api=line_with(simulator.stdout, r"API: +(\S+)")))
        with started(f"--config.file={config}", ANY_PORT) as process:
            base = listening(process)
            while "poll_lag_seconds" not in httpx.get(base + "/metrics", trust_env=False).text:
                pass
            process.terminate()
            assert process.wait(TIMEOUTS) == 0


def test_signal_stops_in_the_middle_of_a_reload(config: Path) -> None:
    """A reload that has just begun does not delay the stop."""
    with started(f"--config.file={config}", ANY_PORT) as process:
        listening(process)
        for _ in range(20):
            process.send_signal(signal.SIGHUP)
        process.terminate()
        assert process.wait(TIMEOUTS) == 0


def test_log_begins_with_what_runs(config: Path) -> None:
    """The first log line has the version, the configuration file and what it polls."""
    with started(f"--config.file={config}", ANY_PORT) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
    assert re.search(r" level=info event=starting version=\d+\.\d+\.\d+ revision=\w+ ", first)
    assert first.endswith(f" config_file={config} accounts=1 buckets=1 discovering=0\n")


def test_hangup_reloads(config: Path) -> None:
    """SIGHUP reloads the configuration."""
    with started(f"--config.file={config}", ANY_PORT) as process:
        base = listening(process)
        config.write_text(config.read_text().replace("[b1]", "[b1, b2]"))
        process.send_signal(signal.SIGHUP)
        assert line_with(process.stderr, r"event=config_reloaded accounts=1 buckets=(\d)") == "2"
        assert (
            "flashback_exporter_buckets 2.0" in httpx.get(base + "/metrics", trust_env=False).text
        )


def test_signal_stops_process_1(config: Path) -> None:
    """As PID 1 of a container, where signals have no default action, SIGTERM stops the exporter."""
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("a process of number 1 needs unshare and root")
    program = (unshare, "--pid", "--fork", "--kill-child", *PROGRAM)
    with started(f"--config.file={config}", ANY_PORT, program=program) as process:
        listening(process)
        (child,) = psutil.Process(process.pid).children()
        child.terminate()
        assert process.wait(TIMEOUTS) == 0


@contextmanager
def started_with_a_stuck_scrape() -> Iterator[subprocess.Popen[str]]:
    """An exporter with an endless metrics page, and a client that stops reading it."""
    program = (sys.executable, "-c", PATCHED_DEMO.format(patch=ENDLESS_PAGE))
    with started(program=program) as process:
        base = httpx.URL(listening(process))
        with socket.create_connection((base.host, base.port or 0)) as slow:
            slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            slow.recv(1)
            yield process


def test_second_signal_stops_at_once() -> None:
    """If a scrape delays the stop, a second signal ends the process with its exit code."""
    with started_with_a_stuck_scrape() as process:
        process.send_signal(signal.SIGINT)
        line_with(process.stderr, "(event=stopping)")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUTS) == 128 + signal.SIGTERM


@pytest.mark.long
def test_scrape_that_never_ends_does_not_hold_up_the_stop_for_good() -> None:
    """A client that stops reading is disconnected after a while, and the exit code is 0."""
    with started_with_a_stuck_scrape() as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUTS) == 0


def test_name_lookup_that_hangs_does_not_hold_up_the_stop(config: Path) -> None:
    """A DNS lookup that hangs does not delay the stop."""
    program = (sys.executable, "-c", HANGING_LOOKUP)
    config.write_text(CONFIG.format(api="https://slow.example"))
    with started(f"--config.file={config}", ANY_PORT, program=program) as process:
        listening(process)
        line_with(process.stderr, "(looking up)")
        process.send_signal(signal.SIGTERM)
        line_with(process.stderr, "(ended by itself)")
        assert process.wait(TIMEOUTS) == 0


@pytest.mark.parametrize(
    ("command", "signum", "code"),
    [
        ("run", signal.SIGTERM, 0),
        ("run", signal.SIGINT, 0),
        ("check", signal.SIGINT, 130),
        ("once", signal.SIGINT, 130),
    ],
)
def test_signal_ends_a_start_whose_files_hang(
    config: Path, command: str, signum: signal.Signals, code: int
) -> None:
    """While reading the configuration hangs, a signal still ends each command."""
    program = (sys.executable, "-c", HANGING_MOUNT)
    with started(command, f"--config.file={config}", program=program) as process:
        line_with(process.stderr, "(reading)")
        process.send_signal(signum)
        assert process.wait(TIMEOUTS) == code


def test_run_is_implied_and_environment_counts(config: Path) -> None:
    """Without a command the exporter runs, with flags from the environment."""
    with started(
        FLASHBACK_EXPORTER_CONFIG_FILE=str(config),
        FLASHBACK_EXPORTER_WEB_LISTEN_ADDRESS="127.0.0.1:0",
        FLASHBACK_EXPORTER_WEB_TELEMETRY_PATH="/m",
    ) as process:
        page = httpx.get(listening(process) + "/m", trust_env=False).text
    assert "flashback_exporter_buckets 1.0\n" in page
    assert 'flashback_bucket_info{bucket_id="b1"' in page


def test_token_is_never_written(config: Path) -> None:
    """Even at log level debug, neither the log nor a page contains the token."""
    with started("run", f"--config.file={config}", ANY_PORT, "--log.level=debug") as process:
        base = listening(process)
        line_with(process.stderr, "(bucket_failing)")
        pages = [httpx.get(base + path, trust_env=False).text for path in ("/metrics", "/")]
        process.terminate()
        output, log = process.communicate(timeout=TIMEOUTS)
    assert "s3cret" not in output + log + "".join(pages)


def test_demo_shows_life() -> None:
    """The demo needs no configuration, prints its address and exports node metrics."""
    with started("demo", ANY_PORT, "--seed=1") as process:
        url = line_with(process.stdout, r"Metrics: +(http://\S+/metrics)")
        while "flashback_node_uptime_ratio{" not in (page := httpx.get(url, trust_env=False).text):
            pass
        assert 'team="media"' in page
        process.terminate()
        assert process.wait(TIMEOUTS) == 0


def test_demo_has_a_bucket_that_fails() -> None:
    """The demo has a failing bucket, and says that it is simulated and how to turn it off."""
    failing = 'flashback_bucket_failing{bucket_id="demo-backups",reason="forbidden"} 1'
    with started("demo", ANY_PORT) as process:
        url = line_with(process.stdout, r"Metrics: +(http://\S+/metrics)")
        line_with(process.stdout, r"^(Faults: +the bucket backups gets 403)")
        line_with(process.stdout, r"(--scenario= for none)")
        up = 'flashback_bucket_up{bucket_id="demo-media-eu"} 1'
        while not (failing in (page := httpx.get(url, trust_env=False).text) and up in page):
            pass


def test_demo_without_faults() -> None:
    """With an empty --scenario, all buckets of the demo are up."""
    with started("demo", ANY_PORT, "--scenario=") as process:
        url = line_with(process.stdout, r"Metrics: +(http://\S+/metrics)")
        up = 'flashback_bucket_up{bucket_id="demo-backups"} 1'
        while up not in httpx.get(url, trust_env=False).text:
            pass
        process.terminate()
        assert process.stdout is not None
        assert "Faults" not in process.stdout.read()


def test_demo_says_first_where_its_page_is() -> None:
    """The demo prints the page's address, then that of the metrics, unless both are the same."""
    with started("demo", ANY_PORT) as process:
        page = line_with(process.stdout, r"^Page: +(http://\S+/)$")
        assert line_with(process.stdout, r"^Metrics: +(\S+)$") == f"{page}metrics"
        assert httpx.get(page, trust_env=False).status_code == 200
    with started("demo", "--web.listen-address=:0", "--web.telemetry-path=/") as process:
        assert process.stdout is not None
        assert re.match(r"Metrics: +http://localhost:\d+/$", process.stdout.readline())


def test_demo_says_where_its_page_is_under_tls(tmp_path: Path) -> None:
    """With TLS in the web configuration, the demo prints an https address that works."""
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "pair"
    )
    web = tmp_path / "web.yml"
    web.write_text("tls_server_config: {cert_file: pair, key_file: pair}\n")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with started("demo", ANY_PORT, f"--web.config.file={web}") as process:
        page = line_with(process.stdout, r"^Page: +(https://\S+/)$")
        assert httpx.get(page, trust_env=False, verify=trust).status_code == 200


def test_demo_takes_a_free_port_unless_told_otherwise() -> None:
    """Two demos can run at the same time, but a taken --web.listen-address is an error."""
    with started("demo") as first, started("demo") as second:
        urls = {line_with(demo.stdout, r"Metrics: +(\S+)") for demo in (first, second)}
        assert len(urls) == 2
        taken = next(iter(urls)).removeprefix("http://").removesuffix("/metrics")
        refused = finished("demo", f"--web.listen-address={taken}")
    assert refused.returncode == 1
    assert f"cannot listen on {taken}: address already in use" in refused.stderr


WEB_CONFIG = """\
basic_auth_users:
  alice: $2b$04$rQ3DM3xb9Z0KRD.NSN8Xi.Zh8dYFS/RdhxXGvD8pn3cXSMv7rCmBu
"""


def test_web_configuration_guards_the_endpoints(config: Path, tmp_path: Path) -> None:
    """With basic_auth_users, requests need a password, except health checks if so configured."""
    web = tmp_path / "web.yaml"
    web.write_text(WEB_CONFIG)
    flags = (f"--config.file={config}", ANY_PORT, f"--web.config.file={web}")
    with started(*flags, "--web.health-without-auth") as process:
        base = listening(process)
        codes = [
            httpx.get(base + path, trust_env=False).status_code
            for path in ("/metrics", "/-/healthy")
        ]
    assert codes == [401, 200]


def test_broken_web_configuration_is_code_1(config: Path, tmp_path: Path) -> None:
    """An invalid web configuration exits with 1 and an error with its file and line."""
    web = tmp_path / "web.yaml"
    web.write_text("basic_auth_users:\n  alice: plain-s3cret\n")
    ended = finished(f"--config.file={config}", ANY_PORT, f"--web.config.file={web}")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{web}:2: basic_auth_users.alice: ")
    assert "s3cret" not in ended.stderr


def test_bad_configuration_is_code_1_with_every_problem(tmp_path: Path) -> None:
    """An invalid configuration exits with 1 and prints every problem with its line."""
    file = tmp_path / "config.yaml"
    file.write_text("global: {pol_interval: 1m}\naccounts: []\n")
    ended = finished(f"--config.file={file}")
    assert ended.returncode == 1
    first, second = ended.stderr.splitlines()
    assert first.startswith(f"{file}:1: global: ")
    assert 'did you mean "poll_interval"?' in first
    assert second.startswith(f"{file}:2: accounts: ")


def test_missing_configuration_names_the_flag() -> None:
    """If the configuration file is missing, the error mentions the flag to choose another."""
    ended = finished("--config.file=no-such-file.yaml")
    assert ended.returncode == 1
    assert "no-such-file.yaml" in ended.stderr
    assert "--config.file" in ended.stderr


def test_bug_is_code_1_with_a_traceback() -> None:
    """An unexpected exception exits with 1 and prints a traceback."""
    with started(program=(sys.executable, "-c", PATCHED_DEMO.format(patch=BUG))) as process:
        _, log = process.communicate(timeout=TIMEOUTS)
    assert process.returncode == 1
    assert "ZeroDivisionError: a bug" in log
    assert "Traceback" in log


def test_once_prints_the_exposition(config: Path) -> None:
    """`once` polls every bucket once, prints the metrics and exits with 0."""
    with started("simulate", "--address=127.0.0.1:0", "--start=12:00") as simulator:
        config.write_text(CONFIG.format(api=line_with(simulator.stdout, r"API: +(\S+)")))
        ended = finished("once", f"--config.file={config}")
    assert ended.returncode == 0
    page = Scrape(ended.stdout)
    assert page.value("flashback_bucket_up", bucket_id="b1") == 1
    assert len(page.all("flashback_node_uptime_ratio")) == 6
    assert page.value("flashback_api_requests_total", code="200") == 1
    assert not page.has("process_open_fds")
    assert not page.has("python_gc_objects_collected_total")


@pytest.mark.parametrize("scenario", ["forbidden/share=1/bucket=b1", "429-storm/share=1"])
def test_once_is_code_3_when_some_failed(config: Path, scenario: str) -> None:
    """`once` exits with 3 if a bucket failed, or was not polled due to a 429."""
    with started("simulate", "--address=127.0.0.1:0", f"--scenario={scenario}") as simulator:
        text = CONFIG.format(api=line_with(simulator.stdout, r"API: +(\S+)"))
        config.write_text(
            text.replace("[b1]", "[b1, b2]").replace("5s", "5s, max_concurrent_requests: 1")
        )
        ended = finished("once", f"--config.file={config}")
    assert ended.returncode == 3
    page = Scrape(ended.stdout)
    assert page.value("flashback_bucket_up", bucket_id="b1") == 0
    assert len(page.all("flashback_bucket_info")) == 2


def test_once_with_nothing_to_poll(config: Path) -> None:
    """`once` on a shard without buckets exits with 0."""
    ordinal = 1 - owner("b1", 2)
    flags = ("--shard.total=2", f"--shard.ordinal={ordinal}")
    ended = finished("once", f"--config.file={config}", *flags)
    assert ended.returncode == 0
    assert Scrape(ended.stdout).value("flashback_exporter_buckets") == 0


def test_live_check_with_nothing_to_poll(config: Path) -> None:
    """`check --live` on a shard without buckets says that the token is not used; exit code 0."""
    flags = ("--shard.total=2", f"--shard.ordinal={1 - owner('b1', 2)}")
    ended = finished("check", f"--config.file={config}", "--live", *flags)
    assert ended.returncode == 0
    assert "ok    main: token  not used: there is no bucket to poll" in ended.stdout


def test_once_is_code_3_when_discovery_failed(config: Path) -> None:
    """`once` exits with 3 if discovery failed, because buckets may be missing."""
    text = CONFIG.format(api="http://127.0.0.1:9").replace("buckets: [b1]", "discovery: {}")
    config.write_text(text)
    ended = finished("once", f"--config.file={config}")
    assert ended.returncode == 3


def test_live_check_does_not_call_a_token_good_that_was_not_tried(config: Path) -> None:
    """`check --live` reports the token as not checked if the API cannot be reached."""
    ended = finished("check", f"--config.file={config}", "--live")
    assert ended.returncode == 1
    assert (
        "FAIL  main: token  not checked: every request failed before the API could check the token"
        in ended.stdout
    )


def test_once_with_a_bad_configuration_is_code_1() -> None:
    """`once` with an invalid configuration exits with 1 and prints no metrics."""
    ended = finished("once", "--config.file=no-such-file.yaml")
    assert (ended.returncode, ended.stdout) == (1, "")


def test_check_tells_the_load(config: Path) -> None:
    """`check` reports a valid file with its estimated load."""
    ended = finished("check", f"--config.file={config}")
    assert ended.returncode == 0
    assert ended.stderr == ""
    assert ended.stdout == (
        f"{config}: valid\n"
        "  shard                ordinal 0, total 1; limits apply per process\n"
        "  accounts             1\n"
        "  buckets              1\n"
        "  requests per second  0.20 of 20 allowed\n"
        "  response time        may be up to 80.00s on average, with 16 concurrent requests\n"
        "  series               about 72, with 6 nodes per bucket\n"
        "  memory               about 60 MiB\n"
        "  CPU                  about 1% of a core\n"
    )


def test_check_warns_where_limits_and_buckets_cannot_go_together(config: Path) -> None:
    """`check` warns if the request rate is too low for the buckets, with how to fix it."""
    config.write_text(
        CONFIG.format(api="http://127.0.0.1:9").replace("5s", "5s, max_requests_per_second: 0.1")
    )
    ended = finished("check", f"--config.file={config}")
    assert ended.returncode == 0
    assert ended.stderr == (
        f"warning: {config}: global.max_requests_per_second:"
        " too low: 1 buckets need 0.2 requests per second and 0.1 are allowed:"
        " raise it to 1,"
        " or poll_interval from 5s to 20s\n"
    )


def test_check_is_code_1_with_every_problem(config: Path) -> None:
    """`check` prints the same problems as `run`."""
    config.write_text("accounts: []\n")
    ended = finished("check", f"--config.file={config}")
    assert ended.returncode == 1
    assert ended.stderr == finished("run", f"--config.file={config}").stderr


def test_check_takes_a_web_configuration_alone(tmp_path: Path) -> None:
    """`check` with only --web.config.file checks only that file."""
    web = tmp_path / "web.yaml"
    web.write_text(WEB_CONFIG)
    ended = finished("check", f"--web.config.file={web}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{web}: valid\n", "")


@pytest.mark.parametrize(
    "text",
    [
        "basic_auth_users: {alice: plain}\n",
        "tls_server_config: {cert_file: none.pem, key_file: none.pem}\n",
        "tls_server_config: {cert_file: web.yaml, key_file: web.yaml}\n",
        "tls_server_config: {cert_file: pair, key_file: other}\n",
        (
            "tls_server_config: {cert_file: pair, key_file: pair, client_ca_file: web.yaml,"
            " client_auth_type: RequireAndVerifyClientCert}\n"
        ),
    ],
    ids=["hash", "no certificate", "no PEM", "another key", "no CA"],
)
def test_check_refuses_the_web_configurations_that_a_start_refuses(
    config: Path, tmp_path: Path, text: str
) -> None:
    """`check` reports the same web configuration errors as `run`, for certificates and keys too."""
    authority = trustme.CA()
    for name in ("pair", "other"):
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / name)
    web = tmp_path / "web.yaml"
    web.write_text(text)
    ended = finished("check", f"--web.config.file={web}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"{web}:1: ")
    flags = (f"--config.file={config}", ANY_PORT, f"--web.config.file={web}")
    assert finished("run", *flags).stderr == ended.stderr


def test_check_tells_the_problems_of_both_files(config: Path, tmp_path: Path) -> None:
    """`check` reports the result for each file, even if the other is invalid."""
    web = tmp_path / "web.yaml"
    web.write_text("rate_limit: {interval: 1s}\n")
    both = ("check", f"--config.file={config}", f"--web.config.file={web}")
    one_bad = finished(*both)
    assert one_bad.returncode == 1
    assert one_bad.stderr.startswith(f"{web}:1: rate_limit: ")
    assert one_bad.stdout.startswith(f"{config}: valid\n")
    config.write_text("accounts: []\n")
    first, second = finished(*both).stderr.splitlines()
    assert first.startswith(f"{web}:1: rate_limit: ")
    assert second.startswith(f"{config}:1: accounts: ")
    web.write_text(WEB_CONFIG)
    other_bad = finished(*both)
    assert (other_bad.returncode, other_bad.stdout) == (1, f"{web}: valid\n")


def test_check_of_a_whole_set_up_takes_both_files(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the web configuration set by the environment, `check` also checks config.yaml."""
    web = tmp_path / "web.yaml"
    web.write_text(WEB_CONFIG)
    monkeypatch.setenv("FLASHBACK_EXPORTER_WEB_CONFIG_FILE", str(web))
    monkeypatch.chdir(config.parent)
    ended = finished("check")
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"{web}: valid\nconfig.yaml: valid\n")


LIVE_CONFIG = """\
global: {{base_url: {api}, poll_interval: 5s}}
accounts:
  - name: main
    login: {{email: demo@example.com, password: s3cret-password}}
    discovery: {{}}
    buckets: [good, {{id: closed, name: shut}}]
"""

LIVE_API = """
import importlib
import sys
from exporter import simulator
from exporter.cli import main
simulate = importlib.import_module("exporter.cli.simulate")
user = simulator.User("demo@example.com", "{password}")
made = simulate.simulated
simulate.simulated = lambda values: made(values, [user], ["good", "closed"])
sys.argv[1:] = ["simulate", "--address=127.0.0.1:0", "--scenario={scenario}"]
sys.exit(main())
"""


def live_check(config: Path, scenario: str, password: str = "s3cret-password") -> tuple[int, str]:
    """The exit code and live output of `check --live`, with an API that plays a scenario."""
    program = (sys.executable, "-c", LIVE_API.format(scenario=scenario, password=password))
    with started(program=program) as simulator:
        config.write_text(LIVE_CONFIG.format(api=line_with(simulator.stdout, r"API: +(\S+)")))
        ended = finished("check", f"--config.file={config}", "--live")
    assert "s3cret" not in ended.stdout + ended.stderr
    return ended.returncode, ended.stdout.split("live:\n")[1]


def test_live_check_says_what_is_well(config: Path) -> None:
    """`check --live` tries the token, discovery and every bucket, and reports each."""
    code, verdicts = live_check(config, "")
    assert code == 0
    assert re.fullmatch(
        r"  ok    main: token          accepted, until 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC\n"
        r"  ok    main: discovery      2 found, 2 polled\n"
        r"  ok    main: good           6 nodes\n"
        r"  ok    main: closed \(shut\)  6 nodes\n",
        verdicts,
    )


def test_live_check_says_what_is_wrong(config: Path) -> None:
    """`check --live` reports a refused bucket with its reason, and exits with 1."""
    code, verdicts = live_check(config, "not-found/share=1/bucket=closed")
    assert code == 1
    assert "  ok    main: good " in verdicts
    assert "  FAIL  main: closed (shut)  not_found: HTTP 404" in verdicts


def test_live_check_with_a_wrong_password(config: Path) -> None:
    """`check --live` reports a refused login once for the account."""
    code, verdicts = live_check(config, "", password="another")
    assert code == 1
    assert "  FAIL  main: token          unauthorized: the login was refused: HTTP 401" in verdicts
    assert " (check email and password)" in verdicts


def test_live_check_of_a_paused_account(config: Path) -> None:
    """`check --live` reports discovery as failed if it gets a 429."""
    code, verdicts = live_check(config, "429-storm/share=1/call=list")
    assert code == 1
    assert "FAIL  main: discovery" in verdicts


def test_simulate_serves_the_api_alone() -> None:
    """`simulate` serves the API at --address with its own time of day."""
    with started("simulate", "--address=127.0.0.1:0", "--start=00:00:30", "--seed=2") as simulator:
        url = line_with(simulator.stdout, r"API: +(\S+)")
        answer = httpx.post(f"{url}/bucket/x/stats", json={}, trust_env=False)
        assert answer.status_code == 401
        taken = finished("simulate", f"--address={url.removeprefix('http://')}")
        simulator.terminate()
        assert simulator.wait(TIMEOUTS) == 0
    assert taken.returncode == 1
    assert "choose another --address" in taken.stderr


def test_usage_error_is_code_2() -> None:
    """An unknown flag or scenario exits with 2."""
    assert finished("--no-such-flag").returncode == 2
    assert finished("demo", "--scenario=no-such-trouble").returncode == 2


def test_version_is_laid_out_as_prometheus_does() -> None:
    """--version has the layout of Prometheus: program, version and revision, then the platform."""
    ended = finished("--version")
    assert ended.returncode == 0
    assert re.fullmatch(
        r"flashback-exporter, version \d+\.\d+\.\d+ \(revision: \w+\)\n"
        r"  python version:   3\.\d+\.\d+\n"
        r"  platform:         linux/\w+\n",
        ended.stdout,
    )


def test_help_names_every_command_and_flag() -> None:
    """-h lists the commands and flags."""
    text = finished("-h").stdout
    assert "check     check the configuration" in text
    assert "demo      run the exporter against a built-in simulator" in text
    for flag in ("--config.file", "--web.listen-address", "--web.max-requests", "--log.format"):
        assert flag in text
