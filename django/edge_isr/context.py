"""What is known of the page that is being rendered: its tags, its policy, what it has loaded.

`request.edge_isr` is the page. A context variable holds its recorder from the moment the request
comes in until its response is finished; the hooks of `autotags` do nothing but look at it until a
cached view has begun, and from then on everything that is loaded is the page's. Recorders nest:
what a fragment has seen, the page around it has seen too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.http import HttpRequest
from django.utils import timezone

from .policy import SAFE_METHODS, Policy, Why
from .tags import ANYTHING, clean, count_of, of_cells
from .tracked import named_by_hand

logger = logging.getLogger("edge_isr")

# What is seen between the request's arrival and its view.
BEFORE = "before the view"
# Of more values and columns of a model a page depends on the model as a whole.
MAX_PARTS = 100
# Values that were looked for in a cache and may still be put there: see `caching`.
MAX_SPANS = 64

current: ContextVar[Recorder | None] = ContextVar("edge_isr_recorder", default=None)

# The page of the current request, also while a fragment in it has a recorder of its own.
page_now: ContextVar[PageContext | None] = ContextVar("edge_isr_page", default=None)

# Whether pages remember which query gave which tag, also without DEBUG.
explaining: ContextVar[bool] = ContextVar("edge_isr_explaining", default=False)

Found = Mapping[str, Iterable[Any]]


class Recorder:
    """What was seen: instances by model, models as a whole, and tags that were named."""

    __slots__ = (
        "active", "automatic", "began", "cells", "closed", "dates", "explained", "guard",
        "instances", "models", "page", "parts", "querysets", "refetch", "remade", "spans", "tags",
        "unknown", "until",
    )  # fmt: skip

    def __init__(self, automatic: bool = True, active: bool = True) -> None:
        # Whether a cached view or a fragment is being rendered. Until then only spans record.
        self.active = active
        # Whether the response is finished; when it began, in seconds since the epoch.
        self.closed, self.began = False, time.time()
        # Whether the hooks of `autotags` record here; named tags are taken either way.
        self.automatic = automatic
        self.instances: dict[str, set[Any]] = {}
        self.models: set[str] = set()
        # Values of fields, and columns, where the model as a whole is not named.
        self.parts: dict[str, set[str]] = {}
        # The tracked columns that were read, by label and key; "" for all of them.
        self.cells: dict[str, dict[Any, set[str]]] = {}
        self.tags: dict[str, None] = {}
        # Querysets that were looked at; kept, so that no other one gets their id.
        self.querysets: dict[int, Any] = {}
        # What is seen from now on goes here as well, by a name.
        self.spans: dict[Any, Span] = {}
        # What was read that can't be named, each with its reason.
        self.unknown: dict[str, None] = {}
        # When what was seen will be out of date by itself, in seconds since the epoch.
        self.until: float | None = None
        # The page that it belongs to, if it is a page's own.
        self.page: PageContext | None = None
        # Whether the edge fetches the page anew, with no visitor waiting.
        self.refetch = False
        # The guard of versions that the page has seen, and what it has put into caches.
        self.guard: str | None = None
        self.remade: set[Any] = set()
        # Fields of dates that were compared with now (with DEBUG), by their models.
        self.dates: set[tuple[Any, str]] = set()
        # Each query with the tags that it gave, where that is asked for.
        self.explained: list[tuple[str, list[str]]] | None = None

    def active_recorders(self) -> list[Recorder]:
        """Those that record what is loaded."""
        return [*([self] if self.active and self.automatic else []), *list(self.spans.values())]

    def saw_instances(self, found: Found) -> None:
        """Instances were loaded: the keys by their model's label."""
        for recorder in self.active_recorders():
            for label, keys in found.items():
                recorder.instances.setdefault(label, set()).update(keys)

    def saw_models(self, labels: Iterable[str]) -> None:
        """Something was loaded that depends on models as a whole."""
        labels = tuple(labels)
        for recorder in self.active_recorders():
            recorder.models.update(labels)

    def saw_parts(self, found: Mapping[str, Iterable[str]]) -> None:
        """Something was loaded that depends on rows with some values, or on some columns: the parts
        by their model's label."""
        for recorder in self.active_recorders():
            for label, parts in found.items():
                recorder.parts.setdefault(label, set()).update(parts)

    def saw_cell(self, label: str, key: Any, attname: str) -> None:
        """A tracked column of a row was read."""
        for recorder in self.active_recorders():
            recorder.cells.setdefault(label, {}).setdefault(key, set()).add(attname)

    def saw_unknown(self, reason: str) -> None:
        """Something was loaded, and what it depends on can't be determined."""
        if self.active:
            _log_unknown(reason)
        for recorder in self.active_recorders():
            recorder.unknown[reason] = None

    def absorb(
        self, tags: Iterable[str], unknown: Iterable[str] = (), until: float | None = None
    ) -> None:
        """What a part of the page depends on."""
        named, reasons = dict.fromkeys(tags), dict.fromkeys(unknown)
        for recorder in (self, *list(self.spans.values())):
            recorder.tags.update(named)
            recorder.unknown.update(reasons)
            if until is not None:
                recorder.cap(until)

    def cap(self, until: float) -> None:
        """What was seen is out of date from then on."""
        self.until = until if self.until is None else min(self.until, until)

    @property
    def records(self) -> bool:
        """Whether anything is done with what is seen."""
        return bool(self.spans) or (self.active and self.automatic)

    def merge(self, other: Recorder) -> None:
        """Takes up what another one has seen."""
        for label, keys in list(other.instances.items()):
            self.instances.setdefault(label, set()).update(list(keys))
        self.models.update(other.models)
        for label, parts in list(other.parts.items()):
            self.parts.setdefault(label, set()).update(list(parts))
        for label, rows in list(other.cells.items()):
            known = self.cells.setdefault(label, {})
            for key, names in list(rows.items()):
                known.setdefault(key, set()).update(list(names))
        self.absorb(list(other.tags), list(other.unknown), other.until)

    def begin_span(self, name: Any, span: Span) -> None:
        """From now on what is seen is seen by a recorder of its own as well."""
        self.spans.pop(name, None)
        self.spans[name] = span
        if len(self.spans) > MAX_SPANS:
            self.spans.pop(next(iter(self.spans)), None)

    def end_span(self, name: Any) -> Span | None:
        """What was seen since the span of that name began; None if there is none."""
        return self.spans.pop(name, None)

    def merge_lists(self, most: int) -> None:
        """Models with more instances than that are known by the model's tag alone."""
        for label in [label for label, keys in self.instances.items() if len(keys) > most]:
            del self.instances[label]
            self.models.add(label)
        for seen in (self.parts, self.cells):
            self.models.update(label for label, found in seen.items() if len(found) > most)

    def named(self) -> list[str]:
        """All as tags: those that were named, the models, the instances."""
        found = dict(self.tags)
        parts = {label: parts for label, parts in self.parts.items() if label not in self.models}
        many = {label for label, named in parts.items() if count_of(named) > MAX_PARTS}
        found.update(dict.fromkeys(sorted(self.models | many)))
        for label in sorted(parts.keys() - many):
            found.update((f"{label}:{part}", None) for part in sorted(parts[label]))
        for label in sorted(self.cells.keys() - self.models - many):
            cells = of_cells(self.cells[label], MAX_PARTS)
            found.update((f"{label}:{cell}", None) for cell in cells)
        for label in sorted(self.instances):
            keys = sorted(map(str, list(self.instances[label])))
            found.update((clean(f"{label}:{key}"), None) for key in keys)
        if self.unknown:
            found[ANYTHING] = None
        return list(found)

    def close(self) -> None:
        """What goes on is not heard any more."""
        self.active, self.closed = False, True
        self.page = None
        self.spans.clear()
        self.querysets.clear()


