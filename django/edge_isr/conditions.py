"""The parts of a model that tags can name beside its rows: values of a field, and columns.

`blog.entry:category=7` are the rows that have this value, before or after a change,
`home.page:path>0001` those right below a row of a tree, `path>>0001` with all below, and
`blog.entry:@title` is this column in any row; `blog.entry:@` is whether a row is there at all.
`blog.entry:category=7@` is which rows have the value, and in which order: rows that come or go, and
changes of the columns by which a model's rows are usually found and ordered. Of a model with a flag
(its first boolean) these are the rows for which it is set, and `category=7@-` the others, so that a
draft does not invalidate who asks for what is published. `blog.entry:@views=42` is a tracked column
in one row.
What a page is tagged with (`narrowing`) and what a write sends (`changes`) are both said here, by
the same functions, so that they can't differ.

A value is named only where equality in the database is equality in Python: numbers, booleans,
UUIDs, and texts in databases that compare them byte by byte. Floats, decimals, times, texts with a
collation of their own, fields of the site's own kinds and tables that several models share are
known by the table.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Field, Model

from .finding import decides, rank_of
from .registry import also_forget, ignored_fields, is_automatic, labels_by_table
from .tags import concrete_label
from .tracked import tracked_fields

# Whether a row is there at all.
ROWS = "@"
# Nothing of a model but what is sent when its rows are not known.
ANY = "*"
# Which rows have a value: those that have their model's flag set, or all of a model that has none;
# those that have it not.
SET = ROWS
UNSET = f"{ROWS}-"
# Of one table; each costs a tag for the row as it was and one for the row as it is.
MAX_FIELDS = 12
MAX_VALUE_CHARS = 120
_NUMBERS = frozenset({
    models.AutoField, models.BigAutoField, models.BigIntegerField, models.BooleanField,
    models.IntegerField, models.PositiveBigIntegerField, models.PositiveIntegerField,
    models.PositiveSmallIntegerField, models.SmallAutoField, models.SmallIntegerField,
    models.UUIDField,
})  # fmt: skip
_TEXTS = frozenset({models.CharField, models.EmailField, models.SlugField})
# Texts that are their own percent-encoding.
_PLAIN = re.compile(rf"[A-Za-z0-9_.~-]{{0,{MAX_VALUE_CHARS}}}")
# Databases that compare texts byte by byte, unless a column says otherwise.
_BYTEWISE = frozenset({"postgresql", "sqlite"})


class UnnamedValueError(ValueError):
    """A value that is known to the database alone, such as that of an expression."""


@cache
def is_narrowed(model: type[Model]) -> bool:
    """Whether parts of its table are named at all: a table of one model that Django made."""
    meta = model._meta
    labels = labels_by_table().get(meta.db_table.casefold(), ())
    return is_automatic(model) and meta.managed and not meta.proxy and len(labels) == 1


@cache
def named_fields(model: type[Model], vendor: str) -> tuple[Any, ...]:
    """The fields of a model's own table whose values are named, those that find fewest rows first:
    unique ones, slugs, foreign keys, what is indexed, choices, booleans."""
    if not is_narrowed(model):
        return ()
    ranked = [
        (rank, at, field)
        for at, field in enumerate(model._meta.local_concrete_fields)
        if not field.primary_key
        # Changes of these alone are not sent.
        and field.name not in ignored_fields(model)
        and is_comparable(field, vendor)
        and (rank := rank_of(model, field)) is not None
    ]
    return tuple(field for _, _, field in sorted(ranked, key=lambda one: one[:2])[:MAX_FIELDS])


@cache
def is_comparable(field: Any, vendor: str) -> bool:
    """Whether the database finds the same values equal as Python does."""
    if isinstance(field, models.ForeignKey):
        kept = type(field).get_prep_value is models.ForeignKey.get_prep_value
        return kept and is_comparable(field.target_field, vendor)
    if type(field) in _NUMBERS:
        return True
    plain = type(field) in _TEXTS and not getattr(field, "db_collation", None)
    return plain and vendor in _BYTEWISE


@cache
def deciding_fields(model: type[Model]) -> frozenset[str]:
    """The columns of a model's own table, by their attributes, of which a change may change which
    rows have a value, or their order: all that are no texts, what is indexed, a slug, a choice, or
    ordered by. What changes with each save is left out: `auto_now`, and what is tracked.
    """
    return frozenset(
        field.attname
        for field in model._meta.local_concrete_fields
        if not field.primary_key
        and not getattr(field, "generated", False)
        and field.attname not in tracked_fields(model)
        and decides(model, field)
    )


@cache
def flag_of(model: type[Model], vendor: str) -> Any:
    """The boolean of a model's own table that most of its queries are expected to ask for, whether
    a row is live or active: the first; None if it has none."""
    named = named_fields(model, vendor)
    for field in model._meta.local_concrete_fields:
        if type(field) is models.BooleanField and not field.null and field in named:
            return field
    return None


def members_with(flag: Any, value: Any) -> str:
    """What stands behind a value of rows with this value in their flag; what is not known to be one
    raises UnnamedValueError."""
    if value is True or flag is None:
        return SET
    if value is False:
        return UNSET
    try:
        return SET if flag.to_python(value) else UNSET
    except ValidationError as error:
        raise UnnamedValueError(str(error)) from error


def has_members(field: Any, part: str) -> bool:
    """Whether which rows have a value is named by itself: not of a value that one row has."""
    return not (field.unique and part.startswith(f"{field.name}="))


def of_members(part: str, behind: str) -> str:
    """Which rows have a value, as the part of a tag, from that of the rows that have it: those that
    have their flag set, or those that have not."""
    return f"{part}{behind}"


def of_value(field: Any, value: Any) -> str:
    """The rows that have a value in a field, as the part of a tag behind the model's name."""
    return f"{field.name}={_text(field, value)}"


