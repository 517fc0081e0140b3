"""What a process that is measured has loaded. Imports nothing but that."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from multiprocessing.connection import Connection

from benchmarks.processes import process


def tell(pipe: Connection) -> None:
    """Send the names of the top-level modules of the whole service."""
    import_module("exporter.app")
    loaded = (
        name.split(".")[0] for name, module in sys.modules.items() if hasattr(module, "__name__")
    )
    pipe.send(sorted(set(loaded)))


if __name__ == "__main__":
    from tests.harness.loaded_modules import tell as target

    with process(target) as (_, pipe):
        print(json.dumps(pipe.recv()))  # noqa: T201 - for the test that runs this
