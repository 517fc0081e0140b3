"""From a file to a `Config`: the steps in their order, and the last one, document to settings.

Each step reports to one `Report`; a configuration comes out only when nothing was reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from exporter.config.document import Document
from exporter.config.problems import Report
from exporter.config.rules import in_force, report_broken_rules, timing
from exporter.config.settings import Account, Config, Limits
from exporter.config.tree import read
from exporter.config.wording import report_shape
from exporter.model import Bucket

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import SecretStr

    from exporter.config.document import (
        AccountDocument,
        AuthorizationDocument,
        BucketDocument,
        GlobalDocument,
    )


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration in a file. Raises ConfigError with every problem there is."""
    report = Report(str(path))
    try:
        content = path.read_bytes()
    except OSError as error:
        report.fail(
            None, (), f"cannot be read ({error.strerror}): name the file with --config.file"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        report.fail(line, (), "this is not UTF-8: save the file in that encoding")
    return parse(text, path=path, environ=environ)


def parse(text: str, *, path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration in a text. Raises ConfigError with every problem there is.

    `path` is the file that problems name and beside which the files that `text` names are found.
    """
    report = Report(str(path))
    tree = read(text, environ, report)
    try:
        document = Document.model_validate(tree.root.plain())
    except ValidationError as error:
        report_shape(error, tree)
    report_broken_rules(tree)
    report.raise_if_any()
    return _config(document, path.parent)


def _config(document: Document, directory: Path) -> Config:
    defaults = document.defaults
    return Config(
        limits=Limits(
            max_concurrent_requests=defaults.max_concurrent_requests,
            max_requests_per_second=defaults.max_requests_per_second,
            max_nodes_per_bucket=defaults.max_nodes_per_bucket,
            max_response_bytes=defaults.max_response_bytes,
        ),
        known_statuses=tuple(defaults.known_statuses),
        accounts=tuple(_account(account, defaults, directory) for account in document.accounts),
    )


def _account(account: AccountDocument, defaults: GlobalDocument, directory: Path) -> Account:
    settings = in_force(defaults, account)
    return Account(
        name=account.name,
        base_url=settings.base_url,
        credentials=_credentials(account.authorization, directory),
        timing=timing(settings),
        buckets=tuple(_bucket(bucket, account.name) for bucket in account.buckets),
    )


def _credentials(document: AuthorizationDocument, directory: Path) -> SecretStr | Path:
    if document.credentials is not None:
        return document.credentials
    return directory / (document.credentials_file or "")  # the document has one of the two


def _bucket(document: BucketDocument, account: str) -> Bucket:
    name = document.id if document.name is None else document.name
    return Bucket(account=account, id=document.id, name=name, labels=document.labels)
