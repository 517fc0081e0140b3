"""docs/configuration.md is generated from the models, and its examples load."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from exporter.app import BUCKET_FILES_INTERVAL
from exporter.config import load, reference
from exporter.config.reference import SECTIONS, own_fields, page
from exporter.config.schema import MAPPINGS, keys
from exporter.config.values import duration_text
from exporter.upstream.credentials import FILE_INTERVAL
from tests.config.samples import TOKEN, written

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
ENVIRON = {"FLASHBACK_TOKEN": TOKEN, "FLASHBACK_PASSWORD": "hunter2", "PROXY_PASSWORD": "hunter2"}
HEADINGS = {
    "": ["Top level"],
    "global": ["`global`"],
    "accounts": [
        "`accounts[]`",
        "`accounts[]`: settings of one account",
        "`accounts[]`: proxy",
    ],
    "authorization": ["`accounts[].authorization`"],
    "login": ["`accounts[].login`"],
    "tls_config": ["`accounts[].tls_config`"],
    "buckets": ["`accounts[].buckets[]`"],
    "discovery": ["`accounts[].discovery`"],
}
"""The sections that list each mapping's keys."""


def rows(heading: str) -> dict[str, str]:
    """The example of each key in a section's table."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| `(\w+)` \| .*? \| .*? \| `(.*?)` \| .*\|$", text, re.MULTILINE)
    return dict(found)


def test_shipped_page_is_the_generated_one(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/configuration.md is the output of `python -m exporter.config.reference`."""
    runpy.run_path(str(reference.__file__), run_name="__main__")
    assert capsys.readouterr().out == page() == PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_every_key_is_on_the_page(mapping: str) -> None:
    """Each key has exactly one row in its mapping's sections, and no other key is listed."""
    listed = [key for heading in HEADINGS[mapping] for key in rows(heading)]
    assert sorted(listed) == sorted(keys(mapping))


def every_example() -> Iterator[tuple[str, str, str]]:
    """Each example on the page, with its mapping and key."""
    for mapping, headings in HEADINGS.items():
        for heading in headings:
            for key, example in rows(heading).items():
                yield mapping, key, example


NEEDED: dict[tuple[str, str], Mapping[str, object]] = {
    ("accounts", "no_proxy"): {"proxy_url": "http://proxy.example.com:3128"},
    ("login", "email"): {"password": "hunter2"},
    ("login", "password"): {"email": "ops@example.com"},
    ("login", "password_file"): {"email": "ops@example.com"},
    ("tls_config", "cert_file"): {"key_file": "client.key"},
    ("tls_config", "key_file"): {"cert_file": "client.pem"},
    ("buckets", "name"): {"id": "65f1c0ffef"},
    ("buckets", "labels"): {"id": "65f1c0ffef"},
}
"""Other keys that a key requires."""


def configuration(mapping: str, key: str, example: object) -> dict[str, Any]:
    """A configuration with this value, without keys that exclude it."""
    account: dict[str, Any] = {
        "name": "other",
        "authorization": {"credentials_file": "token"},
        "buckets": ["65f1c0ffe1"],
    }
    value = {**NEEDED.get((mapping, key), {}), key: example}
    if mapping in {"", "global"}:
        document: dict[str, Any] = {"accounts": [account]}
        document |= value if not mapping else {"global": value}
        return document
    if mapping == "accounts":
        account |= value
    else:
        account[mapping] = [value] if mapping == "buckets" else value
    if "login" in account:
        del account["authorization"]
    return {"accounts": [account]}


@pytest.mark.parametrize(("mapping", "key", "example"), list(every_example()))
def test_example_of_a_key_loads(mapping: str, key: str, example: str, tmp_path: Path) -> None:
    """Each example loads, together with the keys that it requires."""
    authority = trustme.CA()
    client = authority.issue_cert("client.example.com")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    (tmp_path / "buckets").mkdir()
    value = yaml.safe_load(f"value: {example}")["value"]
    text = yaml.safe_dump(configuration(mapping, key, value), allow_unicode=True)
    assert load(written(tmp_path, text), ENVIRON).accounts


def every_field() -> Iterator[tuple[str, Any]]:
    """The keys of all models, with their pydantic fields."""
    for section in SECTIONS:
        yield from own_fields(section.model).items()


@pytest.mark.parametrize(("key", "field"), list(every_field()))
def test_description_says_default_and_bounds(key: str, field: Any) -> None:  # noqa: ANN401
    """A description has the default if the model has no plain one, and the limits of a duration."""
    if field.default is None or field.default == [] or field.default_factory is not None:
        assert re.search(r" Default: [^.].*\.$", field.description), key
    for bound in field.metadata:
        if (least := getattr(bound, "ge", None)) is not None:
            assert f"At least {duration_text(least)}" in field.description, key
        if (limit := getattr(bound, "lt", None)) is not None:
            assert f"Less than {duration_text(limit)}" in field.description, key


def test_files_are_watched_as_often_as_the_page_says() -> None:
    """The documented intervals at which files are checked are those of the code."""
    secrets, buckets = (
        f"within {FILE_INTERVAL:g} seconds",
        f"within {BUCKET_FILES_INTERVAL:g} seconds",
    )
    fields = dict(every_field())
    assert secrets in fields["credentials_file"].description
    assert secrets in fields["password_file"].description
    assert buckets in fields["bucket_files"].description
    text = page()
    assert f"| the content of a `credentials_file` or `password_file` | {secrets}," in text
    assert f"| a bucket file: changed, new or removed | {buckets};" in text
