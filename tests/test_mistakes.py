"""Common mistakes, through the commands: each gives one line that says where and how to fix it.

Mistakes in the file are in tests/data/mistakes, each with its expected text; more of them, without
the commands, are in tests/data/bad_config.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter import cli, simulator
from exporter.cli.check import ended_tokens
from exporter.config import load
from exporter.logs import BackgroundStream
from exporter.simulator.server import serve

MISTAKES = Path(__file__).parent / "data" / "mistakes"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"
SECRETS = ("hunter2", "eyJ", "s3cret")
ENVIRON = {"FLASHBACK_TOKEN": TOKEN, "https_proxy": "socks5://ops:hunter2@proxy.example.com"}
CONFIG = """\
global: {base_url: "http://127.0.0.1:9", poll_interval: 5s}
accounts:
  - name: main
    authorization: {credentials_file: token}
    buckets: [b1]
"""


class Desk:
    """A directory with files, and the commands run in it."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], directory: Path
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self.directory = directory

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text, encoding="utf-8")

    def said(self, *words: str) -> tuple[int, str, str]:
        """The exit code, stdout and stderr of a command."""
        with self._monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["flashback-exporter", *words])
            patched.setattr(sys, "stderr", sys.stderr)  # a command replaces it with its log
            try:
                code = cli.run_command()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            if isinstance(sys.stderr, BackgroundStream):
                sys.stderr.drain()
        told = self._capfd.readouterr()
        assert not [secret for secret in SECRETS if secret in told.out + told.err]
        return code, told.out, told.err


@pytest.fixture
def desk(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Desk:
    """A copy of the mistakes, with a valid configuration and its token."""
    directory = tmp_path / "desk"
    shutil.copytree(MISTAKES, directory)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(directory)
    desk = Desk(monkeypatch, capfd, directory)
    desk.write("config.yaml", CONFIG)
    return desk


@pytest.mark.parametrize("name", sorted(path.stem for path in MISTAKES.glob("*.yaml")))
def test_mistake_in_the_file_is_told(desk: Desk, name: str) -> None:
    """`check` exits with 1 and reports where, what and how to fix it, without a secret."""
    code, _, told = desk.said("check", f"--config.file={name}.yaml")
    assert told == (MISTAKES / f"{name}.txt").read_text(encoding="utf-8")
    assert code == 1
    assert all(line.count(": ") >= 2 for line in told.splitlines())


@pytest.mark.parametrize("command", ["run", "check", "once"])
def test_every_command_tells_the_same(desk: Desk, command: str) -> None:
    """`run`, `check` and `once` report the same error for the same file."""
    code, told, errors = desk.said(command, "--config.file=bucket_for_buckets.yaml")
    assert (code, told) == (1, "")
    assert errors == (MISTAKES / "bucket_for_buckets.txt").read_text(encoding="utf-8")


def test_every_expected_text_has_its_file() -> None:
    """Each expected text belongs to a file."""
    texts = {path.stem for path in MISTAKES.glob("*.txt")}
    assert texts == {path.stem for path in MISTAKES.glob("*.yaml")}


FILES = {
    "no-such-file.yaml": "cannot be read (No such file or directory): "
    "choose the file with --config.file",
    "other.yaml": "cannot be read (No such file or directory): "
    "did you mean --config.file=other.yml?",
    "secrets": "cannot be read (Is a directory): name a file in it with --config.file",
    "unreadable.yaml": "cannot be read (Input/output error): "
    "give the exporter read permission, or choose another file with --config.file",
}


@pytest.mark.parametrize("name", FILES)
def test_file_that_cannot_be_read(desk: Desk, name: str) -> None:
    """A missing file, a directory and an unreadable file each have their own error."""
    desk.write("other.yml", CONFIG)
    (desk.directory / "unreadable.yaml").symlink_to("/proc/self/mem")
    assert desk.said("run", f"--config.file={name}") == (1, "", f"{name}: {FILES[name]}\n")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + CONFIG.encode(),
        CONFIG.replace("\n", "\r\n").encode(),
        b"---\n" + CONFIG.encode(),
        CONFIG.replace("[b1]", "[123456789]").encode(),
        CONFIG.replace("name: main", "name:\tmain").encode(),
        CONFIG.encode() + b"# x\n" * 100_000,
        CONFIG.replace('"http://127.0.0.1:9"', "HTTPS://Backend.flashback.tech/").encode(),
    ],
    ids=["mark", "crlf", "dashes", "number", "tab", "huge", "slash"],
)
def test_unusual_but_valid_files(desk: Desk, content: bytes) -> None:
    """A BOM, CRLF, tabs, numeric ids, a large file and a slash after the URL are accepted."""
    (desk.directory / "config.yaml").write_bytes(content)
    code, told, errors = desk.said("check")
    assert (code, errors) == (0, "")
    assert told.startswith("config.yaml: valid\n")


