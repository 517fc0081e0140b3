"""Token files and static tokens."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exporter.blocking import SECRET_LIMIT
from exporter.model import Reason
from exporter.upstream.credentials import (
    FILE_DEADLINE,
    FILE_INTERVAL,
    NoToken,
    SecretFile,
    StaticToken,
    TokenFile,
)
from tests.harness.fakes import FakeClock
from tests.upstream.tokens import token_in_memory


class Followed:
    """A watched token file, with a fake clock."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.credentials = TokenFile(path, self.clock)
        self.on_change = 0

    def note_news(self) -> None:
        """Count a notification about a new token."""
        self.on_change += 1

    async def until(self, holds: Callable[[], bool]) -> None:
        """Run the file watch until the condition holds."""
        async with asyncio.timeout(20):
            while not holds():
                await self._look_again()

    async def until_token(self, token: str | None) -> None:
        """Run the file watch until this is the token in memory."""
        async with asyncio.timeout(20):
            while await token_in_memory(self.credentials) != token:
                await self._look_again()

    async def _look_again(self) -> None:
        await self.clock.advance(FILE_INTERVAL / 10)
        await asyncio.sleep(0.001)  # for the thread that reads the file


@asynccontextmanager
async def following(path: Path) -> AsyncIterator[Followed]:
    """Watch a token file while the body runs."""
    followed = Followed(path)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(followed.credentials.run(followed.note_news))
        yield followed
        running.cancel()


class Mounted(type(Path())):  # type: ignore[misc]
    """A file on a mount that can hang, and then blocks every access."""

    answers: threading.Event
    threads: set[int]

    def __fspath__(self) -> str:
        self.threads.add(threading.get_ident())
        self.answers.wait()
        return str(self)


def mounted(path: Path, text: str = "t1") -> Mounted:
    """A file with this text, on a mount that responds."""
    path.write_text(text)
    file = Mounted(path)
    file.answers, file.threads = threading.Event(), set()
    file.answers.set()
    return file


def token_file(path: Path) -> TokenFile:
    """A token file that is not watched."""
    return TokenFile(path, FakeClock())


async def refusal(credentials: TokenFile) -> str:
    """The error message if there is no token."""
    with pytest.raises(NoToken) as caught:
        await credentials.token()
    assert caught.value.api_error.reason is Reason.UNAUTHORIZED
    return caught.value.api_error.message


async def test_given_token_stays() -> None:
    """A token from the configuration never changes."""
    given = StaticToken("t0")
    assert await given.token() == await token_in_memory(given) == "t0"
    assert await given.refresh("t0") is None
    await given.run(lambda: None)


async def test_token_is_read_once_and_then_in_memory(tmp_path: Path) -> None:
    """The token file is read once, in a thread; later requests use the token in memory."""
    file = mounted(tmp_path / "token")
    credentials = TokenFile(file, FakeClock())
    assert await token_in_memory(credentials) is None
    assert await credentials.token() == "t1"
    looked = file.threads.copy()
    assert await token_in_memory(credentials) == await credentials.token() == "t1"
    assert file.threads == looked
    assert threading.get_ident() not in looked


async def test_file_is_trimmed(tmp_path: Path) -> None:
    """Whitespace around the token, such as a trailing newline, is removed."""
    file = tmp_path / "token"
    file.write_text("  t1\r\n\n")
    assert await token_file(file).token() == "t1"


async def test_file_is_followed(tmp_path: Path) -> None:
    """A token written over the old one is used, and sends one notification."""
    file = tmp_path / "token"
    file.write_text("t1")
    async with following(file) as followed:
        await followed.until_token("t1")
        on_change = followed.on_change
        file.write_text("t2-longer")
        await followed.until_token("t2-longer")
        await followed.until(lambda: followed.on_change == on_change + 1)


async def test_file_written_anew_with_the_same_token_is_no_news(tmp_path: Path) -> None:
    """Rewriting the file with the same token sends no notification, a new token does."""
    file = tmp_path / "token"
    file.write_text("t1\n")
    async with following(file) as followed:
        await followed.until(lambda: followed.on_change == 1)
        for text in ("t1", " t1 "):
            (tmp_path / "new").write_text(text)
            (tmp_path / "new").replace(file)
            await followed.clock.advance(FILE_INTERVAL)
            assert await followed.credentials.refresh("t1") is None
            await followed.clock.advance(FILE_INTERVAL)
        file.write_text("t2")
        await followed.until_token("t2")
        await followed.until(lambda: followed.on_change == 2)


async def test_another_token_that_a_refusal_brought_is_news(tmp_path: Path) -> None:
    """A new token found after a 401 is used at once, and sends a notification."""
    file = tmp_path / "token"
    file.write_text("t1")
    async with following(file) as followed:
        await followed.until(lambda: followed.on_change == 1)
        file.write_text("t2")
        assert await followed.credentials.refresh("t1") == "t2"
        await followed.until(lambda: followed.on_change == 2)


