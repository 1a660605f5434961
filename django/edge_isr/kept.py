"""What is remembered beside a value in a cache: the tags of what it was made of.

It is plain data, so that a site without this package reads past it: `versions` (tag → version),
`guard` (while it is the same, no version has changed), `made` (after a look-up that found nothing:
whoever made it can make it again), `unknown`, `until`, and for a whole page `page`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.db import connections, transaction
from django.db.models import Model, QuerySet
from django.http.response import HttpResponseBase
from django.utils.safestring import SafeString

from .conf import load
from .context import Recorder, Span, recording
from .instances import see_row
from .pages import page_facts, restore_page
from .registry import labels_and_key, labels_of
from .tags import ANYTHING, with_every
from .tracked import tracked_fields
from .versions import EVERYTHING, GUARD, PREFIX, are_current, ensure, versions_of

logger = logging.getLogger("edge_isr")

# Of more instances of one model a value has the model's tag alone: each is a look-up later on.
MAX_INSTANCES = 100
# Values that are looked at for the models they consist of.
MAX_ITEMS = 1000

# No instance can be in them.
_PLAIN = frozenset({
    str, SafeString, bytes, int, float, bool, Decimal, UUID, date, datetime, time, timedelta,
})  # fmt: skip

Name = tuple[str, Any, Any]
Facts = dict[str, Any]


def beside(key: Any) -> str:
    """Where the facts of a key's value are kept."""
    return PREFIX + "beside:" + hashlib.sha256(str(key).encode()).hexdigest()[:40]


def missed(recorder: Recorder, name: Name, replaces: bool = False) -> None:
    """A value is missing: what is loaded until it is put there is what it is made of."""
    begun = recorder.spans.get(name)
    if begun is not None and begun.made:
        # Who asks again may put there what was loaded since the first time.
        begun.replaces = begun.replaces or replaces
        return
    span = Span(_guard(), made=True, replaces=replaces)
    recorder.begin_span(name, span)


def found(
    recorder: Recorder, cache: Any, name: Name, value: Any, ask: Callable[[str], Any]
) -> bool:
    """A value is there: the page has its tags. False, and it counts as missing."""
    is_page = isinstance(value, HttpResponseBase)
    if not is_page and not recorder.records:
        return True
    facts = ask(beside(name[1]))
    if not isinstance(facts, dict):
        return _found_unknown(recorder, name, value, is_page)
    # A refetch is of a cached view, also before that has begun.
    for_edge = recorder.active or recorder.refetch or facts["page"] is not None
    if is_page and not for_edge:
        return True
    is_current = name in recorder.remade or _is_current(recorder, facts)
    # Of changes in other processes, what is kept in this one's memory is not sent.
    again = not is_current or (recorder.refetch and isinstance(cache, LocMemCache))
    if again and for_edge and facts["made"] and name not in recorder.remade:
        missed(recorder, name, replaces=True)
        return False
    if is_page and not restore_page(recorder, facts["page"]):
        return False
    if is_page:
        value.edge_isr_current = is_current
    if not is_current:
        # So is what is made of it.
        for span in list(recorder.spans.values()):
            span.guard = ""
    unknown = []
    if facts["unknown"] or not is_current:
        unknown = [f"the cached value {name[1]!r}" + ("" if is_current else ", out of date")]
    tags = [tag for tag in facts["versions"] if tag not in (EVERYTHING, ANYTHING)]
    recorder.absorb(tags, unknown, facts["until"])
    if not is_page:
        # Put there again, it is made of what it was and of what is loaded from now on.
        span = Span(None, made=False, replaces=False)
        span.absorb(tags, unknown, facts["until"])
        recorder.begin_span(name, span)
    return True


def _found_unknown(recorder: Recorder, name: Name, value: Any, is_page: bool) -> bool:
    if is_page:
        # Who may see it is not known either: a cached view makes it anew.
        return not recorder.active
    if not _see_models(recorder, value):
        recorder.saw_unknown(f"the cached value {name[1]!r}")
    return True