class Span(Recorder):
    """What is seen between a look-up in a cache and the `set` of the same key."""

    __slots__ = ("made", "replaces", "row")

    def __init__(self, guard: str | None, made: bool, replaces: bool) -> None:
        super().__init__()
        # The guard of versions when it began; whether the look-up found nothing; whether there was
        # a value that counts as missing.
        self.guard = guard
        self.made = made
        self.replaces = replaces
        # The row that is being saved meanwhile, if that is what the span is of.
        self.row: Any = None


@lru_cache(maxsize=256)
def _log_unknown(reason: str) -> None:
    # Once for each reason and process.
    logger.warning("a page depends on what can't be named, and is kept for a minute: %s", reason)


class PageContext:
    """One page: `request.edge_isr`."""

    def __init__(self) -> None:
        self.policy: Policy | None = None
        self.recorder = Recorder(active=False)
        self.recorder.page = self
        # As long as it is being answered; then only what says which view it was.
        self.request: HttpRequest | None = None
        self.view: str | None = None
        self.closed_at: float | None = None
        # Why it is not public, of a page out of a cache of the site.
        self.refused: Why | None = None
        # Why its response was not made public, when that is known.
        self.why: Why | None = None
        # The render for the edge that it is (`compose.composition`), if it is one.
        self.composition: Any = None
        # Why there was no shell, in words and as a `compose.problems.Problem`.
        self.not_composed = ""
        self.problem: Any = None
        # Whether a personal part stands in it, and whether it is the answer with such parts.
        self.has_personal_parts = False
        self.is_personal_answer = False
        # Set when the page's tags could not all be determined: it must not be stored.
        self.failed = False
        # Whether its view named tags itself.
        self.explicit = False
        # Whether it is rendered for the edge: its view is cached, and nothing is posted.
        self.for_edge = False
        # Until its view is found, which may be a cached one: what middlewares load counts for it.
        self.early = False
        self._before: Recorder | None = None
        # When its view said that it is out of date, in seconds since the epoch.
        self.ends: float | None = None
        # Whether its view said that nothing has changed, without looking at all of its data.
        self.unchanged = False

    def arrive(self, auto_tags: bool) -> None:
        """The request is there; whether its view is cached is not known yet."""
        self.early = True
        if auto_tags:
            self.recorder.begin_span(BEFORE, Span(None, made=False, replaces=False))

    def view_found(self, view: Any = None) -> None:
        """The middlewares have had their turn, and decorators around a cached view begin theirs.
        What an uncached view loads is not looked at."""
        if _is_cached(view):
            return
        self.early = False
        self._before = self._before or self.recorder.end_span(BEFORE)

    def begin(self, policy: Policy, auto_tags: bool) -> None:
        """A cached view begins: what is loaded from now on is the page's, and what middlewares have
        loaded for it."""
        self.view_found()
        self.policy = policy
        self.for_edge = getattr(self.request, "method", None) in SAFE_METHODS
        self.recorder.active = True
        self.recorder.automatic = auto_tags and policy.auto_tags
        if django_settings.DEBUG or explaining.get():
            self.recorder.explained = []
        before, self._before = self._before, None
        if before is not None and self.recorder.automatic:
            # Flags, counters and limits of middlewares: not what the page shows.
            before.unknown.clear()
            self.recorder.merge(before)
            if self.recorder.explained is not None:
                self.recorder.explained.append(("what middlewares have loaded", before.named()))

    def returned(self, response: Any) -> Any:
        """What a cached view has returned, which need not be a response yet."""
        self.unchanged = getattr(response, "status_code", 200) == 304
        return response

    def add_tags(self, tags: str | Iterable[str | None] | None) -> None:
        """Names data that the page depends on."""
        named = named_by_hand(tags)
        if named:
            self.explicit = True
            self.recorder.absorb(named)

    def until(self, moment: datetime | timedelta | float | None) -> None:
        """The page is out of date from that moment on: a datetime, or a time (a
        timedelta or seconds) from now.

        Of several the earliest counts. None counts as none, and so does a moment that has passed:
        the page is rendered after it.
        """
        ends = None if moment is None else moment_of(moment)
        if ends is not None and ends > time.time():
            self.ends = ends if self.ends is None else min(self.ends, ends)

    def seconds_left(self) -> float | None:
        """How long the page is good for, as far as its view and what it loaded say."""
        known = [ends for ends in (self.ends, self.recorder.until) if ends is not None]
        return min(known) - time.time() if known else None

    def close(self) -> None:
        """The response is finished."""
        if self.for_edge:
            self.view = view_of(self.request)
        if self.composition is not None:
            self.composition.close()
        self.request = self._before = None
        self.early = False
        self.closed_at = time.monotonic()
        self.recorder.close()

    @property
    def tags(self) -> list[str]:
        """The page's tags so far."""
        return self.recorder.named()


