"""`python -m tests.chart`: renew the chart's generated files and the golden files; needs Helm."""

from __future__ import annotations

import shutil

from tests.chart.helm import Helm
from tests.chart.renewal import documents, renders


def main() -> None:
    """Write every file that tests compare; review the diff afterwards."""
    for path, text in (documents() | renders(Helm(shutil.which("helm") or "helm"))).items():
        path.write_text(text)


if __name__ == "__main__":
    main()
