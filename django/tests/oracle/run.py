"""The run: every write once, every view after it, and what of that was sent."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

from . import (
    results,
    views_by_hand,
    views_late,
    views_of_models,
    views_of_queries,
    views_of_texts,
    views_of_values,
    writes_by_hand,
    writes_of_models,
)
from .data import Snapshot, fill
from .queries import Queries, Query, Watch
from .registry import VIEWS, WRITES


@dataclass
class Page:
    """What a view is as a page: the queries it makes, its tags, whether it may be kept."""

    queries: list[Query]
    tags: frozenset[str] = frozenset()
    public: bool = False


@dataclass
class Outcome:
    """One write: the views that it changed, those that it invalidated, and what was sent."""

    changed: set[str] = field(default_factory=set)
    invalidated: set[str] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)
    error: str = ""


@dataclass
class Run:
    """All of it."""

    pages: dict[str, Page]
    outcomes: dict[str, Outcome]
    unsteady: list[str]
    seconds: float

    def lost(self) -> dict[str, set[str]]:
        """The views that a write changed and did not invalidate, by write."""
        return {
            name: {view for view in one.changed - one.invalidated if self.pages[view].public}
            for name, one in self.outcomes.items()
        }

    def needless(self) -> dict[str, tuple[int, int]]:
        """By kind of write: the views invalidated without a change, of all without a change."""
        invalidated: Counter[str] = Counter()
        of: Counter[str] = Counter()
        public = {name for name, page in self.pages.items() if page.public}
        for name, one in self.outcomes.items():
            kind = WRITES[name].kind
            invalidated[kind] += len((one.invalidated - one.changed) & public)
            of[kind] += len(public - one.changed)
        return {kind: (invalidated[kind], of[kind]) for kind in sorted(of)}


def register() -> None:
    """Fills the registries, once per process."""
    if VIEWS:
        return
    views_of_models.add_views()
    for part in ("expressions", "sql"):
        getattr(views_of_queries, f"add_{part}")()
    for part in ("values", "joined"):
        getattr(views_of_values, f"add_{part}")()
    for part in ("generic", "around"):
        getattr(views_by_hand, f"add_{part}")()
    for part in ("caches", "threads", "late"):
        getattr(views_late, f"add_{part}")()
    views_of_texts.add_texts()
    results.add_views()
    writes_of_models.add_writes()
    for part in ("cascades", "sql", "packages", "others"):
        getattr(writes_by_hand, f"add_{part}")()


def sent_tags() -> set[str]:
    """What stands in the outbox, which is empty afterwards; `*` for everything."""
    from edge_isr.models import OutboxMessage

    results.compare()
    found: set[str] = set()
    for payload in OutboxMessage.objects.values_list("payload", flat=True):
        found.update(payload.get("tags", ()))
        found.update(f"path:{path}" for path in payload.get("paths", ()))
        if payload.get("everything"):
            found.add("*")
    OutboxMessage.objects.all().delete()
    return found


def _page(name: str) -> Page:
    view = VIEWS[name]
    views_by_hand.forget_caches()
    with Queries() as queries:
        view.result()
    views_by_hand.forget_caches()
    if results.are_compared():
        # What it asks is on record from its second time on.
        _ask(name, view.is_async)
        views_by_hand.forget_caches()
    for _ in range(1 + view.twice):
        response = _ask(name, view.is_async)
    assert response.status_code == 200, (name, response.content[:200])
    public = response.has_header("CDN-Cache-Control")
    tags = frozenset(response.get("X-Edge-ISR-Tags", "").split())
    return Page(queries.found, tags, public)


def _ask(name: str, is_async: bool) -> Any:
    if not is_async:
        return Client().get("/v/" + quote(name))

    async def ask() -> Any:
        return await AsyncClient().get("/a/" + quote(name))

    return async_to_sync(ask)()


def run() -> Run:
    """Fills the store, asks all pages, writes every write and compares."""
    started = time.monotonic()
    fill()
    register()
    for model in views_of_models.store_models():
        row = model._base_manager.order_by("pk").first()
        views_of_models.FIRST[model._meta.label_lower] = row.pk if row else None
    snapshot = Snapshot()
    snapshot.reset_sequences()
    sent_tags()
    snapshot.restore()
    try:
        pages = {name: _page(name) for name in VIEWS}
        by_reading = sorted(sent_tags())
        # From here on rows stand in the order in which the snapshot puts them back.
        snapshot.restore()
        watch = Watch(snapshot, {name: page.queries for name, page in pages.items()})
        results.remember()
        by_tag: dict[str, set[str]] = defaultdict(set)
        for name, page in pages.items():
            for tag in page.tags:
                by_tag[tag].add(name)
        snapshot.restore()
        unsteady = sorted(watch.changed())
        outcomes = {name: _outcome(name, pages, by_tag, snapshot, watch) for name in WRITES}
    finally:
        snapshot.drop()
    return Run(pages, outcomes, unsteady + by_reading, time.monotonic() - started)


def _outcome(
    name: str, pages: dict[str, Page], by_tag: dict[str, set[str]], snapshot: Snapshot, watch: Watch
) -> Outcome:
    outcome = Outcome()
    views_by_hand.forget_caches()
    try:
        WRITES[name].run()
    except Exception as error:  # noqa: BLE001
        outcome.error = f"{type(error).__name__}: {error}"
    outcome.tags = sent_tags()
    if "*" in outcome.tags:
        outcome.invalidated = set(pages)
    for tag in outcome.tags:
        outcome.invalidated |= by_tag.get(tag, set())
    outcome.changed = watch.changed()
    # Rows that a view reads have changed; what it makes of them may be the same still.
    suspects = [view for view in outcome.changed - outcome.invalidated if pages[view].public]
    now = {view: _result(view) for view in suspects}
    snapshot.restore()
    results.restore()
    outcome.changed -= {view for view in suspects if _result(view) == now[view]}
    return outcome


def _result(name: str) -> Any:
    views_by_hand.forget_caches()
    try:
        return VIEWS[name].result()
    except Exception as error:  # noqa: BLE001
        # Of a view whose page is empty now, for example.
        return type(error).__name__
