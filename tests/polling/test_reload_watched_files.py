"""Which files are watched for changes in a running exporter, and what is logged about them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

import pytest
import trustme
from structlog.testing import capture_logs

from exporter.blocking import in_thread
from exporter.clock import SystemClock
from exporter.config import Config, load
from exporter.polling.reload import LOOK_SECONDS, READ_SECONDS, ConfigFiles, Reloader
from tests.config.samples import ACCOUNT, written
from tests.harness.fakes import FakeClock, settle


class Desk:
    """A directory with a configuration and its bucket file, and the reloader that watches them."""

    def __init__(self, directory: Path, clock: FakeClock) -> None:
        self.directory = directory
        self.clock = clock
        self.path = written(directory, LISTED, list="- b1\n")
        self.files = ConfigFiles(self.load, SystemClock())
        self.reloader = Reloader(self.files, self.apply, self.refuse, clock, asyncio.Event())
        self.applied: list[Config] = []
        self.refused: list[str] = []

    def load(self) -> Config:
        return load(self.path, {})

    async def apply(self, config: Config) -> bool:
        self.applied.append(config)
        return config not in self.applied[:-1]

    def refuse(self, problems: str) -> None:
        self.refused.append(problems)

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.directory / f"{name}.yaml").write_text(text)

    async def look_until(self, holds: Callable[[], bool]) -> None:
        """Run the watch loop until the condition holds."""
        async with asyncio.timeout(20):
            while not holds():
                await self.look()

    async def look(self) -> None:
        """Run the watch loop a few times, including its threads."""
        for _ in range(3):
            await self.clock.advance(INTERVAL)
            await in_thread(lambda: None)
            await settle()

    @asynccontextmanager
    async def watching(self, *, everything: bool = True) -> AsyncIterator[None]:
        """Load the configuration and watch its files while the body runs."""
        await self.reloader.reload()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self.reloader.watch(INTERVAL, everything=everything))
            yield
            watch.cancel()


INTERVAL = 30.0
LISTED = ACCOUNT.replace("buckets: [65f1c0ffee]", "bucket_files: ['list*.yaml']")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A directory with a valid configuration."""
    return Desk(tmp_path, FakeClock())


async def test_without_a_timer_only_bucket_files_are_followed(desk: Desk) -> None:
    """Without a reload interval, only bucket files are watched, not the configuration file."""
    async with desk.watching(everything=False):
        desk.write(config="- broken")
        await desk.look()
        assert not desk.refused
        assert await desk.reloader.reload() is not None
        desk.write(config=LISTED.replace("main", "other"))
        await desk.look()
        assert len(desk.applied) == 1
        desk.write(list="- b2\n")
        await desk.look_until(lambda: len(desk.applied) == 2)


async def test_timer_follows_tls_files_of_a_refused_configuration(desk: Desk) -> None:
    """If a reload failed on a missing TLS file, creating the file triggers a reload."""
    async with desk.watching(everything=False):
        desk.write(config=f"{LISTED}    tls_config: {{ca_file: ca.pem}}\n")
        assert await desk.reloader.reload() is not None
        authority = trustme.CA().cert_pem
        authority.write_to_path(desk.directory / "ca.pem")
        await desk.look_until(lambda: len(desk.applied) == 2)


@pytest.mark.parametrize("file", ["config", "list", "list2"])
async def test_change_right_after_the_reading_is_noticed(desk: Desk, file: str) -> None:
    """Changes are detected against the state before the load, not that of the first check."""
    text = {"config": LISTED.replace("main", "other"), "list": "- b1\n- b2\n", "list2": "- b2"}
    changes = [file]

    def load_and_change() -> Config:
        config = load(desk.path, {})
        while changes:
            name = changes.pop()
            desk.write(**{name: text[name]})
        return config

    files = ConfigFiles(load_and_change, SystemClock())
    await files.load()
    assert await files.have_changed(everything=True)
    assert await files.have_changed(everything=False) == (file != "config")
    await files.load()
    assert not await files.have_changed(everything=True)


async def test_change_during_a_refused_reload_is_noticed(desk: Desk) -> None:
    """A bucket file that changes during a failed reload is detected and loaded."""
    breaks = [True]

    def load_and_change() -> Config:
        if desk.applied and breaks:
            desk.write(config="- broken", list="- b2\n")
            try:
                return load(desk.path, {})
            finally:
                breaks.clear()
                desk.write(config=LISTED)
        return load(desk.path, {})

    desk.files = ConfigFiles(load_and_change, SystemClock())
    desk.reloader = Reloader(desk.files, desk.apply, desk.refuse, desk.clock, asyncio.Event())
    async with desk.watching(everything=False):
        assert await desk.reloader.reload() is not None
        await desk.look_until(lambda: len(desk.applied) == 2)
        assert [bucket.id for bucket in desk.applied[-1].buckets()] == ["b2"]


async def test_directory_that_vanishes_is_refused_and_comes_back(desk: Desk) -> None:
    """If a bucket file's directory vanishes, its buckets stay, and one error is reported."""
    lists = desk.directory / "lists"
    lists.mkdir()
    (lists / "a.yaml").write_text("- b1\n")
    desk.write(config=LISTED.replace("list*", "lists/*"))
    async with desk.watching(everything=False):
        shutil.move(lists, desk.directory / "elsewhere")
        await desk.look_until(lambda: len(desk.refused) == 1)
        assert f"the directory {lists} cannot be read (No such file or directory): " in str(
            desk.refused
        )
        await desk.look()
        assert (len(desk.refused), len(desk.applied)) == (1, 1)
        shutil.move(desk.directory / "elsewhere", lists)
        await desk.look_until(lambda: len(desk.applied) == 2)


async def test_what_is_no_news_is_not_told(desk: Desk) -> None:
    """A rewrite with the same content reloads silently; an explicit reload is logged."""
    async with desk.watching():
        with capture_logs() as events:
            desk.write(list="- b1\n")
            await desk.look_until(lambda: len(desk.applied) == 2)
            await settle()
            assert not events
            assert await desk.reloader.reload() is None
        assert [event["event"] for event in events] == ["config_reloaded"]


async def test_files_that_hang_are_given_up_and_read_once_they_answer(desk: Desk) -> None:
    """If a file hangs, the old configuration stays and one error is reported, until it responds."""
    clock, free = FakeClock(), Event()

    def load_at_last() -> Config:
        if desk.applied:
            free.wait()
        return load(desk.path, {})

    desk.files = ConfigFiles(load_at_last, clock)
    desk.reloader = Reloader(desk.files, desk.apply, desk.refuse, desk.clock, asyncio.Event())
    async with desk.watching():
        asked = asyncio.create_task(desk.reloader.reload())
        await in_thread(lambda: None)
        while not asked.done():
            await clock.advance(1)
        assert await asked == (
            "the configuration, or a file that it names, could not be read within 60s: "
            "check for a hung mount"
        )
        for _ in range(3):
            await desk.look()
            await clock.advance(READ_SECONDS + LOOK_SECONDS)
        assert len(desk.refused) == 1
        free.set()
        await desk.look_until(lambda: len(desk.applied) == 2)
        assert len(desk.refused) == 1