def parts_of_value(field: Any, value: Any) -> tuple[str, ...]:
    """All names that a row with this value in a field is invalidated by."""
    part = of_value(field, value)
    step = tree_step(field)
    if step is None or not value:
        return (part,)
    ends = range(step, len(value) + 1, step)
    above = tuple(of_descendants(field, value[:end]) for end in ends)
    return (part, of_children(field, value[:-step]), *above)


class Namer:
    """The tags of one field's values, made fast: each save asks for those of a row."""

    __slots__ = (
        "_field", "_is_number", "_is_text", "_label", "_prefix", "attname", "is_of_one",
    )  # fmt: skip

    def __init__(self, field: Any) -> None:
        self.attname: str = field.attname
        self._label = concrete_label(field.model)
        self._field = field
        self._prefix = f"{self._label}:{field.name}="
        plain = field
        while plain.remote_field is not None:
            plain = plain.target_field
        is_plain = tree_step(field) is None
        self._is_text = is_plain and type(plain) in _TEXTS
        self._is_number = is_plain and isinstance(plain, models.IntegerField)
        # As `has_members`: none of what it names has members of its own.
        self.is_of_one = is_plain and field.unique

    def __call__(self, value: Any) -> Sequence[str]:
        """All names that a row with this value in the field is invalidated by."""
        kind = type(value)
        if kind is str:
            if self._is_text and _PLAIN.fullmatch(value):
                return (self._prefix + value,)
        elif kind is int and self._is_number:
            return (f"{self._prefix}{value}",)
        return [f"{self._label}:{part}" for part in parts_of_value(self._field, value)]

    def members(self, named: Iterable[str], behind: str) -> list[str]:
        """Of which rows have the values that were named."""
        if not self._field.unique:
            return [tag + behind for tag in named]
        return [tag + behind for tag in named if not tag.startswith(self._prefix)]


@cache
def tree_step(field: Any) -> int | None:
    """Of the path of a tree in which a row's path begins with that of the row above (treebeard,
    Wagtail): how long a step of it is."""
    model = field.model
    if field.name != "path" or not any(
        base.__name__ == "MP_Node" and base.__module__.startswith("treebeard.")
        for base in model.__mro__
    ):
        return None
    # Where case does not count, only one case may be used.
    return int(model.steplen) if model.alphabet == model.alphabet.upper() else None


def of_descendants(field: Any, path: str) -> str:
    """A row of a tree and all rows below it, as the part of a tag behind the model's name."""
    return f"{field.name}>>{quote(path, safe='')}"


def of_children(field: Any, path: str) -> str:
    """The rows of a tree right below one."""
    return f"{field.name}>{quote(path, safe='')}"


def of_column(field: Field[Any, Any]) -> str:
    """A column, as the part of a tag behind the model's name."""
    return f"{ROWS}{field.attname}"


def _text(field: Any, value: Any) -> str:
    if value is None:
        return "null"
    if hasattr(value, "resolve_expression"):
        raise UnnamedValueError(f"{field} is an expression")
    while field.remote_field is not None:
        field = field.target_field
    try:
        plain = field.to_python(field.get_prep_value(value))
    except (TypeError, ValueError, OverflowError, ValidationError) as error:
        raise UnnamedValueError(str(error)) from error
    # The text of a member of an enumeration is its value, whatever it calls itself.
    text = str.__str__(plain) if isinstance(plain, str) else str(plain)
    name = quote(text, safe="", errors="surrogatepass")
    if len(name) > MAX_VALUE_CHARS:
        name = "~" + hashlib.sha256(name.encode()).hexdigest()[:40]
    return name


@cache
def tables_of(model: type[Model]) -> tuple[type[Model], ...]:
    """The models whose tables a row of the model is in: its own, and those that it extends."""
    concrete = model._meta.concrete_model
    parents = [parent for parent in concrete._meta.get_parent_list() if not parent._meta.proxy]
    return tuple(dict.fromkeys([concrete, *parents]))


@cache
def labels_that_change(model: type[Model], changed: tuple[type[Model], ...]) -> tuple[str, ...]:
    """The labels of a model's tables, but for those that it extends and whose rows, with the rows
    that those extend, are as they were."""
    tables = [one._meta.concrete_model for one in changed]
    return tuple(
        concrete_label(table)
        for table in tables_of(model)
        if any(issubclass(table, one) for one in tables)
    )


@cache
def fields_of_rows(model: type[Model], vendor: str) -> tuple[tuple[str, Any], ...]:
    """The fields by whose values a row of the model is invalidated, each with its table's label."""
    return tuple(
        (concrete_label(table), field)
        for table in tables_of(model)
        for field in named_fields(table, vendor)
    )


also_forget(is_narrowed.cache_clear)
also_forget(named_fields.cache_clear)
also_forget(fields_of_rows.cache_clear)
also_forget(deciding_fields.cache_clear)
also_forget(flag_of.cache_clear)