async def test_swapped_link_is_followed(tmp_path: Path) -> None:
    """When a symbolic link is swapped, as Kubernetes does, the new file is read."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(name)
        os.utime(tmp_path / name / "token", (1, 1))
    data = tmp_path / "..data"
    data.symlink_to("first")
    (tmp_path / "token").symlink_to("..data/token")
    async with following(tmp_path / "token") as followed:
        await followed.until_token("first")
        (tmp_path / "..new").symlink_to("second")
        (tmp_path / "..new").replace(data)
        await followed.until_token("second")


async def test_refused_token_is_read_again_even_if_the_file_looks_the_same(tmp_path: Path) -> None:
    """After a 401 the file is re-read even if its modification time is unchanged."""
    file = tmp_path / "token"
    file.write_text("t1")
    os.utime(file, (1, 1))
    credentials = token_file(file)
    assert await credentials.token() == "t1"
    assert await credentials.refresh("t1") is None
    file.write_text("t2")
    os.utime(file, (1, 1))
    assert await credentials.refresh("t1") == "t2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "credentials_file cannot be read: No such file or directory"),
        (b"", "credentials_file is empty: write the secret into it"),
        (b" \n", "credentials_file is empty: write the secret into it"),
        (b"\xff\xfe", "credentials_file cannot be read: it is not UTF-8"),
        (b"Bearer s3cret", "does not contain a bare token"),
        (b"s3cret\ns3cret", "does not contain a bare token"),
        ("s3crét".encode(), "does not contain a bare token"),
        (
            b"s3cr" * SECRET_LIMIT,
            "credentials_file cannot be read: it is larger than 1 MiB: use a",
        ),
    ],
    ids=["missing", "empty", "blank", "binary", "bearer", "two lines", "not ASCII", "large"],
)
async def test_unusable_file_is_unauthorized(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    """An unusable token file is reported with its problem but without its content."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    said = await refusal(token_file(file))
    assert message in said
    assert "s3cr" not in said
    assert "\n" not in said


@pytest.mark.parametrize("path", ["fifo", "/dev/zero", "."])
async def test_what_is_no_regular_file_is_unauthorized(tmp_path: Path, path: str) -> None:
    """A FIFO, an endless device and a directory are rejected without blocking."""
    os.mkfifo(tmp_path / "fifo")
    said = await refusal(token_file(tmp_path / path))
    assert said.startswith("credentials_file cannot be read: ")
    assert said.endswith(": use a regular UTF-8 file of at most 1 MiB that the exporter can read")


async def test_mount_that_hangs_costs_no_token_that_is_in_memory(tmp_path: Path) -> None:
    """While the mount hangs the token in memory stays in use; later the file is watched again."""
    file = mounted(tmp_path / "token")
    async with following(file) as followed:
        await followed.until(lambda: followed.on_change == 1)
        credentials = followed.credentials
        file.answers.clear()
        renewal = asyncio.ensure_future(credentials.refresh("t1"))
        await followed.clock.advance(10 * FILE_DEADLINE)
        assert await renewal is None
        assert await token_in_memory(credentials) == await credentials.token() == "t1"
        (tmp_path / "token").write_text("t2")
        file.answers.set()
        await followed.until_token("t2")


async def test_mount_that_hangs_from_the_start_is_unauthorized(tmp_path: Path) -> None:
    """If the mount hangs from the start, only the first requests wait, and one thread blocks."""
    file = mounted(tmp_path / "token")
    file.answers.clear()
    async with following(file) as followed:
        first = [asyncio.ensure_future(refusal(followed.credentials)) for _ in range(5)]
        await followed.clock.advance(FILE_DEADLINE)
        hangs = f"credentials_file cannot be read: no response within {FILE_DEADLINE:g}s: use a"
        for each in first:
            assert (await each).startswith(hangs)
        assert (await refusal(followed.credentials)).startswith(hangs)
        await followed.clock.advance(10 * FILE_DEADLINE)
        assert len(file.threads) == 1
        file.answers.set()
        await followed.until_token("t1")


async def test_one_hanging_mount_does_not_hold_up_another_file(tmp_path: Path) -> None:
    """A file on a hanging mount does not delay the watch of another account's file."""
    dead = mounted(tmp_path / "dead")
    dead.answers.clear()
    (tmp_path / "token").write_text("t1")
    async with following(dead), following(tmp_path / "token") as followed:
        await followed.until(lambda: followed.on_change == 1)
        (tmp_path / "token").write_text("t2")
        await followed.until_token("t2")
        dead.answers.set()


async def test_successor_goes_on_with_the_token_and_reads_the_file_again(tmp_path: Path) -> None:
    """After a reload the token is kept and the file re-read, even if its mtime is unchanged."""
    file = tmp_path / "token"
    file.write_text("t1")
    os.utime(file, (1, 1))
    before = token_file(file)
    assert await before.token() == "t1"
    async with following(file) as followed:
        followed.credentials.resume(before)
        assert await token_in_memory(followed.credentials) == "t1"
        file.write_text("t2")
        os.utime(file, (1, 1))
        await followed.until_token("t2")
        await followed.until(lambda: followed.on_change == 1)
        followed.credentials.resume(StaticToken("other"))
        assert await token_in_memory(followed.credentials) == "t2"


async def test_file_that_comes_back_is_read(tmp_path: Path) -> None:
    """When a missing file comes back, its token is used and a notification is sent."""
    file = tmp_path / "token"
    async with following(file) as followed:
        assert "No such file" in await refusal(followed.credentials)
        for text in ("t1", "t1"):
            on_change = followed.on_change
            file.write_text(text)
            await followed.until_token("t1")
            await followed.until(lambda on_change=on_change: followed.on_change == on_change + 1)  # type: ignore[misc] # bound now
            file.unlink()
            await followed.until_token(None)
            assert "No such file" in await refusal(followed.credentials)


async def test_fault_is_looked_into_though_the_file_looks_the_same(tmp_path: Path) -> None:
    """An unusable file is re-read even if its modification time is unchanged."""
    file = tmp_path / "password"
    secret = SecretFile(file, "password_file", FakeClock())
    for content in (b"\xff\xff", b"pw"):
        file.write_bytes(content)
        os.utime(file, (1, 1))
        await secret.update()
    assert secret.content == "pw"
