"""The image, built by buildah and run by podman: unprivileged, read-only, no capabilities.

The base is a substitute made from Debian packages, because the official image is not available
everywhere.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.harness.scrapes import Scrape
from tests.real.image.engine import BASE, REVISION, VERSION, Container, Engine, engine_here
from tests.real.programs import until

pytestmark = pytest.mark.long

PAGE = Path(__file__).parents[2] / "docs" / "docker.md"
TOLERANCE = 3  # MB that libraries may grow before the page is updated
STATUS = "print(open('/proc/1/status').read())"


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The engine that builds and runs images."""
    return engine_here()


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    """The image."""
    return engine.product()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(engine: Engine, image: str) -> AsyncIterator[Container]:
    """The demo on a port that is not the default, once it is ready."""
    with engine.running(image, "demo", "--web.listen-address=:9999") as container:
        await container.ready(9999)
        yield container


def is_healthy(engine: Engine, image: str, container: Container) -> bool:
    """The result of the image's own health check."""
    kind, *command = engine.inspected(image)["Healthcheck"]["Test"]
    assert kind == "CMD"
    return container.executed(*command).code == 0


def test_demo_serves_metrics_and_says_which_build_it_is(demo: Container) -> None:
    """/metrics has the demo's buckets and the version and revision of the build's arguments."""
    page = Scrape(demo.page(9999, "/metrics").output)
    (build,) = (sample.labels for sample in page.all("flashback_exporter_build_info"))
    assert (build["version"], build["revision"]) == (VERSION, REVISION)
    assert len(page.all("flashback_bucket_up")) == 3


def test_container_is_unprivileged(demo: Container) -> None:
    """The exporter runs as a user and group other than root, and without capabilities."""
    lines = (line.split() for line in demo.python(STATUS).output.splitlines())
    status = {words[0]: words[1:] for words in lines if words}
    assert status["Uid:"] == status["Gid:"] == ["65532"] * 4
    for kind in ("CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"):
        assert int(status[kind][0], 16) == 0


def test_health_check_finds_the_exporter(demo: Container, engine: Engine, image: str) -> None:
    """The health check uses the address that the exporter listens on, not the default port."""
    assert is_healthy(engine, image, demo)


def test_health_check_tells_a_container_that_serves_nothing(engine: Engine, image: str) -> None:
    """If nothing listens on the exporter's address, the container is unhealthy."""
    with engine.running(image, "600", options=("--entrypoint=sleep",)) as container:
        assert not is_healthy(engine, image, container)


async def test_health_check_finds_the_simulator(engine: Engine, image: str) -> None:
    """A container that only runs the simulator is healthy, although it has no metrics."""
    with engine.running(image, "simulate") as container:

        async def healthy() -> bool | None:
            return await asyncio.to_thread(is_healthy, engine, image, container) or None

        assert await until(healthy)


async def test_stop_signal_ends_process_one_cleanly(engine: Engine, image: str) -> None:
    """SIGTERM, which is what `docker stop` sends, ends the exporter as PID 1 with exit code 0."""
    with engine.running(image, "demo", "--web.listen-address=:9999") as container:
        await container.ready(9999)
        assert container.exit_code("TERM") == 0
        assert "event=stopped" in container.log()


def test_default_command_needs_a_configuration(engine: Engine, image: str) -> None:
    """Without a configuration the image names the missing file and exits with 1."""
    answer = engine.answered(image)
    assert answer.code == 1
    assert "/etc/flashback-exporter/config.yaml" in answer.errors


def test_mounted_configuration_is_found(engine: Engine, image: str, tmp_path: Path) -> None:
    """`check` uses the file that is mounted at the image's default path, without a flag."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "accounts:\n  - name: main\n    authorization: {credentials: t}\n    buckets: [b1]\n"
    )
    mount = f"--volume={config}:/etc/flashback-exporter/config.yaml:ro"
    answer = engine.answered(image, "check", options=(mount,))
    assert answer.code == 0, answer.errors
    assert "valid" in answer.output


def test_oci_labels(engine: Engine, image: str) -> None:
    """The OCI labels carry the version, the revision, the licence and the base."""
    labels = engine.inspected(image)["Labels"]
    names = ("title", "version", "revision", "licenses", "base.name")
    assert [labels[f"org.opencontainers.image.{name}"] for name in names] == [
        "flashback-exporter",
        VERSION,
        REVISION,
        "Apache-2.0",
        BASE,
    ]


def test_image_is_as_small_as_documented(engine: Engine, image: str) -> None:
    """The image adds at most the documented size to its base."""
    stated = re.search(r"(\d+) MB on top of the base image", PAGE.read_text())
    assert stated is not None
    added = engine.inspected(image)["Size"] - engine.inspected(BASE)["Size"]
    assert added < (int(stated[1]) + TOLERANCE) * 10**6
