"""What a save changes in one table: the row is read before it is written, and compared.

This happens with every save, so whatever of it is the same for all rows is worked out once: the
columns that are written, the fields whose values are named, their tags.
"""

from __future__ import annotations

import datetime
import decimal
import logging
import uuid
from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from django.db import Error, models
from django.db.models import Model
from django.db.models.fields.files import FieldFile

from .beginnings import lengths_of, of_beginning, that_differ
from .conditions import (
    ROWS,
    SET,
    Namer,
    UnnamedValueError,
    deciding_fields,
    flag_of,
    is_narrowed,
    members_with,
    named_fields,
    of_column,
)
from .registry import also_forget, ignored_fields, key_of
from .rows import row_of
from .tags import concrete_label, of_cell
from .tracked import tracked_fields

logger = logging.getLogger("edge_isr")

Row = tuple[Any, ...]
# The place and the beginnings of a column that is none of the tracked texts.
_NO_TEXT: tuple[int, tuple[int, ...]] = (0, ())


class _Expression:
    """Stands for a value that is not known."""

    def resolve_expression(self) -> None:
        """As expressions have it."""


UNKNOWN = _Expression()
# Of these a value that is equal is the same.
_EXACT = frozenset({str, int, bool, type(None), bytes, uuid.UUID})
# These never become others, and need not be asked of the database: they are looked at later on.
LASTING = _EXACT | {
    float, datetime.date, datetime.datetime, datetime.time, datetime.timedelta, decimal.Decimal,
}  # fmt: skip


class Columns:
    """What a save writes of a table, and what is asked for before."""

    def __init__(
        self, model: type[Model], table: type[Model], vendor: str, names: frozenset[str] | None
    ) -> None:
        self.model, self.table = model, table
        label = concrete_label(table)
        ignored = ignored_fields(model) | ignored_fields(table)
        named = named_fields(table, vendor)
        fields = [
            field for field in table._meta.local_concrete_fields
            if field.column and not field.primary_key and not getattr(field, "generated", False)
            and (names is None or field.name in names or field.attname in names)
        ]  # fmt: skip
        self.written = frozenset(field.attname for field in fields)
        # What is read and compared: the fields whose values are named are the first of it.
        self.namers = tuple(map(Namer, named))
        self.names = tuple(
            dict.fromkeys([*(one.attname for one in named), *(one.attname for one in fields)])
        )
        # The flag, and where its value stands; the first of the row without one.
        self._flag = flag_of(table, vendor)
        self._flag_at = 0 if self._flag is None else named.index(self._flag)
        self.kept = tuple(at for at, name in enumerate(self.names) if name not in self.written)
        # Without those whose changes are on no page: the place, and the tag.
        self.shown = tuple(
            (self.names.index(field.attname), f"{label}:{of_column(field)}")
            for field in fields
            if field.name not in ignored
        )
        # Of which a change may change which rows have a value.
        deciding = deciding_fields(table)
        self.deciding = frozenset(tag for at, tag in self.shown if self.names[at] in deciding)
        # The tracked ones: by the tag of the column, its attribute.
        tracked = tracked_fields(table)
        self.tracked = {tag: self.names[at] for at, tag in self.shown if self.names[at] in tracked}
        # Of those of them that are texts: the place, and the beginnings that they are known by.
        self._texts = {
            f"{label}:{of_column(field)}": (self.names.index(field.attname), lengths)
            for field in fields
            if field.attname in tracked and (lengths := lengths_of(field))
        }
        self.label = label
        self.files = tuple(field.attname for field in fields if _may_be_file(field))
        self.row_tag = f"{label}:{ROWS}"
        generated = [f for f in table._meta.local_concrete_fields if getattr(f, "generated", False)]
        self.generated = tuple(f"{label}:{of_column(field)}" for field in generated)
        # Values that are the database's.
        self.names_generated = any(field in named for field in generated)
        # Reads all of `names` off an instance at once, where that is all that there is to a save.
        plain = len(self.names) > 1 and not (self.kept or self.files or self.names_generated)
        self.take = itemgetter(*self.names) if plain else None

    def changed(self, before: Row, after: Row, files: Sequence[str] = ()) -> list[str]:
        """The tags of the columns that differ, those of these new files among them."""
        found = []
        for at, tag in self.shown:
            old, new = before[at], after[at]
            kind = type(old)
            # As `is_same`: most are so.
            same = old == new if kind is type(new) and kind in _EXACT else is_same(old, new)
            if not same or self.names[at] in files:
                found.append(tag)
        return found

    def shows(self, changed: Sequence[str]) -> bool:
        """Whether a change of these columns is a change of the row to whoever has it."""
        return not self.tracked or not self.tracked.keys() >= set(changed)

    def name_cells(
        self, changed: Sequence[str], key: Any, before: Row, after: Row, into: set[str]
    ) -> None:
        """Adds the tags of the tracked columns in this row, and of the beginnings
        in which they differ."""
        names = [self.tracked[tag] for tag in changed if tag in self.tracked]
        if not names:
            return
        into.update(f"{self.label}:{of_cell(name, key)}" for name in ("", *names))
        for tag in changed:
            at, lengths = self._texts.get(tag, _NO_TEXT)
            for length in that_differ(lengths, before[at], after[at]) if lengths else ():
                name = of_beginning(self.names[at], length)
                into.add(f"{self.label}:{of_cell(name, key)}")

    def name_values(self, before: Row | None, after: Row, into: set[str], decides: bool) -> None:
        """Adds the tags of the values that a row had and has; and, where the change `decides` which
        rows have them, of those."""
        was = now = SET
        if decides and self._flag is not None:
            was = now = members_with(self._flag, after[self._flag_at])
            if before is not None:
                was = members_with(self._flag, before[self._flag_at])
        for at, namer in enumerate(self.namers):
            named = namer(after[at])
            into.update(named)
            decided = decides and not namer.is_of_one
            if decided:
                into.update(namer.members(named, now))
            if before is not None and before[at] != after[at]:
                named = namer(before[at])
                into.update(named)
                if decided:
                    into.update(namer.members(named, was))
            elif decided and was is not now:
                into.update(namer.members(named, was))


