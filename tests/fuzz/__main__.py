"""`python -m tests.fuzz TARGET [DIRECTORY] [OPTION...]`: coverage-guided fuzzing of one target.

Starts from the inputs in `corpus/TARGET`. New inputs are kept in DIRECTORY, if given. Options are
those of libFuzzer. An input that fails is written to the current directory, or to -artifact_prefix.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["exporter"]):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    """Fuzz until one of libFuzzer's options ends it, such as -max_total_time."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in TARGETS:
        sys.exit(f"python -m tests.fuzz: name a target: {', '.join(TARGETS)}")
    options = [each for each in arguments if each.startswith("-")]
    directories = [each for each in arguments if not each.startswith("-")]
    with TemporaryDirectory() as scratch:
        # libFuzzer writes new inputs to the first directory, so it must not be the corpus.
        found = directories or [scratch]
        atheris.Setup([sys.argv[0], *options, *found, str(CORPUS / name)], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