def facts_of(recorder: Recorder | None, name: Name, value: Any) -> Facts | None:
    """The facts of a value that was put into a cache; None if nothing is known of it."""
    span = recorder.end_span(name) if recorder is not None else None
    source: Recorder | None = span
    if source is None:
        source = _saving(recorder)
    if source is None and recorder is not None and recorder.active and recorder.automatic:
        source = recorder
    if source is None:
        source = Recorder()
        if not _see_models(source, value):
            return None
    if recorder is not None:
        recorder.remade.add(name)
    is_page = isinstance(value, HttpResponseBase)
    page = page_facts(recorder, value) if is_page and recorder is not None else None
    kept = Recorder()
    kept.merge(source)
    _see_held(kept, value)
    kept.merge_lists(MAX_INSTANCES)
    begun = span.guard if span is not None else None
    versions = versions_of(load()[0].fragment_cache, with_every(kept.named()))
    guard = _guard()
    if begun is not None and guard != begun:
        # Something changed while it was made, perhaps what it is made of.
        versions, guard = dict.fromkeys(versions, ""), ""
    return {
        "versions": versions,
        "guard": guard if begun is not None else "",
        "made": is_page or (span is not None and span.made),
        "unknown": bool(kept.unknown),
        "until": page["until"] if page else kept.until,
        "page": page,
    }


def _see_held(recorder: Recorder, value: Any) -> None:
    """What instances in a value hold may be read when it is taken out: it must be made anew when
    any of that changes."""
    if not _may_hold(value, [MAX_ITEMS]):
        return
    for label, keys in list(recorder.instances.items()):
        if tracked_fields(apps.get_model(label)):
            cells = recorder.cells.setdefault(label, {})
            cells.update((key, {""}) for key in list(keys))


def _may_hold(value: Any, left: list[int]) -> bool:
    """Whether an instance may be in a value: in none of texts and numbers, and lists of them."""
    left[0] -= 1
    if value is None or type(value) in _PLAIN or isinstance(value, HttpResponseBase):
        return False
    if left[0] <= 0:
        return True
    if isinstance(value, dict):
        return any(_may_hold(item, left) for pair in value.items() for item in pair)
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(_may_hold(item, left) for item in value)
    return True


def _saving(recorder: Recorder | None) -> Span | None:
    """What is known while a row is saved: what was loaded since, and the row itself."""
    spans = list(recorder.spans.values()) if recorder is not None else []
    rows = [span for span in spans if span.row is not None]
    if not rows:
        return None
    for span in rows:
        rows[0].saw_models(labels_and_key(type(span.row))[0])
        if span.row.pk is not None:
            see_row(rows[0], span.row)
    return rows[0]


def after_commit(recorder: Recorder | None, facts: Facts, keep: Callable[[Facts], Any]) -> None:
    """The commit of the row that a value is made of gives its tags new versions: it has those."""
    row = getattr(_saving(recorder), "row", None)
    alias = row._state.db if row is not None else None
    if alias is None or not connections[alias].in_atomic_block:
        return

    def renew() -> None:
        versions = versions_of(load()[0].fragment_cache, list(facts["versions"]))
        keep({**facts, "versions": versions})

    transaction.on_commit(renew, using=alias, robust=True)


def _guard() -> str:
    return ensure(caches[load()[0].fragment_cache], GUARD)


def _is_current(recorder: Recorder, facts: Facts) -> bool:
    if recorder.guard is None:
        recorder.guard = _guard()
    if facts["guard"] and facts["guard"] == recorder.guard:
        return True
    return are_current(load()[0].fragment_cache, facts["versions"])


def _see_prefetched(recorder: Recorder, row: Model) -> None:
    """What a row brought along of its relations, and the rows that connect it."""
    prefetched = getattr(row, "_prefetched_objects_cache", None)
    if not prefetched:
        return
    models = {rows.model for rows in prefetched.values() if isinstance(rows, QuerySet)}
    for field in row._meta.get_fields():
        if field.many_to_many:
            relation = getattr(field, "remote_field", None) if field.concrete else field
            models.add(getattr(relation, "through", None) or type(row))
    for model in models:
        recorder.saw_models(labels_of(model) if labels_and_key(model)[0] else ())


def _see_models(recorder: Recorder, value: Any) -> bool:
    """Records the models that a value consists of; False if it consists of something else."""
    if isinstance(value, QuerySet):
        with recording(recorder):
            len(value)
        return True
    if isinstance(value, Model):
        see_row(recorder, value)
        _see_prefetched(recorder, value)
        return True
    items: Iterable[Any]
    if isinstance(value, dict):
        items = value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        items = value
    else:
        return False
    items = list(items)
    if not items or len(items) > MAX_ITEMS:
        return False
    if not all(_see_models(recorder, item) for item in items):
        return False
    # Which rows it consists of may change as well.
    for model in {type(item) for item in items if isinstance(item, Model)}:
        recorder.saw_models(labels_of(model) if labels_and_key(model)[0] else ())
    return True
