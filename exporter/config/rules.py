"""The rules that need more than one key, and how keys combine into settings.

A rule reports at the key that a user would change first. It is checked wherever the keys it needs
are sound by themselves, whatever is wrong elsewhere in the file. What stands twice is found in
`repeats`, what is wrong with files for TLS in `tls`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from exporter.config.bucket_files import BucketFile
from exporter.config.problems import Place
from exporter.config.proxies import environment_fault
from exporter.config.quantities import duration_text
from exporter.config.repeats import report_repeats
from exporter.config.schema import AccountDocument, GlobalDocument, Overrides
from exporter.config.schema_auth import ProxyDocument, TlsDocument
from exporter.config.sources import Sources
from exporter.config.spelling import misspelled
from exporter.config.tls import tls_config, tls_faults
from exporter.config.urls import is_exposed, is_https
from exporter.config.yaml_tree import Tree, YamlNode
from exporter.model import UNKNOWN_STATUS, Timing

_EXPOSED = (
    "the token would cross the network in clear text: write https:// in base_url, "
    'or "allow_http: true" in this account'
)
_NO_CREDENTIALS = (
    'one of the keys "authorization" and "login" is missing: '
    'add "authorization: {credentials_file: token}" '
    'or "login: {email: ops@example.com, password_file: password}"'
)
_NO_BUCKETS = (
    "this account polls nothing: list the ids of buckets under buckets, "
    'or write "bucket_files: [buckets/*.yaml]" or "discovery: {}"'
)
_TLS_WITHOUT_HTTPS = (
    "this means nothing to a base_url of http://: write https:// there, or remove this"
)
_CREDENTIALS = {"authorization", "login"}
_LISTS = ("buckets", "bucket_files")
_SOURCES = {"discovery", *_LISTS}

M = TypeVar("M", bound=BaseModel)


def in_force(defaults: GlobalDocument, overrides: Overrides) -> GlobalDocument:
    """The global settings with the account's own in their place."""
    own = {key: getattr(overrides, key) for key in ("base_url", "poll_interval", "stale_after")}
    return defaults.model_copy(update={key: own[key] for key in own if own[key] is not None})


def timing(settings: GlobalDocument) -> Timing:
    """The timing that follows, with what was left open filled in."""
    stale_after = settings.stale_after
    return Timing(
        poll_interval=settings.poll_interval,
        poll_timeout=_poll_timeout(settings),
        stale_after=max(300.0, _least_stale(settings)) if stale_after is None else stale_after,
        recheck_interval=settings.recheck_interval,
        rollover_grace=settings.rollover_grace,
    )


def _poll_timeout(settings: GlobalDocument) -> float:
    given = settings.poll_timeout
    return min(10.0, settings.poll_interval) if given is None else given


def _least_stale(settings: GlobalDocument) -> float:
    return 2 * settings.poll_interval + _poll_timeout(settings)


def report_broken_rules(
    tree: Tree,
    directory: Path,
    files: Sequence[BucketFile],
    environ: Mapping[str, str],
    sources: Sources,
) -> None:
    """Report every rule that is broken. Comes after the problems of single values."""
    accounts = tree.children(("accounts",))
    defaults = _sound(GlobalDocument, tree.root.child("global"))
    report_repeats(tree, files)
    _report_unknown_status(tree)
    for place, node in accounts:
        _report_choices(tree, place, node)
        _report_tls_files(tree, place, node, directory, sources)
    if defaults is not None:
        for key, message in _timing_faults(defaults).items():
            tree.refuse(("global", key), message)
        for place, node in accounts:
            if overrides := _sound(Overrides, node):
                settings = in_force(defaults, overrides)
                _report_account(tree, place, settings, overrides)
                _report_environment(tree, place, node, settings.base_url, environ)


