"""Another configuration for a running exporter."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from exporter.clock import SystemClock
from exporter.config import ConfigError, Problem, load, parse
from exporter.reload import Reloader
from tests.config.samples import ACCOUNT
from tests.fakes import FakeClock, settle
from tests.stack import ANYWHERE, BUCKETS, Running, all_polled, document, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.config import Config

LIFECYCLE = replace(ANYWHERE, lifecycle=True)
SUCCESSFUL = "flashback_exporter_config_last_reload_successful"


class File:
    """A configuration file that a test edits."""

    def __init__(self, **settings: object) -> None:
        self.settings = settings
        self.edits: list[tuple[str, str]] = []

    def text(self, api: str) -> str:
        text = document(api, **{"poll_interval": "1h", "stale_after": "3h", **self.settings})  # type: ignore[arg-type] # settings, not buckets
        for old, new in self.edits:
            assert old in text
            text = text.replace(old, new)
        return text


async def reload(at_work: Running) -> tuple[int, str]:
    """What a request to reload answers."""
    response = await at_work.request("POST", "/-/reload")
    return response.status_code, response.text


def polls(at_work: Running) -> int:
    """How many polls have been answered; closed days are no polls."""
    today = at_work.clock.now().day
    return sum(served.day == today for served in at_work.api.record.served)


async def test_new_name_touches_the_info_series_alone() -> None:
    """A renamed bucket keeps its readings and its schedule: nothing is polled for it."""
    file = File()
    async with running(options=LIFECYCLE, text=file.text) as at_work:
        before = await at_work.scrape_when(all_polled)
        file.edits = [("- 'b1'", "- {id: b1, name: renamed, labels: {team: media}}")]
        assert await reload(at_work) == (200, "The configuration is reloaded.\n")
        page = await at_work.scrape()
        assert page.value("flashback_bucket_info", name="renamed", team="media") == 1
        assert len(page.all("flashback_bucket_info", bucket_id="b1")) == 1
        nodes = "flashback_node_uptime_ratio"
        assert page.all(nodes, bucket_id="b1") == before.all(nodes, bucket_id="b1")
        assert polls(at_work) == len(BUCKETS)


async def test_buckets_come_and_go() -> None:
    """A new bucket is polled at once, a removed one goes with all its series, counters go on."""
    file = File()
    async with running(options=LIFECYCLE, text=file.text) as at_work:
        await at_work.scrape_when(all_polled)
        file.edits = [("- 'b1'", "- 'b4'")]
        assert (await reload(at_work))[0] == 200
        page = await at_work.scrape_when(
            lambda page: page.has("flashback_node_uptime_ratio", bucket_id="b4")
        )
        assert not [sample for sample in page if sample.labels.get("bucket_id") == "b1"]
        assert polls(at_work) == len(BUCKETS) + 1
        assert page.value("flashback_exporter_buckets") == len(BUCKETS)


async def test_another_base_url_drops_the_readings() -> None:
    """What the old API said is not shown once another one is asked."""
    file = File()
    async with running(options=LIFECYCLE, text=file.text) as at_work:
        await at_work.scrape_when(all_polled)
        at_work.api.play("hang/share=1")
        file.edits = [("127.0.0.1", "localhost")]
        assert (await reload(at_work))[0] == 200
        page = await at_work.scrape()
        assert not page.has("flashback_node_uptime_ratio")
        assert not page.has("flashback_bucket_last_success_timestamp_seconds")
        at_work.api.play("")


PAUSED = "flashback_account_paused_until_timestamp_seconds"


@pytest.mark.parametrize(
    "edit", [("127.0.0.1", "localhost"), ("- name: main", "- name: renamed")], ids=["API", "name"]
)
async def test_pause_ends_with_the_account_that_got_it(edit: tuple[str, str]) -> None:
    """Another API, or another name, starts without the pause, and the old one is not shown."""
    file = File()
    async with running("429-storm/share=1", options=LIFECYCLE, text=file.text) as at_work:
        await at_work.scrape_when(lambda page: page.has(PAUSED, account="main"))
        at_work.api.play("")
        file.edits = [edit]
        assert (await reload(at_work))[0] == 200
        page = await at_work.scrape()
        assert not page.has(PAUSED)
        await at_work.scrape_when(all_polled)
        page = await at_work.scrape()
        assert not page.has(PAUSED)


async def test_global_settings_count_at_once() -> None:
    """Known statuses and intervals take effect without a restart."""
    file = File()
    async with running(options=LIFECYCLE, text=file.text) as at_work:
        await at_work.scrape_when(all_polled)
        file.settings = {"known_statuses": "[ONLINE]", "poll_interval": "5s"}
        assert (await reload(at_work))[0] == 200
        page = await at_work.scrape()
        statuses = {sample.labels["status"] for sample in page.all("flashback_node_status")}
        assert statuses == {"ONLINE", "UNKNOWN"}
        assert polls(at_work) == len(BUCKETS)


async def test_broken_file_leaves_the_old_configuration_running() -> None:
    """A reload that fails says why, shows on the metrics, changes nothing, and can be mended."""
    file = File()
    async with running(options=LIFECYCLE, text=file.text) as at_work:
        before = await at_work.scrape_when(all_polled)
        assert before.value(SUCCESSFUL) == 1
        file.edits = [("- name: main", "- nme: main")]
        with capture_logs() as events:
            status, text = await reload(at_work)
        assert status == 500
        assert 'did you mean "name"?' in text
        assert "config.yaml:" in text
        assert [event["event"] for event in events] == ["config_reload_failed"]
        page = await at_work.scrape()
        assert page.value(SUCCESSFUL) == 0
        assert page.value(f"{SUCCESSFUL.removesuffix('ful')}_timestamp_seconds") == before.value(
            f"{SUCCESSFUL.removesuffix('ful')}_timestamp_seconds"
        )
        assert len(page.all("flashback_node_uptime_ratio")) == 6 * len(BUCKETS)
        file.edits = []
        assert (await reload(at_work))[0] == 200
        assert (await at_work.scrape()).value(SUCCESSFUL) == 1


async def test_reload_by_request_must_be_enabled() -> None:
    """Without --web.enable-lifecycle the request is forbidden; GET is never the way."""
    async with running() as at_work:
        assert (await at_work.request("POST", "/-/reload")).status_code == 403
        assert (await at_work.request("GET", "/-/reload")).status_code == 405
    async with running(options=LIFECYCLE) as at_work:
        assert (await at_work.request("PUT", "/-/reload")).status_code == 200
        assert (await at_work.request("GET", "/-/reload")).status_code == 405


async def test_signal_and_request_share_one_path() -> None:
    """What a signal handler asks for is done soon, by the same reload."""
    file = File()
    async with running(text=file.text) as at_work:
        await at_work.scrape_when(all_polled)
        file.edits = [("- 'b1'", "- {id: b1, name: renamed}")]
        at_work.reload_requested.set()
        await at_work.scrape_when(lambda page: page.has("flashback_bucket_info", name="renamed"))


async def test_reload_cuts_off_running_polls_and_makes_them_again() -> None:
    """Polls that hang while the configuration is reloaded are asked for anew."""
    file = File()
    async with running("hang/share=1", options=LIFECYCLE, text=file.text) as at_work:
        async with asyncio.timeout(20):
            while sum(at_work.api.record.calls.values()) < len(BUCKETS):
                await settle()
        at_work.api.play("")
        assert (await reload(at_work))[0] == 200
        page = await at_work.scrape_when(all_polled)
        assert len(page.all("flashback_node_uptime_ratio")) == 6 * len(BUCKETS)


async def test_many_reloads_lose_nothing() -> None:
    """Reloads one after the other, while polls run, leave every bucket polled and none twice."""
    file = File(poll_interval="5s", stale_after="5m")
    async with running(options=LIFECYCLE, text=file.text, speed=20) as at_work:
        for _ in range(20):
            assert (await reload(at_work))[0] == 200
        page = await at_work.scrape_when(all_polled)
        assert len(page.all("flashback_bucket_up")) == len(BUCKETS)


async def test_another_token_is_tried_at_once() -> None:
    """A reload with the right token does not wait for the re-checks of the wrong one."""
    file = File(poll_interval="1h")
    async with running(options=LIFECYCLE, text=file.text, tokens={"right"}, speed=20) as at_work:
        await at_work.scrape_when(
            lambda page: len(page.all("flashback_bucket_failing", reason="unauthorized")) == 3
        )
        file.edits = [("credentials: t0", "credentials: right")]
        assert (await reload(at_work))[0] == 200
        start = at_work.clock.monotonic()
        await at_work.scrape_when(lambda page: len(page.all("flashback_bucket_nodes")) == 3)
        assert at_work.clock.monotonic() - start < 1800


async def test_reload_in_the_middle_of_many_polls_loses_none() -> None:
    """However polls end around a reload, every bucket is polled on, also in a new account."""
    ids = tuple(f"b{number}" for number in range(300))
    extra = "  - {name: other, authorization: {credentials: t1}, buckets: [other]}\n"
    texts = [document, lambda api, **more: document(api, **more) + extra]

    def text(api: str) -> str:
        texts.reverse()
        return texts[0](api, buckets=ids, poll_interval="5s", max_requests_per_second=1000)

    async with running(options=LIFECYCLE, text=text) as at_work:
        for _ in range(12):
            assert (await reload(at_work))[0] == 200
        page = await at_work.scrape_when(
            lambda page: len(page.all("flashback_bucket_up")) >= len(ids)
        )
        calls = dict(at_work.api.record.calls)
        await at_work.wait_until(
            lambda: all(at_work.api.record.calls[each] > calls[each] for each in ids)
        )
        assert not page.has("flashback_bucket_failing")


async def test_changed_files_are_noticed(tmp_path: Path) -> None:
    """With an interval to look, a changed file is loaded without anybody asking."""
    tokens = tmp_path / "buckets.yaml"
    tokens.write_text("- from-file\n")
    file = File()
    file.edits = [("buckets:\n", f"bucket_files: ['{tokens}']\n    buckets:\n")]
    async with running(text=file.text, speed=20) as at_work:
        await at_work.scrape_when(
            lambda page: page.has("flashback_bucket_up", bucket_id="from-file")
        )
        tokens.write_text("- from-file\n- another\n")
        await at_work.scrape_when(lambda page: page.has("flashback_bucket_up", bucket_id="another"))
        assert polls(at_work) == len(BUCKETS) + 2


class Source:
    """A configuration that a test replaces, and what became of it."""

    def __init__(self) -> None:
        self.config: Config | Exception = self.make("b1")
        self.applied: list[Config] = []
        self.refused = 0
        self.problems = ""

    @staticmethod
    def make(bucket_id: str) -> Config:
        """A configuration with one bucket."""
        return parse(
            document("http://127.0.0.1:1", buckets=(bucket_id,)),
            path=Path("config.yaml"),
            environ={},
        )

    def load(self) -> Config:
        if isinstance(self.config, Exception):
            raise self.config
        return self.config

    async def apply(self, config: Config) -> None:
        self.applied.append(config)

    def refuse(self, problems: str) -> None:
        self.refused += 1
        self.problems = problems


async def test_timer_reloads_once_per_change() -> None:
    """A signature that changes leads to one reload, also where the file is broken."""
    source, clock, stamp = Source(), FakeClock(), [1]
    reloader = Reloader(source.load, source.apply, source.refuse, clock, asyncio.Event())
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(reloader.watch(lambda: stamp[0], 30))
        await clock.advance(100)
        assert source.applied == []
        stamp[0] = 2
        source.config = ConfigError([Problem("config.yaml", 1, "", "broken")])
        await clock.advance(31)
        await until(lambda: source.refused == 1)
        await clock.advance(100)
        assert source.refused == 1
        stamp[0] = 3
        source.config = source.make("b2")
        await clock.advance(31)
        await until(lambda: len(source.applied) == 1)
        watching.cancel()


async def test_timer_follows_what_only_the_broken_file_names(tmp_path: Path) -> None:
    """Once a list is mended that the old configuration does not know, one reload follows."""
    config, mended = tmp_path / "config.yaml", tmp_path / "list.yaml"
    config.write_text(ACCOUNT.replace("buckets: [65f1c0ffee]", "bucket_files: [list.yaml]"))
    mended.write_text("- b1\n- b1\n")
    source, clock, requested = Source(), FakeClock(), asyncio.Event()
    reloader = Reloader(lambda: load(config, {}), source.apply, source.refuse, clock, requested)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(reloader.watch(lambda: None, 30))
        assert await reloader.reload() is not None
        await clock.advance(100)
        assert source.refused == 1
        mended.write_text("- b1\n")
        await clock.advance(31)
        await until(lambda: len(source.applied) == 1)
        await clock.advance(100)
        assert (source.refused, len(source.applied)) == (1, 1)
        watching.cancel()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for the thread in which a configuration is loaded."""
    clock = SystemClock()
    async with asyncio.timeout(20):
        while not holds():
            await clock.sleep(0.001)
    await settle()


@pytest.mark.parametrize("error", [OSError("gone"), ConfigError([])])
async def test_what_cannot_be_applied_is_refused(error: Exception) -> None:
    """TLS files that vanish between parsing and use leave the old configuration running."""

    async def apply(_config: Config) -> None:
        raise error

    source = Source()
    reloader = Reloader(source.load, apply, source.refuse, FakeClock(), asyncio.Event())
    assert await reloader.reload() == str(error)
    assert source.refused == 1
    assert source.problems == str(error)


async def test_reloads_are_serialised() -> None:
    """Two reloads at once are made one after the other."""
    source, depth, deepest = Source(), [0], [0]

    def load() -> Config:
        depth[0] += 1
        deepest[0] = max(deepest[0], depth[0])
        config = source.load()
        depth[0] -= 1
        return config

    reloader = Reloader(load, source.apply, source.refuse, FakeClock(), asyncio.Event())
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(reloader.reload())
    assert len(source.applied) == 5
    assert deepest == [1]
