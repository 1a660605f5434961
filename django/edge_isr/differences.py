"""What of its model a write changes: the values that rows had and have, and the columns.

A change of a row concerns the pages of each value that it had before or has after, in any of the
fields whose values are named (`conditions`), and the pages that read a column which differs. Values
that only the database knows are read from it; where that would be too many, or nobody can know,
every page with anything of the model is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections
from django.db.models import Model

from .beginnings import MAX_ROWS, OF_SOME, lengths_of, of_beginning
from .conditions import (
    ROWS,
    SET,
    UNSET,
    UnnamedValueError,
    deciding_fields,
    fields_of_rows,
    flag_of,
    has_members,
    is_narrowed,
    labels_that_change,
    members_with,
    of_column,
    of_members,
    parts_of_value,
    tables_of,
)
from .invalidation import Invalidation
from .registry import ignored_fields, is_automatic, of_every, other_keys
from .rows import locked, unseen
from .tags import MAX_NAMED_PARTS, concrete_label, of_cell
from .tracked import tracked_fields
from .written import UNKNOWN, Written

CHUNK = 200


class Parts:
    """The parts of a model that a statement changes."""

    def __init__(self, model: type[Model], using: str) -> None:
        self._model = model
        self._using = using
        vendor = connections[using].vendor
        self._fields = fields_of_rows(model, vendor)
        # Where in a row the flag of each of its tables stands, by the table's label.
        self._flags = {
            label: (at, field)
            for at, (label, field) in enumerate(self._fields)
            if field is flag_of(field.model, vendor)
        }
        # What of them is known of the rows that were seen.
        self._behind: dict[str, set[str]] = {}
        self._found: dict[str, None] = {}
        # Whether parts change that can't be named.
        self._every = False
        # Whether it may change which rows have a value, whether it may set flags or take them back,
        # and whether it changes the rows to whoever has them.
        self._decides = True
        self._turns = False
        self.shows = True

    @property
    def names(self) -> tuple[str, ...]:
        """The fields whose values are asked for."""
        return tuple(field.attname for _, field in self._fields)

    def labels_of(self, names: Iterable[str] | None) -> tuple[str, ...] | None:
        """The labels that change with these fields; None for all."""
        fields = [self._field(name) for name in names or ()]
        if not fields or None in fields or any(field.primary_key for field in fields):
            return None
        tables = tuple(dict.fromkeys(field.model for field in fields))
        return labels_that_change(self._model, tables)

    def begin_update(self, names: Iterable[str]) -> None:
        """Rows are given values in these fields alone."""
        fields = [self._field(name) for name in names]
        if None in fields:
            return
        ignored = ignored_fields(self._model)
        shown = [field for field in fields if field.name not in ignored]
        tables = {field.model._meta.concrete_model for field in fields}
        deciding = frozenset[str]().union(*map(deciding_fields, tables))
        tracked = frozenset[str]().union(*map(tracked_fields, tables))
        self._decides = any(
            field.primary_key or field.attname in deciding or getattr(field, "generated", False)
            for field in shown
        )  # fmt: skip
        self._turns = any(flag in shown for _, flag in self._flags.values())
        self.shows = not shown or any(field.attname not in tracked for field in shown)

    def of_every(self) -> None:
        """Whatever there is of the model."""
        self._every = is_automatic(self._model)

    def of_rows(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows as they were or are: the values of `names`."""
        for values in rows if self.shows else ():
            self._row(values)

    def of_instances(self, instances: Iterable[Model]) -> None:
        """The same of instances that hold what stands in the database."""
        for one in instances:
            # Of what was not loaded nobody knows what it was.
            self._row([vars(one).get(field.attname, UNKNOWN) for _, field in self._fields])

    def of_keys(self, keys: Sequence[Any]) -> None:
        """The same of the rows with these keys, asked of the database."""
        if not self._fields or self._every or not self.shows:
            return
        if len(keys) > MAX_NAMED_PARTS:
            self.of_every()
            return
        with unseen():
            for start in range(0, len(keys), CHUNK):
                rows = locked(self._model, self._using)
                part = rows.filter(pk__in=list(keys[start : start + CHUNK]))
                self.of_rows(part.order_by().values_list(*self.names))

    def of_coming_and_going(self, tables: Iterable[type[Model]] | None = None) -> None:
        """Rows come, or go."""
        for table in tables_of(self._model) if tables is None else tables:
            if is_narrowed(table):
                self._add(f"{concrete_label(table)}:{ROWS}")

    def of_update(self, values: Mapping[str, Any], keys: Sequence[Any]) -> None:
        """Rows with these keys have been given these values, by the names of their fields."""
        ignored = ignored_fields(self._model)
        values = {name: value for name, value in values.items() if name not in ignored}
        fields = [self._field(name) for name in values]
        if None in fields:
            self.of_every()
            return
        again = False
        for field, value in zip(fields, values.values(), strict=True):
            label = self._column(field)
            if field.attname in tracked_fields(field.model._meta.concrete_model):
                self._cells(label, field, keys)
            if field not in (one for _, one in self._fields):
                continue
            if isinstance(value, Model):
                value = getattr(value, field.target_field.attname)
            if hasattr(value, "resolve_expression"):
                again = True
            else:
                self._value(label, field, value, self._behind)
        self._generated(field.model for field in fields)
        if again:
            self.of_keys(keys)

    def of_column(self, field: Any) -> None:
        """This column, in whatever rows."""
        self._column(field)

    def of_table(self, written: Written, comes: bool) -> None:
        """What a save has changed in one table; `comes`: of a row that was not there in another."""
        tags = written.tags(comes)
        if tags is None:
            self.of_every()
            return
        for tag in tags:
            self._add(tag)

    def invalidation(self) -> Invalidation:
        """All of it."""
        if self._every:
            return of_every(self._model)
        return Invalidation(tags=set(self._found))

    def _field(self, name: str) -> Any:
        meta = self._model._meta
        try:
            field = meta.pk if name == "pk" else meta.get_field(name)
        except FieldDoesNotExist:
            return None
        return field if getattr(field, "column", None) else None

    def _column(self, field: Any) -> str:
        label = concrete_label(field.model)
        if is_narrowed(field.model._meta.concrete_model):
            self._add(f"{label}:{ROWS if field.primary_key else of_column(field)}")
        return label

    def _cells(self, label: str, field: Any, keys: Sequence[Any]) -> None:
        if label in other_keys(self._model):
            # The keys are those of the rows that extend these.
            self.of_every()
            return
        names = [of_beginning(field.attname, length) for length in lengths_of(field)]
        if names and len(keys) > MAX_ROWS:
            self._add(f"{label}:{OF_SOME}")
            names = []
        for key in keys:
            for name in ("", field.attname, *names):
                self._add(f"{label}:{of_cell(name, key)}")

    def _generated(self, tables: Iterable[type[Model]]) -> None:
        for table in set(tables):
            for field in table._meta.local_concrete_fields:
                if getattr(field, "generated", False):
                    self._column(field)
                    # Its value is the database's.
                    self._every = self._every or field in (one for _, one in self._fields)

    def _row(self, values: Sequence[Any]) -> None:
        behind: dict[str, set[str]] = {}
        try:
            for label, (at, flag) in self._flags.items() if not self._turns else ():
                behind[label] = {members_with(flag, values[at])}
                self._behind.setdefault(label, set()).update(behind[label])
        except UnnamedValueError:
            self.of_every()
        for (label, field), value in zip(self._fields, values, strict=True):
            self._value(label, field, value, behind)

    def _value(self, label: str, field: Any, value: Any, flags: Mapping[str, set[str]]) -> None:
        """`flags`: what is known of those of the rows."""
        behind = flags.get(label) or ({SET, UNSET} if label in self._flags else {SET})
        try:
            for part in parts_of_value(field, value):
                self._add(f"{label}:{part}")
                if self._decides and has_members(field, part):
                    for one in behind:
                        self._add(f"{label}:{of_members(part, one)}")
        except UnnamedValueError:
            self.of_every()

    def _add(self, tag: str) -> None:
        self._found[tag] = None
        if len(self._found) > MAX_NAMED_PARTS:
            self.of_every()
