"""Reads the documentation: its examples, its inline code, its text.

The changelog is left out, because it describes old versions. The checks are in the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = (
    *(page for page in sorted(ROOT.glob("*.md")) if page.name != "CHANGELOG.md"),
    *sorted(ROOT.glob("docs/**/*.md")),
    ROOT / "helm" / "flashback-exporter" / "README.md",
)
HASH = "$2y$10$" + "abcdefghijklmnopqrstu" + "." * 32  # matches no password


@dataclass(frozen=True, slots=True)
class Example:
    """A code block. `kind` is its language, or for YAML what the file is for."""

    page: str
    line: int
    kind: str
    text: str = field(repr=False)

    def __str__(self) -> str:
        """Where the block is."""
        return f"{self.page}:{self.line}"


YAML_KINDS = {
    "accounts": "configuration",
    "tls_server_config": "web configuration",
    "scrape_configs": "prometheus",
    "rule_files": "prometheus",
    "groups": "rules",
    "modules": "json_exporter",
    "providers": "provisioning",
}
"""What a YAML example is for, by a key that only it has. All others are values of the chart."""


def examples(*kinds: str) -> list[Example]:
    """The code blocks of all pages in order; `kinds` limits them to some kinds."""
    return [example for example in _examples() if not kinds or example.kind in kinds]


def heading_above(example: Example) -> str:
    """The second-level heading that an example is under."""
    above = (ROOT / example.page).read_text().splitlines()[: example.line]
    return next(each for each in reversed(above) if each.startswith("## ")).removeprefix("## ")


def queries(page: str) -> dict[str, str]:
    """The PromQL examples of a page by their headings."""
    found = [example for example in examples("promql") if example.page == page]
    return {heading_above(example): example.text.strip() for example in found}


def code_words() -> Iterator[tuple[str, str]]:
    """(page, text) for all inline code."""
    for page in PAGES:
        for token in _tokens(page):
            for child in token.children or ():
                if child.type == "code_inline":
                    yield _name(page), child.content


def page_texts() -> Iterator[tuple[str, str]]:
    """(page, text) for all pages."""
    for page in PAGES:
        yield _name(page), page.read_text()


def _examples() -> Iterator[Example]:
    for page in PAGES:
        for token in _tokens(page):
            if token.type in {"fence", "code_block"}:
                assert token.map is not None
                yield Example(_name(page), token.map[0] + 1, _kind(token), token.content)


def _kind(token: Token) -> str:
    """The kind of a code block. An indented one is a diagram, YAML or shell, by its content."""
    text = token.content
    if "─→" in text:
        return "text"
    if token.type == "code_block":
        language = "yaml" if re.match(r"\w+: ", text) else "sh"
    else:
        language = token.info.strip() or "samples"
    if language != "yaml":
        return language
    if text.startswith("- "):
        return "bucket file"
    top = re.findall(r"^(\w+):", text, re.MULTILINE)
    return next((YAML_KINDS[key] for key in top if key in YAML_KINDS), "values")


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text())


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def guard_in(folder: Path, example: Example) -> Path:
    """Write an example of a web configuration to a file, with the certificates that it names."""
    authority = trustme.CA()
    server = authority.issue_cert("localhost")
    server.private_key_pem.write_to_path(folder / "server.key")
    server.cert_chain_pems[0].write_to_path(folder / "server.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    file = folder / "web.yaml"
    file.write_text(example.text.replace("$2y$10$…", HASH))
    return file
