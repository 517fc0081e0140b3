"""Configuration reload of a running exporter, in virtual time."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.clock import SystemClock
from exporter.config import Config, ConfigError, load
from exporter.polling.reload import READ_SECONDS, ConfigFiles, Reloader
from tests.config.samples import ACCOUNT
from tests.harness.fakes import FakeClock, settle
from tests.harness.stack import ANYWHERE, BUCKETS, Running, all_polled, document, running

pytestmark = pytest.mark.virtual_time

LIFECYCLE = replace(ANYWHERE, lifecycle=True)
LOADED = "flashback_exporter_config_last_reload_success_timestamp_seconds"
SUCCESSFUL = "flashback_exporter_config_last_reload_successful"


class File:
    """A configuration file that a test can edit."""

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
    """The status and text of the response to a reload request."""
    response = await at_work.request("POST", "/-/reload")
    return response.status_code, response.text


def polls(at_work: Running) -> int:
    """How many polls got a response, not counting previous-day requests."""
    today = at_work.clock.now().day
    return sum(served.day == today for served in at_work.api.record.served)


async def test_new_name_touches_the_info_series_alone() -> None:
    """A renamed bucket keeps its samples and schedule; only its info series changes."""
    file = File()
    async with running(options=LIFECYCLE, text=file.text) as at_work:
        before = await at_work.scrape_when(all_polled)
        file.edits = [("- 'b1'", "- {id: b1, name: renamed, labels: {team: media}}")]
        assert await reload(at_work) == (200, "Configuration reloaded.\n")
        page = await at_work.scrape()
        assert page.value("flashback_bucket_info", name="renamed", team="media") == 1
        assert len(page.all("flashback_bucket_info", bucket_id="b1")) == 1
        nodes = "flashback_node_uptime_ratio"
        assert page.all(nodes, bucket_id="b1") == before.all(nodes, bucket_id="b1")
        assert polls(at_work) == len(BUCKETS)


async def test_buckets_come_and_go() -> None:
    """A new bucket is polled at once; a removed one loses all its series; the others stay."""
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
    """After base_url changes, samples from the old API are no longer exported."""
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
    """A changed base_url or account name drops the 429 pause and its metric."""
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
    """New known_statuses and intervals take effect on reload, without a restart."""
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
    """A failed reload reports the error and sets the metric to 0; the old configuration stays."""
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
    """POST and PUT /-/reload need --web.enable-lifecycle; GET is never allowed."""
    async with running() as at_work:
        assert (await at_work.request("POST", "/-/reload")).status_code == 403
        assert (await at_work.request("GET", "/-/reload")).status_code == 405
    async with running(options=LIFECYCLE) as at_work:
        assert (await at_work.request("PUT", "/-/reload")).status_code == 200
        assert (await at_work.request("GET", "/-/reload")).status_code == 405


async def test_signal_and_request_share_one_path() -> None:
    """SIGHUP triggers the same reload as a request."""
    file = File()
    async with running(text=file.text) as at_work:
        await at_work.scrape_when(all_polled)
        file.edits = [("- 'b1'", "- {id: b1, name: renamed}")]
        at_work.reload_requested.set()
        await at_work.scrape_when(lambda page: page.has("flashback_bucket_info", name="renamed"))


async def test_reload_cuts_off_running_polls_and_makes_them_again() -> None:
    """Polls that a reload cancels are started again after it."""
    file = File()
    async with running("hang/share=1", options=LIFECYCLE, text=file.text) as at_work:
        await at_work.wait_until(lambda: sum(at_work.api.record.calls.values()) == len(BUCKETS))
        at_work.api.play("")
        file.edits = [("- 'b1'", "- {id: b1, name: renamed}")]
        assert (await reload(at_work))[0] == 200
        page = await at_work.scrape_when(all_polled)
        assert len(page.all("flashback_node_uptime_ratio")) == 6 * len(BUCKETS)


async def test_many_reloads_lose_nothing() -> None:
    """After many reloads in a row every bucket is still polled."""
    file = File(poll_interval="5s", stale_after="5m")
    async with running(options=LIFECYCLE, text=file.text) as at_work:
        for number in range(20):
            file.edits = [("- 'b1'", f"- {{id: b1, name: name-{number}}}")]
            assert (await reload(at_work))[0] == 200
        page = await at_work.scrape_when(all_polled)
        assert len(page.all("flashback_bucket_up")) == len(BUCKETS)


async def test_another_token_is_tried_at_once() -> None:
    """A new token takes effect on reload; its buckets do not wait for their next re-check."""
    file = File(poll_interval="1h")
    async with running(options=LIFECYCLE, text=file.text, tokens={"right"}) as at_work:
        await at_work.scrape_when(
            lambda page: len(page.all("flashback_bucket_failing", reason="unauthorized")) == 3
        )
        file.edits = [("credentials: t0", "credentials: right")]
        assert (await reload(at_work))[0] == 200
        start = at_work.clock.monotonic()
        await at_work.scrape_when(lambda page: len(page.all("flashback_bucket_nodes")) == 3)
        assert at_work.clock.monotonic() - start < 1800


async def test_reload_in_the_middle_of_many_polls_loses_none() -> None:
    """Reloads during running polls lose no bucket and fail no poll, also if an account is added."""
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
    """With reload by interval, a changed bucket file is loaded automatically."""
    tokens = tmp_path / "buckets.yaml"
    tokens.write_text("- from-file\n")
    file = File()
    file.edits = [("buckets:\n", f"bucket_files: ['{tokens}']\n    buckets:\n")]
    async with running(text=file.text) as at_work:
        await at_work.scrape_when(
            lambda page: page.has("flashback_bucket_up", bucket_id="from-file")
        )
        tokens.write_text("- from-file\n- another\n")
        await at_work.scrape_when(lambda page: page.has("flashback_bucket_up", bucket_id="another"))
        assert polls(at_work) == len(BUCKETS) + 2


async def test_bucket_files_of_the_same_content_stop_no_poll(tmp_path: Path) -> None:
    """Rewriting a bucket file with the same content does not cancel running polls."""
    bucket_list = tmp_path / "list.yaml"
    bucket_list.write_text("- from-file\n")
    file = File()
    file.edits.append(("    buckets:\n", "    bucket_files: [list.yaml]\n    buckets:\n"))
    path = tmp_path / "config.yaml"
    async with running("hang/share=1", text=file.text, path=path) as at_work:
        calls = at_work.api.record.calls
        await at_work.wait_until(lambda: sum(calls.values()) == len(BUCKETS) + 1)
        before = (await at_work.scrape()).value(LOADED)
        bucket_list.write_text("# the same\n- from-file\n")
        await at_work.scrape_when(lambda page: page.value(LOADED) != before)
        await settle()
        assert sum(calls.values()) == len(BUCKETS) + 1


async def test_tls_contexts_of_a_reload_are_made_off_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Creating TLS contexts reads files for tens of ms, so it runs in a thread, not in the loop."""
    made_in: list[int] = []
    make = ssl.create_default_context

    def noted(*args: Any, **options: Any) -> ssl.SSLContext:  # noqa: ANN401 - handed on
        made_in.append(threading.get_ident())
        return make(*args, **options)

    file = File()
    async with running(options=LIFECYCLE, text=file.text) as at_work:
        monkeypatch.setattr(ssl, "create_default_context", noted)
        file.edits = [("- 'b1'", "- {id: b1, name: renamed}")]
        assert (await reload(at_work))[0] == 200
    assert made_in
    assert threading.get_ident() not in made_in