def moment_of(moment: datetime | timedelta | float) -> float:
    """A moment as seconds since the epoch; a naive datetime is one of the current time zone."""
    if isinstance(moment, datetime):
        aware: datetime = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
        return aware.timestamp()
    if isinstance(moment, timedelta):
        moment = moment.total_seconds()
    if isinstance(moment, bool) or not isinstance(moment, (int, float)):
        raise TypeError(f"expected a datetime or a number of seconds, got {moment!r}")
    return time.time() + moment


def _is_cached(view: Any) -> bool:
    """Whether a view is cached, perhaps within its decorators (`wraps` hands the mark on), or has a
    method that is."""
    cls = getattr(view, "view_class", None) or getattr(view, "cls", None)
    parts = (getattr(cls, name, None) for name in ("dispatch", "get", "list", "retrieve"))
    return any(hasattr(part, "edge_isr") for part in (view, *parts))


def view_of(request: HttpRequest | None) -> str:
    """By what name a request's view is known."""
    match = getattr(request, "resolver_match", None)
    if match is None:
        return str(getattr(request, "path", ""))
    return str(match.view_name or getattr(match.func, "__qualname__", match.route))


def page_of(request: HttpRequest) -> PageContext:
    """The page of a request."""
    page = getattr(request, "edge_isr", None)
    if not isinstance(page, PageContext):
        page = PageContext()
        request.edge_isr = page
    return page


def automatic() -> Recorder | None:
    """The recorder that the hooks write to now, if there is one."""
    recorder = current.get()
    return recorder if recorder is not None and recorder.records else None


@contextmanager
def recording(recorder: Recorder | None, page: PageContext | None = None) -> Iterator[None]:
    """While it lasts, what is loaded is seen by this recorder; by none if it is None."""
    page = page or getattr(recorder, "page", None)
    token = current.set(recorder)
    outer = page_now.set(page if page is not None else page_now.get())
    try:
        yield
    finally:
        page_now.reset(outer)
        current.reset(token)


def add_tags(tags: str | Iterable[str | None] | None) -> None:
    """Names data that whatever is being rendered depends on: a page, or a fragment in it."""
    recorder = current.get()
    if recorder is not None:
        recorder.absorb(named_by_hand(tags))