FLAGS = {
    ("run", "--web.listen-address=10120"): "--web.listen-address: '10120' is not",
    ("run", "--web.listen-address=::1:10120"): "put an IPv6 address in brackets: '[::1]:10120'",
    ("run", "--web.listen-address=:99999"): "--web.listen-address: ':99999' is not",
    ("run", "--web.listen-adress=:10120"): "--web.listen-adress=:10120",
    ("run", "--config.auto-reload-interval=30"): "'30' is not a duration such as 30s",
    ("run", "--log.level=warning"): "--log.level: invalid choice: 'warning'",
    ("run", "--shard.ordinal=3", "--shard.total=3"): "less than the number of shards (3)",
    ("run", "--shard.ordinal=auto"): "the host name 'laptop' does not end in an ordinal",
    ("checks",): "unrecognized arguments: checks (did you mean check?)",
    ("run", "--config.fil=x"): "--config.fil=x (did you mean --config.file?)",
    ("once", "--log.lvel=x"): "--log.lvel=x (did you mean --log.level?)",
    ("nothing",): "unrecognized arguments: nothing (see -h)",
    ("run", "check"): "unrecognized arguments: check",
    ("backfill", "--from=2024-01-01"): "--to is required",
    ("backfill", "--from=01.01.2024"): "'01.01.2024' is not a day such as 2024-01-15",
    ("backfill", "--label=job"): "--label: write it as name=value",
}