@lru_cache(maxsize=4096)
def columns_of(
    model: type[Model], table: type[Model], vendor: str, names: frozenset[str] | None
) -> Columns:
    """Worked out once."""
    return Columns(model, table, vendor, names)


also_forget(columns_of.cache_clear)


def columns_for(
    instance: Model, table: type[Model], connection: Any, update_fields: Any
) -> Columns:
    """Those of the save of an instance."""
    names = frozenset(update_fields) if update_fields else None
    columns = columns_of(type(instance), table, connection.vendor, names)
    held = vars(instance).keys()
    if held >= columns.written:
        return columns
    # What was not loaded is not written.
    return columns_of(type(instance), table, connection.vendor, columns.written & held)


def _may_be_file(field: Any) -> bool:
    known = type(field).__module__.startswith("django.db.models.fields")
    return not known or isinstance(field, models.FileField)


class Written:
    """One table's row of a save: as it was, and as it is."""

    __slots__ = (
        "_files", "_instance", "_unreadable", "after", "before", "changed",
        "columns", "connection", "is_new", "is_unknown", "table",
    )  # fmt: skip

    def __init__(
        self, instance: Model, table: type[Model], connection: Any, columns: Columns
    ) -> None:
        self.table = table
        self._instance = instance
        self.connection = connection
        self.columns = columns
        held = vars(instance)
        self._files = columns.files and [
            name for name in columns.files
            if isinstance(file := held[name], FieldFile) and not getattr(file, "_committed", True)
        ]  # fmt: skip
        self._unreadable = False
        self.before: Row | None = None
        self.after: Row = ()
        # The tags of the columns that differ.
        self.changed: list[str] = []
        self.is_new = False
        # The row was there, and nobody has seen it.
        self.is_unknown = False

    def look(self) -> None:
        """Reads the row as it is."""
        self.before = self._read(self.columns.names)

    @property
    def key(self) -> Any:
        """The row's key, as the database gives it."""
        return key_of(self.columns.model, self._instance.pk)

    @property
    def key_here(self) -> Any:
        """Its key in this table."""
        return key_of(self.table, self._instance._get_pk_val(self.table._meta))

    @property
    def differs(self) -> bool:
        """Whether the row is another one than before."""
        return self.is_new or self.is_unknown or bool(self.changed)

    @property
    def shows(self) -> bool:
        """Whether that is so to whoever has the row, and not only to readers of some columns."""
        return self.differs and (not self.changed or self.columns.shows(self.changed))

    def end(self, updated: bool) -> None:
        """The row has been written: it was there before, or it was not."""
        columns, before = self.columns, self.before
        get = vars(self._instance).get
        # What only the database knows is an expression still, or not there any more (Django 6.0).
        after = [get(name, UNKNOWN) for name in columns.names]
        for at in columns.kept:
            after[at] = None if before is None else before[at]
        if before is not None:
            self.changed = columns.changed(before, tuple(after), self._files)
        self.after = self._known(after)
        self.is_new = not updated
        self.is_unknown = self._unreadable or (updated and before is None)

    def tags(self, comes: bool = False) -> set[str] | None:
        """All that it invalidates beside the row itself; None if that can't be named. `comes`: a
        row comes that extends it, and a model's rows are known by those of the model it extends."""
        columns = self.columns
        if not (self.differs or comes) or not is_narrowed(self.table):
            return set()
        if self.is_unknown or (self.changed and columns.names_generated):
            return None
        found = {*self.changed, *(columns.generated if self.changed else ())}
        if self.is_new:
            found.add(columns.row_tag)
        if columns.tracked and self.changed:
            before: Any = self.before
            columns.name_cells(self.changed, self.key_here, before, self.after, found)
            if not (self.shows or comes):
                return found
        decides = comes or self.is_new or not columns.deciding.isdisjoint(self.changed)
        try:
            columns.name_values(self.before, self.after, found, decides)
        except UnnamedValueError:
            return None
        return found

    def _known(self, after: list[Any]) -> Row:
        """The row as it is; named values that are expressions are asked of the database."""
        for at in range(len(self.columns.namers)):
            value = after[at]
            if type(value) not in _EXACT and hasattr(value, "resolve_expression"):
                return self._read(self.columns.names) or tuple(after)
        return tuple(after)

    def _read(self, names: tuple[str, ...]) -> tuple[Any, ...] | None:
        key = self._instance._get_pk_val(self.table._meta)
        if key is None:
            return None
        try:
            return row_of(self.table, self.connection, key, names)
        except Error:
            raise
        except Exception:
            # A field of the site's own that can't make a value of what stands there. It could be
            # overwritten without us.
            self._unreadable = True
            logger.exception("what %s %s was could not be read", self.table.__name__, key)
        return None


def is_same(old: Any, new: Any) -> bool:
    """Whether a value that is written is the one that the database gives already; in doubt not."""
    kind = type(old)
    if kind is type(new) and kind in _EXACT:
        return bool(old == new)
    if isinstance(new, FieldFile):
        new = new.name or ""
    if isinstance(old, str) and isinstance(new, str):
        return str.__str__(old) == str.__str__(new)
    if type(old) is not type(new):
        return False
    if isinstance(old, (datetime.datetime, datetime.date, decimal.Decimal)):
        return bool(old == new)
    return bool(old == new) and repr(old) == repr(new)
