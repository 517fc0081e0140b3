"""Loads a `Config` from a file: runs all steps, and implements the last, document to settings.

Each step adds to one `Report`; there is a configuration only if the report is empty.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from pydantic import SecretStr, ValidationError

from exporter.config.bucket_files import BucketFile, bucket_files, report_unmatched_patterns
from exporter.config.problems import ConfigError, Problem, Report
from exporter.config.pydantic_messages import report_shape
from exporter.config.rules import report_broken_rules, report_secret_files
from exporter.config.schema import (
    AccountDocument,
    BucketDocument,
    DiscoveryDocument,
    Document,
    GlobalDocument,
    effective,
    timing,
)
from exporter.config.schema_auth import AuthorizationDocument
from exporter.config.settings import Account, Config, Discovery, Limits, Login
from exporter.config.sources import Sources, file_text, unreadable
from exporter.config.tls import system_authorities, tls_config
from exporter.config.yaml_errors import decoded
from exporter.config.yaml_tree import Tree, read
from exporter.model import Bucket


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration in a file. Raises ConfigError with every problem."""
    return _read(path, environ)


def load_and_check(path: Path, environ: Mapping[str, str]) -> tuple[Config, list[Problem]]:
    """The configuration in a file, and warnings.

    Raises ConfigError with every problem. Unlike in `load`, an unusable token or password file is a
    problem too.
    """
    remarks = Report(file_text(path))

    def look(tree: Tree, sources: Sources) -> None:
        report_secret_files(tree, path.parent)
        report_unmatched_patterns(tree, path.parent, sources, remarks)

    return _read(path, environ, look=look), remarks.problems()


def parse(text: str, *, path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration in `text`. Raises ConfigError with every problem.

    Problems name the file `path`, and paths in `text` are relative to its directory.
    """
    return _read(path, environ, text)


def _read(
    path: Path,
    environ: Mapping[str, str],
    text: str | None = None,
    look: Callable[[Tree, Sources], None] = lambda _tree, _sources: None,
) -> Config:
    """The configuration in the file `path`, or in `text` if given.

    `look` may report more problems, after those of the text itself.
    """
    sources = Sources()
    try:
        text = _text(path, sources) if text is None else text
        return _parsed(text, path, environ, sources, look)
    except ConfigError as error:
        error.sources = sources
        raise


def _text(path: Path, sources: Sources) -> str:
    report = Report(file_text(path))
    try:
        content = sources.read_config(path)
    except OSError as error:
        report.fail(None, (), unreadable(error, _remedy(path, error)))
    return decoded(content, report)


def _remedy(path: Path, error: OSError) -> str:
    """What to do about a configuration file that cannot be read."""
    if isinstance(error, IsADirectoryError):
        return "name a file in it with --config.file"
    if not isinstance(error, FileNotFoundError):
        return "give the exporter read permission, or choose another file with --config.file"
    others = (path.with_suffix(suffix) for suffix in (".yaml", ".yml"))
    # Path.is_file raises if the name with the suffix is too long.
    there = next((other for other in others if os.path.isfile(other)), None)  # noqa: PTH113
    if there is None:
        return "choose the file with --config.file"
    return f"did you mean --config.file={file_text(there)}?"


def _parsed(
    text: str,
    path: Path,
    environ: Mapping[str, str],
    sources: Sources,
    look: Callable[[Tree, Sources], None],
) -> Config:
    report = Report(file_text(path))
    tree = read(text, environ, report)
    try:
        document = Document.model_validate(tree.root.plain())
    except ValidationError as error:
        report_shape(error, tree)
    files = bucket_files(tree, path.parent, environ, sources)
    report_broken_rules(tree, path.parent, files, environ, sources)
    look(tree, sources)
    report.raise_if_any()
    return _config(document, path.parent, files, sources)


def _config(
    document: Document, directory: Path, files: list[BucketFile], sources: Sources
) -> Config:
    defaults = document.defaults
    accounts = []
    for index, account in enumerate(document.accounts):
        own = [file for file in files if file.account == ("accounts", index)]
        buckets = [*account.buckets, *(bucket for file in own for bucket in file.buckets)]
        accounts.append(_account(account, buckets, defaults, directory))
    return Config(
        limits=Limits(
            max_concurrent_requests=defaults.max_concurrent_requests,
            max_requests_per_second=defaults.max_requests_per_second,
            max_nodes_per_bucket=defaults.max_nodes_per_bucket,
            max_response_bytes=defaults.max_response_bytes,
        ),
        known_statuses=tuple(defaults.known_statuses),
        accounts=tuple(accounts),
        tls_digests=(system_authorities(), *sources.tls_digests.values()),
        sources=sources,
    )


def _account(
    account: AccountDocument,
    buckets: Sequence[BucketDocument],
    defaults: GlobalDocument,
    directory: Path,
) -> Account:
    settings = effective(defaults, account)
    return Account(
        name=account.name,
        base_url=settings.base_url,
        credentials=_credentials(account, directory),
        tls=tls_config(account.tls_config, directory),
        proxy_url=account.proxy_url,
        no_proxy=account.no_proxy,
        proxy_from_environment=account.proxy_from_environment,
        timing=timing(settings),
        buckets=tuple(_bucket(bucket, account.name) for bucket in buckets),
        discovery=None if account.discovery is None else _discovery(account.discovery),
    )


def _credentials(account: AccountDocument, directory: Path) -> SecretStr | Path | Login:
    if login := account.login:
        return Login(login.email, _secret(login.password, login.password_file, directory))
    authorization = cast("AuthorizationDocument", account.authorization)  # one of the two is set
    return _secret(authorization.credentials, authorization.credentials_file, directory)


def _secret(given: SecretStr | None, file: str | None, directory: Path) -> SecretStr | Path:
    return directory / (file or "") if given is None else given  # the document has one of the two


def _discovery(document: DiscoveryDocument) -> Discovery:
    return Discovery(
        workspace_id=document.workspace_id,
        refresh_interval=document.refresh_interval,
        include=tuple(document.include),
        exclude=tuple(document.exclude),
    )


def _bucket(document: BucketDocument, account: str) -> Bucket:
    name = document.id if document.name is None else document.name
    return Bucket(account=account, id=document.id, name=name, labels=document.labels)
