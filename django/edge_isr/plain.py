"""Saves within a transaction of models that are one table and have nothing registered: most saves.

Nothing is decided here otherwise than in `saves`, but a transaction may be a thousand of them: what
a row says is read off it when it is written, and made tags of once, before the commit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.apps import apps
from django.db.models import Model

from .batching import record_later
from .changes import ends_of, tell, with_options
from .conditions import UnnamedValueError, is_narrowed, tables_of
from .invalidation import Invalidation
from .loops import rendered
from .registry import also_forget, key_of, of_every, of_models, plain_labels
from .tags import clean
from .transactions import write_first
from .written import Columns, Row, Written


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
    """Writes the row, and tells of it."""
    instance, raw, _, force_insert, _, _, update_fields = arguments
    model = type(instance)
    table = model._meta.concrete_model
    write_first(connection, model)
    is_new = force_insert or not may_be_there(instance, table, raw)
    written = Written(instance, table, connection, update_fields, is_new)
    updated = original(*arguments)
    written.end(bool(updated))
    if written.differs:
        _tell(model, written, instance.pk, connection)
    return updated


def _tell(model: type[Model], written: Written, pk: Any, connection: Any) -> None:
    key = key_of(model, pk)
    if written.can_wait and rendered() is None:
        row = (key, written.columns, written.changed, written.before, written.after)
        if record_later(_maker(model), row, connection):
            return
    found = of_models(model, [key])
    tags = written.tags()
    found.absorb(of_every(model) if tags is None else Invalidation(tags=tags))
    found.reason = f"{plain_labels(model)[0]} {key}"
    tell(found, connection.alias)


class _Maker:
    """What many rows of a model say that have been saved."""

    def __init__(self, model: type[Model]) -> None:
        self._model = model

    def __call__(self, rows: list[tuple[Any, Columns, list[str], Row, Row]]) -> Invalidation:
        label = plain_labels(self._model)[0]
        tags = {label}
        try:
            for key, columns, changed, before, after in rows:
                name = f"{label}:{key}"
                # A number needs no encoding.
                tags.add(name if type(key) is int else clean(name))
                tags.update(changed)
                tags.update(columns.generated)
                columns.name_values(before, after, tags)
        except UnnamedValueError:
            tags |= of_every(self._model).tags
        return with_options(Invalidation(tags=tags, reason=f"{label} {rows[0][0]}"))


@lru_cache(maxsize=1024)
def _maker(model: type[Model]) -> _Maker:
    return _Maker(model)
