"""The rules that need more than one key: exclusions, duplicates, timing, and files with secrets.

A rule reports at the key that a user would change first. It is checked if the keys that it needs
are valid, whatever else is wrong in the file. Only `check` reads the files with tokens and
passwords; neither their content nor their names get into a message, since people write the secret
itself in place of the path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from exporter.blocking import SECRET_LIMIT, read_file
from exporter.config.bucket_files import BucketFile
from exporter.config.problems import Place, misspelled, path_text, quoted
from exporter.config.schema import (
    AccountDocument,
    GlobalDocument,
    Overrides,
    effective,
    min_stale_after,
    poll_timeout,
)
from exporter.config.schema import keys as known_keys
from exporter.config.schema_auth import ProxyDocument, TlsDocument
from exporter.config.settings import environment_proxy
from exporter.config.sources import Sources
from exporter.config.tls import tls_config, tls_errors
from exporter.config.values import duration_text, is_exposed, is_https, password, token
from exporter.config.yaml_tree import Tree, YamlNode
from exporter.model import UNKNOWN_STATUS

_EXPOSED = (
    "the token would be sent in clear text: write https:// in base_url, "
    'or "allow_http: true" in this account'
)
_NO_CREDENTIALS = (
    "authorization or login is required: "
    'add "authorization: {credentials_file: token}" '
    'or "login: {email: ops@example.com, password_file: password}"'
)
_NO_BUCKETS = (
    "this account has no buckets: list the ids of buckets under buckets, "
    'or write "bucket_files: [buckets/*.yaml]" or "discovery: {}"'
)
_TLS_WITHOUT_HTTPS = "tls_config needs an https:// base_url: change base_url, or remove tls_config"
_NO_PROXY_ALONE = (
    "no_proxy needs proxy_url: add proxy_url, or remove no_proxy "
    "(proxy_from_environment uses the variable NO_PROXY)"
)
_PAIRS = {
    "authorization": (
        "credentials",
        "credentials_file",
        {1},
        "exactly one of credentials and credentials_file is required: add or remove one",
    ),
    "login": (
        "password",
        "password_file",
        {1},
        "exactly one of password and password_file is required: add or remove one",
    ),
    "tls_config": (
        "cert_file",
        "key_file",
        {0, 2},
        "cert_file and key_file need each other: write both, or neither",
    ),
}
"""Two keys of a mapping, how many of them must be there, and the error otherwise."""

_CREDENTIALS = {"authorization", "login"}
_LISTS = ("buckets", "bucket_files")
_SOURCES = {"discovery", *_LISTS}

M = TypeVar("M", bound=BaseModel)


def report_broken_rules(
    tree: Tree,
    directory: Path,
    files: Sequence[BucketFile],
    environ: Mapping[str, str],
    sources: Sources,
) -> None:
    """Report every broken rule. Call it after single values are checked."""
    accounts = tree.children(("accounts",))
    defaults = _valid_part(GlobalDocument, tree.root.child("global"))
    report_repeats(tree, files)
    _report_unknown_status(tree)
    for place, node in accounts:
        _report_choices(tree, place, node)
        _report_tls_files(tree, place, node, directory, sources)
    for key, message in _timing_faults(defaults.document, defaults.invalid).items():
        tree.refuse(("global", key), message)
    for place, node in accounts:
        overrides = _valid_part(Overrides, node)
        settings = effective(defaults.document, overrides.document)
        replaced = {key for key, value in overrides.document if value is not None}
        invalid = defaults.invalid - replaced | overrides.invalid
        _report_account(tree, place, settings, overrides.document, invalid)
        if "base_url" not in invalid:
            _report_environment(tree, place, node, settings.base_url, environ)


def _report_unknown_status(tree: Tree) -> None:
    for place, node in tree.children(("global", "known_statuses")):
        if node.value == UNKNOWN_STATUS:
            tree.refuse(place, f"{UNKNOWN_STATUS} is reserved for all other statuses: remove it")


def _report_choices(tree: Tree, place: Place, node: YamlNode) -> None:
    """Report missing keys of an account, and keys that exclude each other."""
    if not isinstance(node.value, dict):
        return
    keys = node.value.keys()
    intended = misspelled(keys, AccountDocument.model_fields)  # reported already
    if (keys | intended).isdisjoint(_CREDENTIALS):
        tree.refuse(place, _NO_CREDENTIALS)
    elif keys >= _CREDENTIALS:
        tree.refuse(
            (*place, "login"), "authorization and login exclude each other: remove one of them"
        )
    empty = {key for key in _LISTS if _is_empty(node.child(key))}
    if (keys - empty | intended).isdisjoint(_SOURCES):
        tree.refuse((*place, "buckets"), _NO_BUCKETS)
    _report_pairs(tree, place, node)
    proxy, invalid = _valid_part(ProxyDocument, node)
    if proxy.proxy_url and proxy.proxy_from_environment:
        message = "proxy_url and proxy_from_environment exclude each other: remove one of them"
        tree.refuse((*place, "proxy_from_environment"), message)
    if proxy.no_proxy and not proxy.proxy_url and "proxy_url" not in invalid:
        tree.refuse((*place, "no_proxy"), _NO_PROXY_ALONE)


def _report_pairs(tree: Tree, place: Place, node: YamlNode) -> None:
    """Report pairs of keys of which too many or too few are set."""
    for mapping, (first, second, numbers, message) in _PAIRS.items():
        child = node.child(mapping)
        if child is not None and isinstance(child.value, dict):
            count = len(child.value.keys() & {first, second})
            # An unknown key, already reported, may be a misspelling of one of the pair.
            is_certain = count > 1 or child.value.keys() <= set(known_keys(mapping))
            if is_certain and count not in numbers:
                tree.refuse((*place, mapping), message)


def _is_empty(node: YamlNode | None) -> bool:
    return node is None or node.value == []


def _report_tls_files(
    tree: Tree, place: Place, node: YamlNode, directory: Path, sources: Sources
) -> None:
    document, _ = _valid_part(TlsDocument, node.child("tls_config"))
    for key, fault in tls_errors(tls_config(document, directory), sources.read_tls).items():
        tree.refuse((*place, "tls_config", key), fault)


class _Part(NamedTuple, Generic[M]):
    """The keys of a mapping that are valid by themselves, and the names of the others."""

    document: M
    invalid: set[str]


def _valid_part(model: type[M], node: YamlNode | None) -> _Part[M]:
    """The valid part of a mapping, with defaults for the rest. The model has no required keys."""
    entries = node.value if node is not None and isinstance(node.value, dict) else {}
    known = {key: entries[key].plain() for key in entries if key in model.model_fields}
    invalid: set[str] = set()
    try:
        document = model.model_validate(known)
    except ValidationError as error:  # reported, since it is part of the whole document
        invalid = {str(details["loc"][0]) for details in error.errors(include_url=False)}
        document = model.model_validate({key: known[key] for key in known.keys() - invalid})
    return _Part(document, invalid | misspelled(entries, model.model_fields))


def _report_environment(
    tree: Tree, place: Place, node: YamlNode, base_url: str, environ: Mapping[str, str]
) -> None:
    proxy, invalid = _valid_part(ProxyDocument, node)
    if proxy.proxy_from_environment and not proxy.proxy_url and "proxy_url" not in invalid:
        try:
            environment_proxy(base_url, environ)
        except ValueError as error:
            tree.refuse((*place, "proxy_from_environment"), str(error))


def _report_account(
    tree: Tree, place: Place, settings: GlobalDocument, overrides: Overrides, invalid: set[str]
) -> None:
    is_known = invalid.isdisjoint({"base_url", "allow_http"})
    if is_known and is_exposed(settings.base_url) and not overrides.allow_http:
        tree.refuse((*place, "base_url"), _EXPOSED)
    tls_place, tls_node = tree.nearest((*place, "tls_config"))
    has_tls = tls_place != place and tls_node.value is not None
    if has_tls and "base_url" not in invalid and not is_https(settings.base_url):
        tree.refuse(tls_place, _TLS_WITHOUT_HTTPS)
    faults = _timing_faults(settings, invalid)
    if "poll_timeout" in faults and overrides.poll_interval is not None:
        tree.refuse((*place, "poll_interval"), faults["poll_timeout"])
    own = [key for key in ("stale_after", "poll_interval") if getattr(overrides, key) is not None]
    if "stale_after" in faults and own:
        tree.refuse((*place, own[0]), faults["stale_after"])


def _timing_faults(settings: GlobalDocument, invalid: set[str]) -> dict[str, str]:
    """Errors in the combination of these settings, by the key to report them at.

    Rules that need an invalid setting are not checked.
    """
    faults: dict[str, str] = {}
    if not invalid.isdisjoint({"poll_interval", "poll_timeout"}):
        return faults
    if poll_timeout(settings) > settings.poll_interval:
        faults["poll_timeout"] = "poll_timeout is longer than poll_interval: change one of them"
    least = min_stale_after(settings)
    if (
        "stale_after" not in invalid
        and settings.stale_after is not None
        and settings.stale_after < least
    ):
        faults["stale_after"] = (
            f"stale_after is less than 2 * poll_interval + poll_timeout ({duration_text(least)}): "
            "raise stale_after, or lower the others"
        )
    return faults


class _Entry(NamedTuple):
    tree: Tree
    place: Place
    node: YamlNode


def report_repeats(tree: Tree, files: Sequence[BucketFile]) -> None:
    """Report account names, bucket ids and statuses that occur a second time."""
    _report(_texts(_entries(tree, ("accounts",)), "name"))
    _report(_texts(_buckets(tree, files), "id"))
    _report(_entries(tree, ("global", "known_statuses")))


def _entries(tree: Tree, place: Place) -> Iterator[_Entry]:
    for child_place, child in tree.children(place):
        yield _Entry(tree, child_place, child)


def _buckets(tree: Tree, files: Sequence[BucketFile]) -> Iterator[_Entry]:
    for account, _ in tree.children(("accounts",)):
        yield from _entries(tree, (*account, "buckets"))
        for file in files:
            if file.account == account:
                yield from _entries(file.tree, ())


def _texts(entries: Iterable[_Entry], key: str) -> Iterator[_Entry]:
    """The value under `key` of each entry, or the entry itself if it is only a string."""
    for tree, place, node in entries:
        child = node.child(key)
        yield _Entry(tree, place, node) if child is None else _Entry(tree, (*place, key), child)


def _report(entries: Iterable[_Entry]) -> None:
    seen: dict[str, _Entry] = {}
    for entry in entries:
        tree, place, node = entry
        if not isinstance(node.value, str) or tree.report.has(place):
            continue
        first = seen.setdefault(node.value, entry)
        if first is not entry:
            where = _location(first, tree)
            message = f"{quoted(node.written)} duplicates {where}: change or remove one of them"
            tree.refuse(place, message)


def _location(entry: _Entry, seen_from: Tree) -> str:
    file, line = entry.tree.report.file, entry.node.line
    where = f"line {line}" if entry.tree is seen_from else f"{file}:{line}"
    return f"{path_text(entry.place)} in {where}"


_KEYS: dict[tuple[str, str], Callable[[str], str]] = {
    ("authorization", "credentials_file"): token,
    ("login", "password_file"): password,
}
"""The keys that name files with secrets, and the parser of each file's text."""


