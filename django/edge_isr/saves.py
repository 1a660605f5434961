"""`Model._save_table`: writes the row of a save in each table of its model.

The row is written in a transaction with its message of the outbox and before `post_save` is sent:
receivers find it committed, as they do without this package. What it was is read first, table by
table: a save that makes no difference sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db import connections
from django.db.models import Model

from .changes import Change, ends_of, followed, invalidate, rows_by, unshown
from .conditions import is_narrowed, labels_that_change, tables_of
from .differences import Parts
from .moments import see
from .patching import replace_method
from .plain import is_plain, may_be_there, save_plainly
from .registry import entry_of, key_of, of_every, of_models, plain_labels
from .transactions import changing
from .written import Written, columns_for

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
        arguments = (self, raw, cls, force_insert, force_update, using, update_fields)
        model = followed(type(self))
        if model is None or (update_fields and unshown(model, update_fields)):
            return original(*arguments)
        connection = connections[using]
        if connection.in_atomic_block and is_plain(model, cls) and model is type(self):
            return save_plainly(original, arguments, connection)
        save = _Save(self, model, cls or type(self), connection, raw, update_fields)
        if not save.invalidates:
            return original(*arguments)
        with changing(using, type(self), save.looks):
            save.before(force_insert)
            updated = original(*arguments)
            save.after(bool(updated))
            return updated

    return _save_table


class _Save:
    """The save of one row in one of its tables, around the statement that writes it."""

    __slots__ = (
        "_change", "_instance", "_is_last", "_labels", "_model", "_raw", "_reads", "_sees",
        "_table", "_update_fields", "_written", "connection", "looks",
    )  # fmt: skip

    def __init__(
        self, instance: Model, model: type[Model], cls: type[Model], connection: Any, raw: bool,
        update_fields: Any,
    ) -> None:  # fmt: skip
        self._instance = instance
        self._model = model
        self._raw = raw
        self._update_fields = update_fields
        self.connection = connection
        meta = instance._meta
        self._table = cls._meta.concrete_model
        self._is_last = self._table is meta.concrete_model
        # Whether the row as it is in this table is compared with what is written.
        self._reads = meta.apps is apps and is_narrowed(self._table)
        # Whether what is registered asks for the row as it is.
        self._sees = self._is_last and _may_have_old_row(instance, model, raw, update_fields)
        self.looks = self._reads or self._sees or meta.select_on_save
        # Those of a model whose rows have nothing to say but their keys.
        plain = meta.apps is apps and not ends_of(model)
        self._labels = plain_labels(model) if plain else ()
        self._written: Written | None = None
        self._change: Change | None = None

    @property
    def invalidates(self) -> bool:
        """Whether changes of this table invalidate anything."""
        return self._is_last or self._reads

    def before(self, force_insert: bool) -> None:
        """The row is about to be written."""
        if self._reads:
            is_new = force_insert or not may_be_there(self._instance, self._table, self._raw)
            columns = columns_for(self._instance, self._table, self.connection, self._update_fields)
            self._written = Written(self._instance, self._table, self.connection, columns)
            if not is_new:
                self._written.look()
        if self._is_last and not self._labels:
            self._change = Change(type(self._instance), self._model, self.connection.alias)
            if self._sees:
                _see_old_row(self._change, self._instance)

    def after(self, updated: bool) -> None:
        """The row is written."""
        known = vars(self._instance._state)
        seen: list[Written] = known.pop(_SEEN, [])
        if self._written is not None:
            self._written.end(updated)
            seen.append(self._written)
        if self._is_last:
            self._send(seen)
        else:
            known[_SEEN] = seen

    def _send(self, seen: list[Written]) -> None:
        differs = {written.table: written.differs for written in seen}
        # A raw save leaves the tables of parents alone.
        tables = tables_of(self._model)[: 1 if self._raw else None]
        changed = tuple([table for table in tables if differs.get(table, True)])
        if self._labels:
            if changed:
                self._send_plainly(seen, changed)
            return
        change = self._change
        if change is None or not (changed or change.needs_rows or change.has_registered_ends):
            return
        comes = any(written.is_new for written in seen)
        for written in seen:
            change.parts.of_table(written, comes)
        if comes and len(seen) < len(tables_of(self._model)):
            # As in `_send_plainly`.
            change.parts.of_keys([self._instance.pk])
        change.name([self._instance.pk])
        change.rows([self._instance])
        change.connect([self._instance])
        change.invalidate(str(self._instance.pk))

    def _send_plainly(self, seen: list[Written], changed: tuple[type[Model], ...]) -> None:
        key = key_of(self._model, self._instance.pk)
        found = of_models(self._model, (), labels_that_change(self._model, changed))
        hidden = {written.table for written in seen if not written.shows}
        shown = tuple([table for table in changed if table not in hidden])
        found.absorb(of_models(self._model, [key], labels_that_change(self._model, shown)))
        comes = any(written.is_new for written in seen)
        for written in seen:
            tags = written.tags(comes)
            if tags is None:
                found.absorb(of_every(self._model))
            else:
                found.tags.update(tags)
        if comes and len(seen) < len(tables_of(self._model)):
            # Without the rows that it extends, which are there already, or come after it.
            parts = Parts(self._model, self.connection.alias)
            parts.of_keys([self._instance.pk])
            found.absorb(parts.invalidation())
        found.reason = f"{self._labels[0]} {key}"
        invalidate(found, self.connection.alias)
        see(self._model, self.connection.alias, [key])


def _may_have_old_row(instance: Any, model: type[Model], raw: bool, update_fields: Any) -> bool:
    """Whether the row as it is in the database has something to say before it is overwritten."""
    entry, ends = entry_of(model), ends_of(model)
    if (entry is None and not ends) or not may_be_there(instance, type(instance), raw):
        return False
    if any(entry_of(end[1]) is not None for end in ends):
        return True
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