class Source:
    """A configuration file that a test replaces, and the results of its reloads."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "config.yaml"
        self.write("buckets: [b1]")
        self.applied: list[Config] = []
        self.refused = 0
        self.problems = ""

    def write(self, buckets: str) -> None:
        """Write the file with this setting for its buckets."""
        self.file.write_text(ACCOUNT.replace("buckets: [65f1c0ffee]", buckets))

    def files(self) -> ConfigFiles:
        return ConfigFiles(lambda: load(self.file, {}), SystemClock())

    async def apply(self, config: Config) -> bool:
        self.applied.append(config)
        return True

    def refuse(self, problems: str) -> None:
        self.refused += 1
        self.problems = problems

    def reloader(self, files: ConfigFiles, clock: FakeClock) -> Reloader:
        return Reloader(files, self.apply, self.refuse, clock, asyncio.Event())


async def test_timer_reloads_once_per_change(tmp_path: Path) -> None:
    """Each change of the file triggers one reload, even if the new content is invalid."""
    source, clock = Source(tmp_path), FakeClock()
    files = source.files()
    files.note_active(await files.load())
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(source.reloader(files, clock).watch(30, everything=True))
        assert not await files.have_changed(everything=True)
        source.write("buckets: [b1")
        await looked(clock, lambda: source.refused == 1)
        assert not await files.have_changed(everything=True)
        source.write("buckets: [b2]")
        await looked(clock, lambda: len(source.applied) == 1)
        assert not await files.have_changed(everything=True)
        watching.cancel()
    assert (source.refused, len(source.applied)) == (1, 1)


async def test_change_between_loading_and_the_first_look_is_noticed(tmp_path: Path) -> None:
    """Changes are detected against the files' state from before they were loaded."""
    source, clock = Source(tmp_path), FakeClock()
    files = source.files()
    files.note_active(await files.load())
    source.write("buckets: [changed-before-anybody-looked]")
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(source.reloader(files, clock).watch(30, everything=True))
        await looked(clock, lambda: len(source.applied) == 1)
        watching.cancel()


