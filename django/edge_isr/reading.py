"""Which parts of its tables a statement depends on, by the columns that stand in it.

Whose rows are instances on the page, each with a tag of its own, depends beside them only on which
rows they are and in which order: on the columns by which they are found and ordered, and not on
those that the statement brings along. So what it brings along is taken out of its text, and where
no row is cut off, its order as well.

Columns are invalidated for any row. Together with a condition (`narrowing`) the tag of its members
stands for those by which a model's rows are usually found (`conditions.deciding_fields`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

from django.db.models import Model

from . import statements
from .conditions import (
    ROWS,
    deciding_fields,
    is_narrowed,
    of_column,
    of_members,
)
from .narrowing import Narrowed, shown_columns
from .registry import also_forget, models_of_table
from .statements import Statement
from .tracked import tracked_fields

# A query that reads more columns of a table than that depends on all of it.
MAX_COLUMNS = 8
_ORDER = " ORDER BY "
# What a result is ordered by, named by its place.
_PLACE = re.compile(r"(?:\A|,)\s*(\d+)\b")
_GROUP = re.compile(
    r' group by ((?:[`"][^`"]+[`"]\.[`"][^`"]+[`"])(?:, [`"][^`"]+[`"]\.[`"][^`"]+[`"])*)(?= |\Z)'
)


@dataclass(frozen=True)
class Texts:
    """A statement as it reads columns: all of it; without those of the instances that it brings;
    the same without its order, where all rows that are found are brought."""

    whole: Statement
    deciding: Statement
    finding: Statement


def texts_of(sql: str, compiler: Any) -> Texts:
    """`compiler` has made the statement for instances; None if it brings none."""
    whole = statements.read(sql)
    if compiler is None or compiler.query.distinct_fields or _orders_by_shown(sql, compiler):
        return Texts(whole, whole, whole)
    decides = _without_keys_of_groups(_without_shown(sql, compiler), compiler)
    finds = decides if cuts_off(compiler.query) else _without_order(decides)
    return Texts(whole, statements.read(decides), statements.read(finds))


def cuts_off(query: Any) -> bool:
    """Whether rows that meet its conditions may be left out of its result."""
    return bool(query.is_sliced or query.distinct_fields or query.combinator)


def _orders_by_shown(sql: str, compiler: Any) -> bool:
    """Whether a column that it brings along is what it is ordered by, named by its place alone."""
    places = {at + 1 for at, _ in shown_columns(compiler)}
    ordered = sql.rpartition(_ORDER)[2]
    return any(int(place) in places for place in _PLACE.findall(ordered))


def _without_shown(sql: str, compiler: Any) -> str:
    places = sorted(at for at, _ in shown_columns(compiler))
    # Runs of neighbours: what stands between them is kept.
    for _, run in groupby(enumerate(places), lambda one: one[1] - one[0]):
        columns = [compiler.select[at] for _, at in run]
        if any(alias for _, _, alias in columns):
            continue
        text = ", ".join(column[1][0] for column in columns)
        sql = sql.replace(text, "NULL", 1)
    return sql


def _without_keys_of_groups(sql: str, compiler: Any) -> str:
    """Rows that are grouped by their key, and by what else each has, are groups of themselves."""
    pk, base = compiler.query.get_meta().pk, next(iter(compiler.query.alias_map), None)
    lower = sql.casefold()
    found = _GROUP.search(lower)
    if found is None or base is None or pk.column is None or len(sql) != len(lower):
        return sql
    quote = compiler.connection.ops.quote_name
    key = f"{quote(base)}.{quote(pk.column)}".casefold()
    return sql[: found.start()] + sql[found.end() :] if key in found[1].split(", ") else sql


def _without_order(sql: str) -> str:
    before, order, after = sql.rpartition(_ORDER)
    # That of a subquery ends within its parenthesis.
    return before if order and after.count("(") == after.count(")") else sql


def parts(
    one: Narrowed | None, columns: frozenset[str] | None, table: str, cut: bool
) -> frozenset[str] | None:
    """The parts of a table that a query depends on, by its condition and by its columns; None for
    all of it. `cut`: its rows are instances on the page, and it may leave some of them out."""
    named = None if one is None else one.parts
    if one is None or named is None:
        return columns
    if columns is None or not one.has_members:
        return named
    model = _model_of(table)
    deciding = deciding_fields(model) if model is not None else ()
    others = frozenset(
        part for part in columns if part != ROWS and part.removeprefix(ROWS) not in deciding
    )
    if others and not cut:
        return named
    return others.union(of_members(part, one_of) for part in named for one_of in one.behind)


def parts_of_columns(
    statement: Statement, table: str, aliases: dict[str, set[str]]
) -> frozenset[str] | None:
    """The columns of a table that a statement reads, as parts of its model; None for all of them.

    `aliases` are all that stand in the statement, each with the tables that it may mean.
    """
    columns = _columns(table)
    if columns is None:
        return None
    if statement.unqualified & (columns.keys() | aliases.keys()):
        return None
    found = {ROWS}
    for alias, column in statement.columns:
        if table in aliases.get(alias, ()):
            part = columns.get(column)
            if part is None:
                return None
            found.add(part)
    of_all = len(set(columns.values()) | {ROWS})
    return None if len(found) > MAX_COLUMNS or len(found) == of_all else frozenset(found)


@lru_cache(maxsize=1024)
def _model_of(table: str) -> type[Model] | None:
    models = models_of_table(table)
    return models[0] if len(models) == 1 else None


def _columns(table: str) -> dict[str, str] | None:
    model = _model_of(table)
    if model is None or not is_narrowed(model):
        return None
    return _parts_by_column(model)


@lru_cache(maxsize=1024)
def _parts_by_column(model: type[Model]) -> dict[str, str]:
    # A row never gets another key: it goes, and another one comes.
    return {
        field.column.casefold(): ROWS if field.primary_key else of_column(field)
        for field in model._meta.local_concrete_fields
        if field.column
    }


def tracked_parts(statement: Statement, tables: set[str]) -> dict[str, frozenset[str]]:
    """The tracked columns that stand in a statement, wherever; by the table."""
    found: dict[str, frozenset[str]] = {}
    for table in tables:
        named = _tracked(table)
        read = frozenset(part for column, part in named.items() if column in statement.words)
        if read:
            found[table] = read
    return found


@lru_cache(maxsize=1024)
def _tracked(table: str) -> dict[str, str]:
    model = _model_of(table)
    if model is None:
        return {}
    fields = model._meta.local_concrete_fields
    names = tracked_fields(model)
    return {field.column.casefold(): of_column(field) for field in fields if field.attname in names}


also_forget(_tracked.cache_clear)
