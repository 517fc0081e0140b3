"""The compose files are valid, confined and pinned, and refer to existing files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import load
from exporter.config.settings import Login
from tests.deploy.composed import FOLDER, MAIN, REAL, ROOT, VERSION, lay_out, mounts, services

SERVICES = sorted(services())
PORTS = {"exporter": 10120, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000}


@pytest.mark.parametrize("path", [MAIN, REAL], ids=lambda path: path.name)
def test_file_keeps_to_the_compose_specification(path: Path) -> None:
    """Each compose file matches the compose specification's schema."""
    command = (sys.executable, "-m", "check_jsonschema")
    schema = ("--builtin-schema", "vendor.compose-spec")
    done = subprocess.run(
        (*command, *schema, str(path)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_confined(name: str) -> None:
    """Each service has a read-only root, no capabilities and cannot gain privileges."""
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & service.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_published_on_loopback_only(name: str) -> None:
    """Each service publishes its usual port on loopback only."""
    assert services()[name]["ports"] == [f"127.0.0.1:{PORTS[name]}:{PORTS[name]}"]


@pytest.mark.parametrize("name", SERVICES)
def test_image_has_a_fixed_version(name: str) -> None:
    """Each image has an exact version as tag, and the exporter's is that of the source."""
    tag = services()[name]["image"].rpartition(":")[2]
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(-rc\.\d+)?", tag)
    assert name != "exporter" or tag == VERSION


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_a_health_check(name: str) -> None:
    """Each service has a health check; the exporter's is in its image."""
    if name == "exporter":
        assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
    else:
        assert services()[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there_and_read_only(name: str) -> None:
    """Each mounted file exists and is read-only."""
    service = services()[name]
    assert all(source.exists() for source in mounts(service).values())
    files = [each for each in service.get("volumes", []) if each.startswith(".")]
    assert all(each.endswith(":ro") for each in files)


def test_real_exporter_takes_the_mounted_secret(tmp_path: Path) -> None:
    """The password file in the example configuration is the mounted secret."""
    real = services(REAL)["exporter"]
    assert real["command"] == ["run"]
    assert mounts(real) == {"/etc/flashback-exporter/config.yaml": FOLDER / "config.yaml"}
    config = tmp_path / "config.yaml"
    config.write_text((FOLDER / "config.example.yaml").read_text())
    (account,) = load(config, {}).accounts
    (secret,) = real["secrets"]
    assert account.credentials == Login("ops@example.com", Path("/run/secrets") / secret)


def read(path: Path) -> Any:  # noqa: ANN401 - whatever the YAML says
    """Parse a YAML file."""
    return yaml.safe_load(path.read_text())


def test_grafana_finds_datasources_and_dashboards(tmp_path: Path) -> None:
    """The provisioned datasource is the default one, and every dashboard has a uid."""
    root = lay_out("grafana", tmp_path)
    provisioning = root / "etc" / "grafana" / "provisioning"
    sources = read(provisioning / "datasources" / "flashback.yaml")["datasources"]
    assert [each["name"] for each in sources if each.get("isDefault")] == ["Prometheus"]
    for source in sources:
        host, port = source["url"].removeprefix("http://").split(":")
        assert PORTS[host] == int(port)
    (provider,) = read(provisioning / "dashboards" / "flashback.yaml")["providers"]
    boards = [json.loads(file.read_text()) for file in Path(provider["options"]["path"]).iterdir()]
    assert boards
    assert all(board["uid"] for board in boards)


def test_grafana_opens_with_a_dashboard_that_is_there() -> None:
    """Grafana's home dashboard is a mounted file."""
    grafana = services()["grafana"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (mounts(grafana)[str(home.parent)] / home.name).exists()


def test_prometheus_scrapes_the_job_that_rules_and_example_name() -> None:
    """Prometheus' job name is the one that the rules expect."""
    config = read(FOLDER / "prometheus.yaml")
    (job,) = config["scrape_configs"]
    settings = read(ROOT / "monitoring" / "settings.yaml")
    assert job["job_name"] == settings["exporter_job"]["default"]
    assert job["static_configs"] == [{"targets": [f"exporter:{PORTS['exporter']}"]}]