def report_secret_files(tree: Tree, directory: Path) -> None:
    """Report each file without a usable secret. Call it after single values are checked."""
    for account, _ in tree.children(("accounts",)):
        for key, accepted in _KEYS.items():
            place = (*account, *key)
            found, node = tree.nearest(place)
            if found != place or not isinstance(node.value, str) or tree.report.has(place):
                continue
            if fault := _fault(directory / node.value, accepted):
                tree.refuse(place, fault)


def _fault(path: Path, accepted: Callable[[str], str]) -> str | None:
    try:
        _check(read_file(path, SECRET_LIMIT).decode().strip(), accepted)
    except FileNotFoundError:
        return "no such file: write the secret to a file, and the path of that file here"
    except OSError as error:
        return (
            f"this file cannot be read ({error.strerror}):"
            " name a regular file of at most 1 MiB that the exporter may read"
        )
    except UnicodeDecodeError:
        return "this file is not UTF-8: save it as UTF-8"
    except ValueError as error:
        return f"in this file: {error}"
    return None


def _check(text: str, accepted: Callable[[str], str]) -> None:
    if text.startswith("\ufeff"):
        raise ValueError("it starts with a byte order mark: save it as UTF-8 without one")
    if "\n" in text:
        raise ValueError("it has more than one line: keep only the secret")
    accepted(text)
