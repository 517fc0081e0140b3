"""Images built and run by buildah and podman, without a daemon, on a stand-in base.

What is expected of an image is not said here. Everything is kept in one folder outside of the
repository, so that the base is made once and layers are found again.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.real.programs import TIMEOUTS, program, until

ROOT = Path(__file__).parents[3]
MAKE_BASE = Path(__file__).parent / "make-base"
FOLDER = Path(tempfile.gettempdir()) / f"flashback-exporter-image-{os.getuid()}"
BASE = "docker.io/library/python:3.13-slim"
IMAGE, VERSION, REVISION = "flashback-exporter:tested", "9.8.7", "0123abc"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "cert", "timeout", "proxy")
"""How this machine's pip reaches its index: the build's is told the same."""

CONFINED = (
    "--network=none",
    "--read-only",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--no-healthcheck",  # podman would ask systemd for a timer; the tests run it by hand
    "--ulimit=nofile=1024:1024",  # by default podman asks for more than it may have here
    "--ulimit=nproc=4096:4096",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command came to."""

    code: int
    output: str
    errors: str  # what podman itself has to complain about stands here, too


class Container:
    """A running container."""

    def __init__(self, engine: Engine, identity: str) -> None:
        self._engine = engine
        self._identity = identity

    def executed(self, *command: str) -> Answer:
        """What a command says inside of it."""
        return self._engine.answer("podman", "exec", self._identity, *command)

    def python(self, code: str) -> Answer:
        """What some Python says inside of it: there is no other tool to look with."""
        return self.executed("python", "-I", "-c", code)

    def page(self, port: int, path: str) -> Answer:
        """What it serves; a code other than 0 where that is an error."""
        url = f"http://127.0.0.1:{port}{path}"
        code = f"import urllib.request as u; print(u.urlopen({url!r}).read().decode())"
        return self.python(code)

    async def ready(self, port: int) -> None:
        """Return once every bucket was polled; fails where it is not running any more."""

        def answered() -> bool | None:
            if self.page(port, "/-/ready").code == 0:
                return True
            state = "{{.State.Running}}"
            running = self._engine.text("podman", "inspect", f"--format={state}", self._identity)
            assert running == "true", self.log()
            return None

        await until(partial(asyncio.to_thread, answered))

    def log(self) -> str:
        """What it has printed so far."""
        answer = self._engine.answer("podman", "logs", self._identity)
        return answer.output + answer.errors

    def exit_code(self, signal: str) -> int:
        """How it ends once it gets a signal."""
        self._engine.text("podman", "kill", f"--signal={signal}", self._identity)
        return int(self._engine.text("podman", "wait", self._identity, patience=TIMEOUTS))


class Engine:
    """buildah and podman, with storage of their own."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        storage = folder / "storage.conf"
        storage.write_text(
            "[storage]\n"
            'driver = "overlay"\n'
            f'runroot = "{folder / "run"}"\n'
            f'graphroot = "{folder / "graph"}"\n'
        )
        self._environ = os.environ | {"CONTAINERS_STORAGE_CONF": str(storage)}

    def answer(self, *command: str, patience: float | None = None) -> Answer:
        """What a command says, and its exit code. Raises TimeoutExpired after so many seconds."""
        done = subprocess.run(
            command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=patience,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def text(self, *command: str, patience: float | None = None) -> str:
        """What a command says that must succeed, without the last line's end."""
        done = self.answer(*command, patience=patience)
        assert done.code == 0, f"{' '.join(command)}\n{done.output}{done.errors}"
        return done.output.rstrip("\n")

    def product(self) -> str:
        """The repository's image, built with a version and a revision that are nobody else's."""
        with self._alone():
            self._provide_base()
            pip = self._folder / "pip.conf"
            pip.write_text(pip_settings())
            self.text(
                *("buildah", "build", "--quiet", "--layers", "--format=docker"),
                *("--isolation=chroot", "--network=host", "--pull-never"),
                f"--volume={CERTIFICATES}:{CERTIFICATES}:ro",
                f"--volume={pip}:/etc/pip.conf:ro",
                f"--build-arg=VERSION={VERSION}",
                f"--build-arg=REVISION={REVISION}",
                f"--tag={IMAGE}",
                str(ROOT),
            )
            self.text("podman", "image", "prune", "--force", "--filter=until=24h")
        return IMAGE

    def inspected(self, image: str) -> dict[str, Any]:
        """What an image says of itself."""
        found: list[dict[str, Any]] = json.loads(self.text("podman", "image", "inspect", image))
        return found[0]

    def answered(self, image: str, *arguments: str, options: tuple[str, ...] = ()) -> Answer:
        """What an image says that runs to its end, confined."""
        return self.answer(*self._run("--rm", *options), image, *arguments)

    @contextmanager
    def running(
        self, image: str, *arguments: str, options: tuple[str, ...] = ()
    ) -> Iterator[Container]:
        """An image that runs, confined, while the body does."""
        identity = self.text(*self._run("--detach", *options), image, *arguments)
        try:
            yield Container(self, identity)
        finally:
            self.text("podman", "rm", "--force", "--time=0", identity)

    def _run(self, *options: str) -> tuple[str, ...]:
        return ("podman", "--runtime=runc", "run", *CONFINED, *options)

    def _provide_base(self) -> None:
        recipe = hashlib.sha256(MAKE_BASE.read_bytes()).hexdigest()[:12]
        mark = self._folder / f"base-{recipe}"
        if mark.exists() and self.answer("podman", "image", "exists", BASE).code == 0:
            return
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            archive = f"{scratch}/base.tar"
            self.text(str(MAKE_BASE), archive)
            self.text("podman", "import", "--quiet", "--change=CMD=python3", archive, BASE)
        mark.touch()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one process at a time makes anything."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def engine_here() -> Engine:
    """What builds and runs images; where it is missing the test is skipped, or fails in CI."""
    for name in ("buildah", "podman", "runc", "mmdebstrap"):
        program(name)
    if os.geteuid() != 0:
        pytest.skip("needs root, to make the base")
    return Engine()


def pip_settings() -> str:
    """A pip.conf that reaches the index which this machine's pip reaches."""
    command = (sys.executable, "-m", "pip", "config", "list")
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = ["[global]"]
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in PIP_KEYS and "file:" not in value:
            lines.append(f"{key} = {value.strip(chr(39))}")
    return "\n".join(dict.fromkeys(lines)) + "\n"
