"""The chart's generated files and their expected content.

`python -m tests.chart` writes it; a test compares the files with it.
"""

from __future__ import annotations

import json
from pathlib import Path

from monitoring.rendering import ALERTS, optional_groups_yaml
from monitoring.settings import schema as rules_schema
from tests.chart.helm import CASES, CHART, ROOT, Helm, golden, golden_text, with_operator
from tests.chart.values_schema import with_exporter, with_rules
from tests.chart.values_table import defaults, with_table


def documents() -> dict[Path, str]:
    """The chart's files that have generated parts."""
    values_yaml = (CHART / "values.yaml").read_text()
    readme, schema = CHART / "README.md", CHART / "values.schema.json"
    merged = with_exporter(
        with_rules(json.loads(schema.read_text()), rules_schema(each.name for each in ALERTS)),
        json.loads((ROOT / "config.schema.json").read_text()),
    )
    return {
        readme: with_table(readme.read_text(), values_yaml),
        schema: json.dumps(merged, indent=2, ensure_ascii=False) + "\n",
        CHART / "files" / "optional-rules.yaml": optional_groups_yaml(),
        CHART / "files" / "defaults.json": json.dumps(defaults(values_yaml), indent=2) + "\n",
    }


def renders(helm: Helm) -> dict[Path, str]:
    """The golden file of each case, with its expected content."""
    return {golden(case): golden_text(helm.render(*with_operator(case))) for case in CASES}