async def test_change_while_files_are_read_is_noticed(tmp_path: Path) -> None:
    """A file that changes during the load, after it was read, is detected as changed."""
    source = Source(tmp_path)

    def read_then_change() -> Config:
        config = load(source.file, {})
        source.write("buckets: [written-meanwhile]")
        return config

    files = ConfigFiles(read_then_change, SystemClock())
    files.note_active(await files.load())
    assert await files.have_changed(everything=True)


async def test_timer_follows_what_only_the_broken_file_names(tmp_path: Path) -> None:
    """If a reload fails due to a bucket file, fixing only that file triggers another reload."""
    source, clock, bucket_list = Source(tmp_path), FakeClock(), tmp_path / "list.yaml"
    source.write("bucket_files: [list.yaml]")
    bucket_list.write_text("- b1\n- b1\n")
    files = source.files()
    reloader = source.reloader(files, clock)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(reloader.watch(30, everything=False))
        assert await reloader.reload() is not None
        assert not await files.have_changed(everything=False)
        bucket_list.write_text("- b1\n")
        await looked(clock, lambda: len(source.applied) == 1)
        assert not await files.have_changed(everything=False)
        watching.cancel()
    assert (source.refused, len(source.applied)) == (1, 1)


async def test_files_that_hang_are_refused_and_hold_nothing_up() -> None:
    """If reading a file hangs, the reload fails after a timeout, and the error names the cause."""
    clock, free = FakeClock(), threading.Event()

    def hang() -> Config:
        free.wait()
        raise ConfigError([])

    files = ConfigFiles(hang, clock)
    source_refused: list[str] = []

    async def apply(_config: Config) -> bool:
        return True

    reloader = Reloader(files, apply, source_refused.append, clock, asyncio.Event())
    reloading = asyncio.create_task(reloader.reload())
    async with asyncio.timeout(60):
        while not reloading.done():
            await clock.advance(READ_SECONDS)
    free.set()
    assert "check for a hung mount" in (await reloading or "")
    assert source_refused == [await reloading]


async def looked(clock: FakeClock, holds: Callable[[], bool]) -> None:
    """Run the watch loop until the condition holds; its threads need real time."""
    async with asyncio.timeout(60):
        while not holds():
            await clock.advance(30)


@pytest.mark.parametrize("error", [OSError("gone"), ConfigError([])])
async def test_what_cannot_be_applied_is_refused(error: Exception, tmp_path: Path) -> None:
    """If applying fails, for example a TLS file vanished, the reload reports the error."""

    async def apply(_config: Config) -> bool:
        raise error

    source = Source(tmp_path)
    reloader = Reloader(source.files(), apply, source.refuse, FakeClock(), asyncio.Event())
    assert await reloader.reload() == str(error)
    assert source.refused == 1
    assert source.problems == str(error)


async def test_reloads_are_serialised(tmp_path: Path) -> None:
    """Concurrent reloads run one after the other."""
    source, depth, deepest = Source(tmp_path), [0], [0]

    def counted() -> Config:
        depth[0] += 1
        deepest[0] = max(deepest[0], depth[0])
        config = load(source.file, {})
        depth[0] -= 1
        return config

    reloader = source.reloader(ConfigFiles(counted, SystemClock()), FakeClock())
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(reloader.reload())
    assert len(source.applied) == 5
    assert deepest == [1]