@pytest.mark.parametrize("words", FLAGS, ids=" ".join)
def test_flag_that_is_wrong(
    desk: Desk, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong flag exits with 2, and the last line names the flag and what is wrong."""
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop")
    code, told, errors = desk.said(*words)
    assert (code, told) == (2, "")
    assert FLAGS[words] in errors.splitlines()[-1]


def test_port_in_use(desk: Desk) -> None:
    """If the port is in use, the error names the address and the flag to change it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, _, errors = desk.said("run", f"--web.listen-address={address}")
    assert code == 1
    assert errors.splitlines()[-1] == (
        f"cannot listen on {address}: address already in use: choose another --web.listen-address"
    )


def test_web_configuration_with_a_password_in_clear_text(desk: Desk) -> None:
    """A clear-text password is reported with its user and how to hash it, without the password."""
    desk.write("web.yml", "basic_auth_users:\n  prometheus: hunter2\n")
    code, _, errors = desk.said("run", "--web.config.file=web.yml")
    assert code == 1
    assert errors == (
        "web.yml:2: basic_auth_users.prometheus: not a bcrypt hash: "
        "create one with htpasswd -nBC 10\n"
    )


def jwt(expiry: float) -> str:
    """A token with this expiry."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expiry}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{claims}.c2lnbmF0dXJl"


def warned(desk: Desk) -> list[str]:
    """The warnings of `check` for a valid file."""
    code, told, errors = desk.said("check")
    assert code == 0
    assert told.startswith("config.yaml: valid\n")
    return errors.splitlines()


@pytest.mark.parametrize(
    "text", [CONFIG, CONFIG.replace("credentials_file: token", "credentials: ${T}")]
)
def test_token_that_has_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """An expired token is a warning, since a renewal may be late."""
    monkeypatch.setenv("T", jwt(1_700_000_000))
    desk.write("config.yaml", text.replace("${T}", '"${T}"'))
    desk.write("token", jwt(1_700_000_000))
    assert warned(desk) == [
        (
            "warning: config.yaml: accounts[0].authorization: the token expired at "
            "2023-11-14 22:13:20 UTC: renew it"
        )
    ]


def test_token_that_goes_on(desk: Desk) -> None:
    """A valid token and a login give no warning."""
    desk.write("token", jwt(time.time() + 3600))
    assert warned(desk) == []
    login = "login: {email: ops@example.com, password_file: password}"
    desk.write("config.yaml", CONFIG.replace("authorization: {credentials_file: token}", login))
    assert warned(desk) == []


def test_token_that_was_taken_away_meanwhile(desk: Desk) -> None:
    """A token file that disappears before its expiry is checked gives no warning."""
    config = load(desk.directory / "config.yaml", {})
    (desk.directory / "token").unlink(missing_ok=True)
    assert list(ended_tokens(config, "config.yaml", time.time())) == []


def test_pattern_that_matches_nothing(desk: Desk) -> None:
    """A bucket_files pattern without matches is a warning with its line, as files may follow."""
    (desk.directory / "lists").mkdir()
    desk.write("config.yaml", CONFIG + "    bucket_files: [lists/*.yaml]\n")
    assert warned(desk) == [
        (
            "warning: config.yaml:6: accounts[0].bucket_files[0]: "
            "no file matches this pattern yet: fix the pattern if a file should match"
        )
    ]


def test_variable_that_sets_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelled environment variable is a warning; variables set by Kubernetes are not."""
    monkeypatch.setenv("FLASHBACK_EXPORTER_WEB_LISTEN_ADRESS", ":1")
    monkeypatch.setenv("FLASHBACK_EXPORTER_PORT_10120_TCP_ADDR", "10.0.0.1")
    monkeypatch.setenv("FLASHBACK_EXPORTER_SERVICE_HOST", "10.0.0.1")
    assert warned(desk) == [
        (
            "warning: environment: FLASHBACK_EXPORTER_WEB_LISTEN_ADRESS: "
            "unknown variable, ignored: did you mean FLASHBACK_EXPORTER_WEB_LISTEN_ADDRESS?"
        )
    ]


def test_load_of_an_account_whose_buckets_are_found(desk: Desk) -> None:
    """With only discovered buckets, `check` reports their load as unknown instead of a number."""
    desk.write("config.yaml", CONFIG.replace("buckets: [b1]", "discovery: {}"))
    _, told, _ = desk.said("check")
    assert (
        "  buckets              0 configured; figures do not include discovered buckets\n" in told
    )
    assert (
        "  response time        unknown: no bucket is configured, and discovery has not run\n"
        in told
    )
    assert "inf" not in told


@contextmanager
def served(api: simulator.Simulator) -> Iterator[str]:
    """Run a simulator in a thread and yield its URL."""
    url: list[str] = []
    up, down = threading.Event(), threading.Event()

    async def run() -> None:
        async with serve(api) as address:
            url.append(address)
            up.set()
            await asyncio.to_thread(down.wait)

    thread = threading.Thread(target=asyncio.run, args=[run()])
    thread.start()
    up.wait()
    try:
        yield url[0]
    finally:
        down.set()
        thread.join()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("fifo", "it is not a regular file"),
        ("/dev/zero", "it is not a regular file"),
        ("large", "it is larger than 1 MiB"),
    ],
)
@pytest.mark.parametrize("key", ["credentials_file", "password_file"])
def test_secret_file_that_would_never_end(desk: Desk, file: str, words: str, key: str) -> None:
    """A secret file that would block or fill the memory is reported like any other mistake."""
    os.mkfifo(desk.directory / "fifo")
    desk.write("large", "x" * (2**20 + 1))
    text = CONFIG if key == "credentials_file" else LOGIN
    desk.write("config.yaml", re.sub(f"{key}: \\w+", f"{key}: {file}", text))
    code, _, told = desk.said("check")
    assert code == 1
    assert f"{key}: this file cannot be read ({words}): name a regular file" in told


