"""The rules that need more than one key, and how keys combine into settings.

A rule reports at the key that a user would change first. It is checked wherever the keys it needs
are sound by themselves, whatever is wrong elsewhere in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from exporter.config.document import GlobalDocument, Overrides
from exporter.config.problems import path_text, quoted
from exporter.config.quantities import duration_text
from exporter.config.urls import is_exposed
from exporter.model import UNKNOWN_STATUS, Timing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from exporter.config.problems import Place
    from exporter.config.tree import Node, Tree

_EXPOSED = (
    "the token would cross the network in clear text: write https:// in base_url, "
    'or "allow_http: true" in this account'
)

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


def report_broken_rules(tree: Tree) -> None:
    """Report every rule that the document breaks. Comes after the problems of single values."""
    accounts = tree.children(("accounts",))
    statuses = tree.children(("global", "known_statuses"))
    buckets = [entry for place, _ in accounts for entry in tree.children((*place, "buckets"))]
    _report_repeats(tree, _texts(accounts, "name"))
    _report_repeats(tree, _texts(buckets, "id"))
    _report_repeats(tree, statuses)
    _report_unknown_status(tree, statuses)
    defaults = _sound(GlobalDocument, tree.root.child("global"))
    if defaults is not None:
        for key, message in _timing_faults(defaults).items():
            tree.refuse(("global", key), message)
        for place, node in accounts:
            if overrides := _sound(Overrides, node):
                _report_account(tree, place, defaults, overrides)


def _texts(entries: Iterable[tuple[Place, Node]], key: str) -> Iterator[tuple[Place, Node]]:
    """Of each entry the text under `key`, or the entry itself where that is only a text."""
    for place, node in entries:
        child = node.child(key)
        yield (place, node) if child is None else ((*place, key), child)


def _report_repeats(tree: Tree, entries: Iterable[tuple[Place, Node]]) -> None:
    seen: dict[str, tuple[Place, Node]] = {}
    for place, node in entries:
        if not isinstance(node.value, str) or tree.report.has(place):
            continue
        first_place, first = seen.setdefault(node.value, (place, node))
        if first_place != place:
            where = f"{path_text(first_place)} in line {first.line}"
            message = f"{quoted(node.written)} is the same as {where}: change or remove one of them"
            tree.refuse(place, message)


def _report_unknown_status(tree: Tree, statuses: Iterable[tuple[Place, Node]]) -> None:
    for place, node in statuses:
        if node.value == UNKNOWN_STATUS:
            tree.refuse(place, f"{UNKNOWN_STATUS} stands for all other statuses: remove it")


def _sound(model: type[M], node: Node | None) -> M | None:
    """The model of those keys of a mapping that it knows; None if one of them is not sound."""
    entries = node.value if node is not None and isinstance(node.value, dict) else {}
    known = {key: entries[key].plain() for key in entries if key in model.model_fields}
    try:
        return model.model_validate(known)
    except ValidationError:
        return None  # and reported, since it is part of the whole document


def _report_account(
    tree: Tree, place: Place, defaults: GlobalDocument, overrides: Overrides
) -> None:
    settings = in_force(defaults, overrides)
    if is_exposed(settings.base_url) and not overrides.allow_http:
        tree.refuse((*place, "base_url"), _EXPOSED)
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
            "change one of them"
        )
    return faults
