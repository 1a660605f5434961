"""Saves within a transaction of models that are one table and have nothing registered: most saves.

Nothing is decided here otherwise than in `saves`, but a transaction may be a thousand of them: what
a row says is read off it when it is written, and made tags of once, before the commit.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.db import Error
from django.db.models import Model

from .batching import record_later
from .changes import ends_of, invalidate, with_options
from .conditions import UnnamedValueError, is_narrowed, tables_of
from .context import page_now
from .invalidation import Invalidation
from .moments import times_of
from .registry import also_forget, key_of, of_every, of_models, plain_labels
from .rows import row_of
from .tags import clean
from .transactions import write_first
from .written import LASTING, Columns, Row, Written, columns_for

logger = logging.getLogger("edge_isr")


@lru_cache(maxsize=1024)
def is_plain(model: type[Model], cls: type[Model] | None) -> bool:
    """Whether a save of a model, in the table of this class, is such a one."""
    concrete = model._meta.concrete_model
    return (
        (cls is None or cls is concrete)
        and model._meta.apps is apps
        and tables_of(model) == (concrete,)
        and is_narrowed(concrete)
        and bool(plain_labels(model))
        and not ends_of(model)
        and not times_of(model)
    )


also_forget(is_plain.cache_clear)


def may_be_there(instance: Model, table: type[Model], raw: bool) -> bool:
    """Whether there may be a row with its key already."""
    if instance._get_pk_val(table._meta) is None:
        return False
    # A new instance may have the key of a row that is there. Where the key has a default, Django
    # never looks for such a row: it inserts.
    return not (instance._state.adding and table._meta.pk.has_default() and not raw)


def save_plainly(original: Any, arguments: tuple[Any, ...], connection: Any) -> Any:
    """Writes the row, and reports it."""
    instance, raw, _, force_insert, _, _, update_fields = arguments
    model = type(instance)
    if "edge_isr_written" not in vars(connection):
        write_first(connection, model)
    table = model._meta.concrete_model
    columns = columns_for(instance, table, connection, update_fields)
    is_new = force_insert or not may_be_there(instance, table, raw)
    if is_new or columns.take is None or page_now.get() is not None:
        return _save_seen(original, arguments, connection, columns, is_new)
    key = instance.pk
    try:
        before = row_of(table, connection, key, columns.names)
    except Error:
        raise
    except Exception:
        # As in `Written`.
        logger.exception("what %s %s was could not be read", table.__name__, key)
        before = None
    updated = original(*arguments)
    if updated and before is not None:
        try:
            after = columns.take(vars(instance))
        except KeyError:
            # What only the database knows is not there any more (Django 6.0).
            after = ()
        lasts = after and LASTING.issuperset(map(type, after))
        if lasts and record_later(_maker(columns), (key, before, after), connection):
            return updated
    _see(Written(instance, table, connection, columns), updated, before)
    return updated


def _save_seen(
    original: Any, arguments: tuple[Any, ...], connection: Any, columns: Columns, is_new: bool
) -> Any:
    """Of what can't wait."""
    instance = arguments[0]
    written = Written(instance, columns.table, connection, columns)
    if not is_new:
        written.look()
    updated = original(*arguments)
    _see(written, updated, written.before)
    return updated


def _see(written: Written, updated: Any, before: Row | None) -> None:
    """The row has been written."""
    written.before = before
    written.end(bool(updated))
    if written.differs:
        _send(written)


def _send(written: Written) -> None:
    model, key = written.columns.model, written.key
    found = of_models(model, [key] if written.shows else ())
    tags = written.tags()
    found.absorb(of_every(model) if tags is None else Invalidation(tags=tags))
    found.reason = f"{plain_labels(model)[0]} {key}"
    invalidate(found, written.connection.alias)


class _Maker:
    """What many rows of a model say that have been saved."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def __call__(self, rows: list[tuple[Any, Row, Row]]) -> Invalidation:
        columns, model = self._columns, self._columns.model
        label = plain_labels(model)[0]
        tags: set[str] = set()
        first = None
        try:
            for pk, before, after in rows:
                changed = columns.changed(before, after)
                if not changed:
                    continue
                key = pk if type(pk) is int else key_of(model, pk)
                first = key if first is None else first
                tags.update(changed)
                if columns.tracked:
                    columns.name_cells(changed, key, before, after, tags)
                    if not columns.shows(changed):
                        continue
                name = f"{label}:{key}"
                # A number needs no encoding.
                tags.add(name if type(key) is int else clean(name))
                decides = not columns.deciding.isdisjoint(changed)
                columns.name_values(before, after, tags, decides)
        except UnnamedValueError:
            tags |= of_every(model).tags
        if tags:
            tags.update((label, *columns.generated))
        return with_options(Invalidation(tags=tags, reason=f"{label} {first}"))


@lru_cache(maxsize=1024)
def _maker(columns: Columns) -> _Maker:
    return _Maker(columns)
