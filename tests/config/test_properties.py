"""For any text, `parse` returns a configuration or raises ConfigError."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.config import ConfigError, load, parse
from exporter.config.schema import MAPPINGS, keys
from tests.config.samples import ACCOUNT, DATA, TOKEN, written

Json: TypeAlias = "str | int | bool | float | list[Json] | dict[str, Json] | None"

SAMPLES = [
    path.read_bytes().decode(errors="replace")
    for path in sorted(DATA.glob("*_config/*.yaml"))
    if path.stem != "alias_bomb"  # takes seconds each time
]
KEYS = sorted({key for mapping in MAPPINGS for key in keys(mapping)})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1m", "5s", "https://x", "http://x", "${A}", "${U}", "$${", "${", "8MiB"])
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=30,
)
SECRET = "s3cr3t-Zq"
SHORT_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)


FILE = Path("no-such-directory/config.yaml")  # its directory does not exist, so no pattern matches


def outcome(text: str, environ: dict[str, str]) -> str:
    """The str and repr of the configuration or its errors."""
    try:
        config = parse(text, path=FILE, environ=environ)
    except ConfigError as error:
        return shown(error, FILE)
    return f"{config} {config!r}"


def shown(error: ConfigError, file: Path) -> str:
    """The str and repr of the errors, all of which must be in that file."""
    if not all(line.startswith(f"{file}:") for line in str(error).split("\n")):
        pytest.fail(f"a problem is not on one line: {error}")
    return f"{error} {error!r} {error.problems!r}"


@given(st.text())
@example("\ud800")
@example("- " * 100_000)
def test_any_text_has_an_outcome(text: str) -> None:
    """Any text loads or raises ConfigError."""
    outcome(text, {})


@given(st.sampled_from(SAMPLES), st.integers(min_value=0), st.text(max_size=3), st.integers(0, 9))
def test_any_damaged_file_has_an_outcome(sample: str, at: int, put: str, cut: int) -> None:
    """A file with a few characters inserted or deleted loads or raises ConfigError."""
    at %= len(sample) + 1
    outcome(sample[:at] + put + sample[at + cut :], {"FLASHBACK_TOKEN": TOKEN})


@given(DOCUMENTS)
def test_any_document_has_an_outcome(document: Json) -> None:
    """Any document, with known keys in wrong places, loads or raises ConfigError."""
    outcome(json.dumps(document), {"A": SECRET})


BUCKET_FILES = sorted((DATA / "bad_config" / "buckets").glob("*.yaml"))


@given(
    st.text()
    | DOCUMENTS.map(json.dumps)
    | st.lists(DOCUMENTS, min_size=1, max_size=3).map(json.dumps)
    | st.sampled_from([path.read_bytes().decode(errors="replace") for path in BUCKET_FILES])
)
def test_any_bucket_file_has_an_outcome(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    """For any bucket file, each problem names the file and contains no secret."""
    directory = tmp_path_factory.getbasetemp()
    text = ACCOUNT.replace("buckets: [65f1c0ffee]", "bucket_files: [list.yaml]")
    path = written(directory, text, list=content.encode(errors="replace").decode())
    told = ""
    try:
        load(path, {"A": SECRET})
    except ConfigError as error:
        told = shown(error, directory / "list.yaml")
    assert SECRET not in told


@given(
    st.sampled_from(
        [f'{ACCOUNT}    KEY: "${{A}}"\n', f'global: {{KEY: "${{A}}"}}\n{ACCOUNT}', 'KEY: "${A}"']
    ),
    st.sampled_from(KEYS),
    SHORT_TEXTS,
)
def test_value_of_a_variable_shows_nowhere(template: str, key: str, around: str) -> None:
    """The value of a variable in a wrong place appears in no error."""
    environ = {"A": f"{around}{SECRET}{around}"}
    assert SECRET not in outcome(template.replace("KEY", key), environ)


@given(st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "P", "Z"]), max_size=6))
def test_token_shows_nowhere(around: str) -> None:
    """A token never appears in the output, whether it is accepted or rejected."""
    token = json.dumps(f"{around}{SECRET}{around}")
    for authorization in (f"{{credentials: {token}}}", token, f"[{token}]"):
        text = ACCOUNT.replace("{credentials_file: token}", authorization)
        assert SECRET not in outcome(text, {})


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6))
def test_password_shows_nowhere(around: str) -> None:
    """A password of a login or proxy never appears in the output."""
    password = json.dumps(f"{around}{SECRET}{around}")
    url = json.dumps(f"http://ops:{around}{SECRET}{around}@proxy.example.com:3128")
    for entry in (
        f"login: {{email: ops@example.com, password: {password}}}",
        f"login: {{email: ops@example.com, password: [{password}]}}",
        f"login: {{password: {password}}}",
        f"login: {password}",
        f"authorization: {{credentials_file: token}}\n    proxy_url: {url}",
        f"authorization: {{credentials_file: token}}\n    proxy_url: {password}",
        f"authorization: {{credentials_file: token}}\n    proxy_url: [{url}]",
        f"authorization: {{credentials_file: token}}\n    base_url: {url}",
    ):
        text = ACCOUNT.replace("authorization: {credentials_file: token}", entry)
        assert SECRET not in outcome(text, {})
