"""`Model._save_table`: writes the row of a save in each table of its model.

The row is written in a transaction with its message of the outbox and before `post_save` is sent:
receivers find it committed, as they do without this package. What it was is read first, table by
table: a save that makes no difference tells nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db.models import Model

from .changes import Change, ends_of, followed, rows_by, tell_row, unshown
from .conditions import is_narrowed, labels_that_change, tables_of
from .differences import Parts, Written
from .patching import replace_method
from .registry import entry_of, key_of, plain_labels
from .transactions import changing

# What was seen of the tables of a row's parents, which are written before its own.
_SEEN = "edge_isr_written"


def install() -> None:
    """Puts the hook in place; again has no effect."""
    replace_method(Model, "_save_table", _save_table)


def _save_table(original: Any) -> Any:
    def _save_table(
        self: Model,
        raw: bool = False,
        cls: type[Model] | None = None,
        force_insert: bool = False,
        force_update: bool = False,
        using: Any = None,
        update_fields: Any = None,
    ) -> Any:
        def write() -> Any:
            return original(self, raw, cls, force_insert, force_update, using, update_fields)

        model = followed(type(self))
        if model is None or unshown(model, update_fields):
            return write()
        table = (cls or type(self))._meta.concrete_model
        is_last = table is type(self)._meta.concrete_model
        reads = is_narrowed(table) and self._meta.apps is apps
        if not is_last and not reads:
            return write()
        reads_row = is_last and _may_have_old_row(self, model, raw, update_fields)
        with changing(using, type(self), reads or reads_row or self._meta.select_on_save):
            written = None
            if reads:
                is_new = force_insert or not _may_be_there(self, table, raw)
                written = Written(self, table, using, update_fields, is_new)
            save = _Save(self, model, using, raw, reads_row) if is_last else None
            updated = write()
            if written is not None:
                written.end(bool(updated))
                vars(self._state).setdefault(_SEEN, []).append(written)
            if save is not None:
                save.tell()
            return updated

    return _save_table


def _may_be_there(instance: Model, table: type[Model], raw: bool) -> bool:
    """Whether there may be a row with its key already."""
    if instance._get_pk_val(table._meta) is None:
        return False
    # A new instance may have the key of a row that is there. Where the key has a default, Django
    # never looks for such a row: it inserts.
    return not (instance._state.adding and table._meta.pk.has_default() and not raw)


class _Save:
    """The save of one row, around the statement that writes its own table."""

    def __init__(
        self, instance: Model, model: type[Model], using: str, raw: bool, reads: bool
    ) -> None:
        self._instance = instance
        self._model = model
        self._using = using
        # A raw save leaves the tables of parents alone.
        self._tables = tables_of(model)[: 1 if raw else None]
        plain = instance._meta.apps is apps and not ends_of(model)
        # Those of a model whose rows have nothing to say but their keys.
        self._labels = plain_labels(model) if plain else ()
        self._change: Change | None = None
        if not self._labels:
            self._change = Change(type(instance), model, using)
            if reads:
                _see_old_row(self._change, instance)

    def tell(self) -> None:
        """The row is written."""
        seen: list[Written] = vars(self._instance._state).pop(_SEEN, [])
        changed = [written.table for written in seen if written.differs]
        looked_at = {written.table for written in seen}
        changed += [table for table in self._tables if table not in looked_at]
        same = not changed
        key = key_of(self._model, self._instance.pk)
        if self._labels:
            if not same:
                labels = labels_that_change(self._model, changed)
                tell_row(labels, key, self._using, self._parts(seen))
            return
        change = self._change
        if change is None or (same and not change.needs_rows and not change.has_registered_ends):
            return
        for written in seen:
            change.parts.of_table(written)
        change.name([self._instance.pk])
        change.rows([self._instance])
        change.connect([self._instance])
        if change.found:
            change.tell(str(self._instance.pk))

    def _parts(self, seen: list[Written]) -> Iterable[str]:
        parts = Parts(self._model, self._using)
        for written in seen:
            parts.of_table(written)
        return parts.told().tags


def _may_have_old_row(instance: Any, model: type[Model], raw: bool, update_fields: Any) -> bool:
    """Whether the row as it is in the database has something to say before it is overwritten."""
    if not _may_be_there(instance, type(instance), raw):
        return False
    if any(entry_of(end[1]) is not None for end in ends_of(model)):
        return True
    entry = entry_of(model)
    if entry is None or not entry.needs_old:
        return False
    fields = entry.fields
    return fields is None or update_fields is None or bool(set(fields) & set(update_fields))


def _see_old_row(change: Change, instance: Any) -> None:
    entry = entry_of(change.model)
    if entry is not None and entry.needs_old:
        for old in rows_by(change.model, change.using, "pk", [instance.pk]):
            if entry.fields is None or _differ(old, instance, entry.fields):
                change.rows([old])
    change.see_ends([instance.pk])


def _differ(old: Model, new: Model, fields: Iterable[str]) -> bool:
    names = (new._meta.get_field(name).attname for name in fields)
    return any(getattr(old, name) != getattr(new, name) for name in names)
