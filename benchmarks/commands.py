"""CPU time of short commands and of a start, compared with `import aiohttp`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import fake_api
from benchmarks.instrumented import NOT_INSTALLED
from benchmarks.service import started
from benchmarks.table import Row

AIOHTTP = "import aiohttp"
BUCKETS = 10

SCRIPT = """\
import sys
sys.modules.update(dict.fromkeys({missing!r}))
sys.argv = ["flashback-exporter", *{words!r}]
from exporter.cli import main
main()
"""
CONFIG = """\
accounts:
  - name: main
    authorization: {credentials: e30.e30.e30}
    buckets: [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9]
"""


def compare(quick: bool) -> list[Row]:  # noqa: FBT001 - as all benchmarks
    """CPU seconds of a process until it ends, or until the first samples are served."""
    rounds = 1 if quick else 11
    with TemporaryDirectory() as folder:
        config = Path(folder, "config.yaml")
        config.write_text(CONFIG, "utf-8")
        scripts = {
            AIOHTTP: AIOHTTP,
            "--version": _script("--version"),
            "-h": _script("-h"),
            "check, ten buckets": _script("check", f"--config.file={config}"),
        }
        samples: dict[str, list[float]] = {name: [] for name in scripts}
        for _ in range(rounds):
            for name, script in scripts.items():
                samples[name].append(_cpu_seconds(script))
    cost = {name: median(counted) for name, counted in samples.items()}
    cost["start to ten buckets' samples"] = median(_start() for _ in range(rounds))
    base = cost.pop(AIOHTTP)
    targets = dict(zip(cost, ("≤ 0.4 x", "≤ 0.4 x", "≤ 2 x", "≤ 4 x"), strict=True))
    return [
        Row("a command", name, "ms", figure, AIOHTTP, base, targets[name])
        for name, figure in cost.items()
    ]


def _script(*words: str) -> str:
    return SCRIPT.format(missing=NOT_INSTALLED, words=words)


def _cpu_seconds(script: str) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _start() -> float:
    with fake_api.served() as url, started(url, BUCKETS) as (exporter, _):
        exporter.wait_until(exporter.is_ready, every=0.1)
        return exporter.cpu_seconds()