LIVE = {
    "unauthorized/share=1": "FAIL  main: token  unauthorized: HTTP 401",
    "forbidden/share=1": "(give the user of the token access to the workspace of the bucket)",
    "not-found/share=1": "(check the bucket ID, and whether the bucket was deleted)",
}


@pytest.mark.parametrize("scenario", LIVE)
def test_refusal_is_told_with_a_remedy(desk: Desk, scenario: str) -> None:
    """`check --live` reports each failed bucket with a hint how to fix it."""
    with served(simulator.Simulator(now=time.time, scenarios=scenario)) as url:
        desk.write("config.yaml", CONFIG.replace("http://127.0.0.1:9", url))
        code, told, _ = desk.said("check", "--live")
    assert code == 1
    assert LIVE[scenario] in told


LOGIN = CONFIG.replace(
    "authorization: {credentials_file: token}",
    "login: {email: ops@example.com, password_file: password}",
)
USERS = {
    "MFA": (
        simulator.User("ops@example.com", "hunter2", mfa=simulator.Mfa.CHALLENGED),
        "the user has MFA enabled",
    ),
    "another password": (
        simulator.User("ops@example.com", "s3cret"),
        "the login was refused: HTTP 401",
    ),
}


@pytest.mark.parametrize("case", USERS)
def test_login_that_gives_no_token(desk: Desk, case: str) -> None:
    """A login with MFA and one with a wrong password have different errors."""
    user, words = USERS[case]
    with served(simulator.Simulator(now=time.time, users=[user])) as url:
        desk.write("config.yaml", LOGIN.replace("http://127.0.0.1:9", url))
        code, told, _ = desk.said("check", "--live")
    assert code == 1
    assert words in told


def test_clocks_that_disagree(desk: Desk) -> None:
    """If the API rejects today's date with 400, the error mentions a clock difference."""
    with served(simulator.Simulator(now=lambda: time.time() - 2 * 86_400)) as url:
        desk.write("config.yaml", CONFIG.replace("http://127.0.0.1:9", url))
        code, told, _ = desk.said("check", "--live")
    assert code == 1
    assert "bad_request: HTTP 400" in told
    assert "clock skew" in told


PLACES = {
    "http://127.0.0.1:9": "127.0.0.1:9",
    "https://no-such-host.invalid": "no-such-host.invalid",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", ["base_url", "proxy_url"])
def test_host_that_is_not_there(desk: Desk, place: str, key: str) -> None:
    """If the API or proxy host cannot be reached, the error names it."""
    text = CONFIG.replace("http://127.0.0.1:9", place)
    if key == "proxy_url":
        text = CONFIG.replace("127.0.0.1:9", "127.0.0.1:1") + f"    proxy_url: {place}\n"
    desk.write("config.yaml", text)
    code, told, _ = desk.said("check", "--live")
    assert code == 1
    assert PLACES[place] in told
    assert "(check DNS, the network and the proxy)" in told


def test_filters_that_let_nothing_through(desk: Desk) -> None:
    """If filters exclude all discovered buckets, the output explains how patterns match."""
    with served(simulator.Simulator(now=time.time, buckets=("b1", "b2"))) as url:
        text = CONFIG.replace("http://127.0.0.1:9", url)
        desk.write("config.yaml", text.replace("buckets: [b1]", "discovery: {include: [media-*]}"))
        code, told, _ = desk.said("check", "--live")
    assert code == 0
    assert (
        "2 found, 0 polled: include and exclude must match the complete name, as in media-.*"
        in told
    )


def test_user_without_buckets(desk: Desk) -> None:
    """If discovery finds no buckets, the output says that the user has none."""
    with served(simulator.Simulator(now=time.time, buckets=())) as url:
        text = CONFIG.replace("http://127.0.0.1:9", url)
        desk.write("config.yaml", text.replace("buckets: [b1]", "discovery: {}"))
        _, told, _ = desk.said("check", "--live")
    assert "0 found, 0 polled: this user has no buckets" in told