def _report_unknown_status(tree: Tree) -> None:
    for place, node in tree.children(("global", "known_statuses")):
        if node.value == UNKNOWN_STATUS:
            tree.refuse(place, f"{UNKNOWN_STATUS} stands for all other statuses: remove it")


def _report_choices(tree: Tree, place: Place, node: YamlNode) -> None:
    """Report where an account says too little, or two things that exclude each other."""
    if not isinstance(node.value, dict):
        return
    keys = node.value.keys()
    intended = misspelled(keys, AccountDocument.model_fields)  # told already
    if (keys | intended).isdisjoint(_CREDENTIALS):
        tree.refuse(place, _NO_CREDENTIALS)
    elif keys >= _CREDENTIALS:
        tree.refuse(
            (*place, "login"), "write only one of authorization and login: remove the other"
        )
    empty = {key for key in _LISTS if _is_empty(node.child(key))}
    if (keys - empty | intended).isdisjoint(_SOURCES):
        tree.refuse((*place, "buckets"), _NO_BUCKETS)
    proxy = _sound(ProxyDocument, node)
    if proxy and proxy.proxy_url and proxy.proxy_from_environment:
        message = "write only one of proxy_url and proxy_from_environment: remove the other"
        tree.refuse((*place, "proxy_from_environment"), message)


def _is_empty(node: YamlNode | None) -> bool:
    return node is None or node.value == []


def _report_tls_files(
    tree: Tree, place: Place, node: YamlNode, directory: Path, sources: Sources
) -> None:
    if document := _sound(TlsDocument, node.child("tls_config")):
        for key, fault in tls_faults(tls_config(document, directory), sources.read_tls).items():
            tree.refuse((*place, "tls_config", key), fault)


def _sound(model: type[M], node: YamlNode | None) -> M | None:
    """The model of those keys of a mapping that it knows; None if one of them is not sound."""
    entries = node.value if node is not None and isinstance(node.value, dict) else {}
    known = {key: entries[key].plain() for key in entries if key in model.model_fields}
    try:
        return model.model_validate(known)
    except ValidationError:
        return None  # and reported, since it is part of the whole document


def _report_environment(
    tree: Tree, place: Place, node: YamlNode, base_url: str, environ: Mapping[str, str]
) -> None:
    proxy = _sound(ProxyDocument, node)
    asked = proxy is not None and proxy.proxy_from_environment and not proxy.proxy_url
    if asked and (fault := environment_fault(base_url, environ)):
        tree.refuse((*place, "proxy_from_environment"), fault)


def _report_account(
    tree: Tree, place: Place, settings: GlobalDocument, overrides: Overrides
) -> None:
    if is_exposed(settings.base_url) and not overrides.allow_http:
        tree.refuse((*place, "base_url"), _EXPOSED)
    tls_place, tls_node = tree.nearest((*place, "tls_config"))
    if tls_place != place and tls_node.value is not None and not is_https(settings.base_url):
        tree.refuse(tls_place, _TLS_WITHOUT_HTTPS)
    faults = _timing_faults(settings)
    if "poll_timeout" in faults and overrides.poll_interval is not None:
        tree.refuse((*place, "poll_interval"), faults["poll_timeout"])
    own = [key for key in ("stale_after", "poll_interval") if getattr(overrides, key) is not None]
    if "stale_after" in faults and own:
        tree.refuse((*place, own[0]), faults["stale_after"])


def _timing_faults(settings: GlobalDocument) -> dict[str, str]:
    """What is wrong with these settings together, by the key to look at."""
    faults = {}
    if _poll_timeout(settings) > settings.poll_interval:
        faults["poll_timeout"] = "poll_timeout is longer than poll_interval: change one of them"
    least = _least_stale(settings)
    if settings.stale_after is not None and settings.stale_after < least:
        faults["stale_after"] = (
            f"stale_after is less than 2 * poll_interval + poll_timeout ({duration_text(least)}): "
            "raise it to that, or shorten them"
        )
    return faults
