"""Builds and runs images with buildah and podman, without a daemon, on a substitute for the base.

What an image must do is in the tests. All data is in one directory outside of the repository, so
that the base and the layers are reused.
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
"""Settings of this machine's pip for reaching its index. The build uses the same."""

CONFINED = (
    "--network=none",
    "--read-only",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--no-healthcheck",  # podman needs systemd for it; the tests run it themselves
    "--ulimit=nofile=1024:1024",  # podman's default exceeds the limits of this machine
    "--ulimit=nproc=4096:4096",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command."""

    code: int
    output: str
    errors: str  # includes podman's own messages


class Container:
    """A running container."""

    def __init__(self, engine: Engine, identity: str) -> None:
        self._engine = engine
        self._identity = identity

    def executed(self, *command: str) -> Answer:
        """Run a command in the container."""
        return self._engine.answer("podman", "exec", self._identity, *command)

    def python(self, code: str) -> Answer:
        """Run Python code in the container, which has no other tools."""
        return self.executed("python", "-I", "-c", code)

    def page(self, port: int, path: str) -> Answer:
        """Request a page in the container. The exit code is not 0 if that fails."""
        url = f"http://127.0.0.1:{port}{path}"
        code = f"import urllib.request as u; print(u.urlopen({url!r}).read().decode())"
        return self.python(code)

    async def ready(self, port: int) -> None:
        """Wait until every bucket was polled. Fails if the container stops."""

        def answered() -> bool | None:
            if self.page(port, "/-/ready").code == 0:
                return True
            state = "{{.State.Running}}"
            running = self._engine.text("podman", "inspect", f"--format={state}", self._identity)
            assert running == "true", self.log()
            return None

        await until(partial(asyncio.to_thread, answered))

    def log(self) -> str:
        """Everything that the container has printed so far."""
        answer = self._engine.answer("podman", "logs", self._identity)
        return answer.output + answer.errors

    def exit_code(self, signal: str) -> int:
        """Send a signal; returns the exit code."""
        self._engine.text("podman", "kill", f"--signal={signal}", self._identity)
        return int(self._engine.text("podman", "wait", self._identity, patience=TIMEOUTS))


class Engine:
    """buildah and podman, with their own storage."""

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
        """Run a command. Raises TimeoutExpired after `patience` seconds."""
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
        """The output of a command, which must succeed, without the last line end."""
        done = self.answer(*command, patience=patience)
        assert done.code == 0, f"{' '.join(command)}\n{done.output}{done.errors}"
        return done.output.rstrip("\n")

    def product(self) -> str:
        """Build the repository's image, with a version and a revision that only tests use."""
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
        """The metadata of an image."""
        found: list[dict[str, Any]] = json.loads(self.text("podman", "image", "inspect", image))
        return found[0]

    def answered(self, image: str, *arguments: str, options: tuple[str, ...] = ()) -> Answer:
        """Run an image, confined, until it exits."""
        return self.answer(*self._run("--rm", *options), image, *arguments)

    @contextmanager
    def running(
        self, image: str, *arguments: str, options: tuple[str, ...] = ()
    ) -> Iterator[Container]:
        """Run a confined container of an image until the `with` block ends."""
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
        """Allow only one process at a time."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def engine_here() -> Engine:
    """The engine. If a program is missing, the test is skipped, or fails in CI."""
    for name in ("buildah", "podman", "runc", "mmdebstrap"):
        program(name)
    if os.geteuid() != 0:
        pytest.skip("needs root, to make the base")
    return Engine()


def pip_settings() -> str:
    """A pip.conf with this machine's settings for reaching the index."""
    command = (sys.executable, "-m", "pip", "config", "list")
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = ["[global]"]
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in PIP_KEYS and "file:" not in value:
            lines.append(f"{key} = {value.strip(chr(39))}")
    return "\n".join(dict.fromkeys(lines)) + "\n"
