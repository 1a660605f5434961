"""Which parts of its tables a query depends on, where it is not all of them.

A query whose rows must have a value (`category_id = 7`, at the top level of its conditions, joined
by AND) depends on the rows that have it, before or after a change, and on no others: whatever else
it asks of them only narrows it further. Of several such conditions the one counts that finds the
fewest rows. A query that reads only some columns of a table, without such a condition, depends on
those columns and on which rows there are.

Whatever else stands in a query (OR, NOT, ranges, expressions, look-ups of the site's own) does not
narrow it, and leaves the table as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from django.db.models import BooleanField, Model, SlugField
from django.db.models.expressions import Col
from django.db.models.sql.where import AND

from .conditions import (
    ANY,
    ROWS,
    SET,
    UNSET,
    UnnamedValueError,
    flag_of,
    is_comparable,
    named_fields,
    of_children,
    of_descendants,
    of_value,
    tree_step,
)

# Of more values than that, a condition does not narrow.
MAX_VALUES = 50
INNER = "INNER JOIN"
_DJANGOS = ("django.db.models.lookups", "django.db.models.fields")


@dataclass(frozen=True)
class Narrowed:
    """What the conditions say of the rows of one alias."""

    # The primary keys that can be found.
    keys: list[Any] | None = None
    # The parts of its model that the rows are in.
    parts: frozenset[str] | None = None
    # Whether at most one row is found.
    unique: bool = False
    # Whether which rows are in these parts is named by itself, and by what: by whether the rows
    # must have their flag set, or must not.
    has_members: bool = True
    behind: tuple[str, ...] = (SET,)
    # The field and its values, of a condition that is of these.
    condition: tuple[Any, tuple[Any, ...]] | None = None


def lookups(query: Any) -> Iterator[Any]:
    """The conditions that every row must meet; those that are joined otherwise as one node."""
    nodes = [query.where]
    while nodes:
        node = nodes.pop()
        for child in node.children:
            if hasattr(child, "children") and child.connector == AND and not child.negated:
                nodes.append(child)
            else:
                yield child


def narrowed(query: Any, vendor: str) -> dict[str, Narrowed]:
    """What is known of the rows that a query can find, by alias."""
    if query.combinator or query.where.negated or query.where.connector != AND:
        return {}
    found: dict[str, tuple[float, Narrowed]] = {}
    conditions = list(lookups(query))
    depths, flags = _depths(conditions), _flags(conditions, vendor)
    for lookup in conditions:
        column: Any = getattr(lookup, "lhs", None)
        join = query.alias_map.get(column.alias) if isinstance(column, Col) else None
        if join is None or not type(lookup).__module__.startswith(_DJANGOS):
            continue
        ranked = _of_lookup(lookup, column.target, join, vendor)
        ranked = ranked or _of_path(lookup, column.target, depths.get(column.alias), vendor)
        if ranked is not None and ranked[0] < found.get(column.alias, (99.0, None))[0]:
            behind = flags.get(column.alias) or _behind(column.target.model, vendor)
            found[column.alias] = ranked[0], replace(ranked[1], behind=behind)
    return {alias: one for alias, (_, one) in found.items()}


def _behind(model: type[Model], vendor: str) -> tuple[str, ...]:
    return (SET,) if flag_of(model, vendor) is None else (SET, UNSET)


def _flags(conditions: list[Any], vendor: str) -> dict[str, tuple[str, ...]]:
    """Which of its rows each alias can find, where that is said by their model's flag."""
    return {
        lookup.lhs.alias: (SET if lookup.rhs else UNSET,)
        for lookup in conditions
        if isinstance(getattr(lookup, "lhs", None), Col)
        and type(lookup).__module__.startswith(_DJANGOS)
        and lookup.lookup_name == "exact"
        and isinstance(lookup.rhs, bool)
        and lookup.lhs.target == flag_of(lookup.lhs.target.model, vendor)
    }


def _depths(conditions: list[Any]) -> dict[str, Any]:
    """How deep in a tree the rows of each alias are, where that is said."""
    return {
        lookup.lhs.alias: lookup.rhs
        for lookup in conditions
        if isinstance(getattr(lookup, "lhs", None), Col)
        and lookup.lhs.target.name == "depth"
        and lookup.lookup_name == "exact"
    }


def _of_path(lookup: Any, field: Any, depth: Any, vendor: str) -> tuple[float, Narrowed] | None:
    """Rows below one of a tree."""
    step = tree_step(field)
    named = named_fields(field.model, vendor)
    if step is None or field not in named or lookup.lookup_name not in ("startswith", "range"):
        return None
    values = lookup.rhs if lookup.lookup_name == "range" else [lookup.rhs]
    if not isinstance(values, (list, tuple)) or not all(type(value) is str for value in values):
        return None
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*values, strict=False))
    above = "".join(letters[0] for letters in same)
    above = above[: len(above) // step * step]
    if not above:
        return None
    if depth == len(above) // step + 1:
        fewer = [one for one in named if one.unique or isinstance(one, SlugField)]
        return len(fewer) - 0.5, Narrowed(parts=frozenset({of_children(field, above)}))
    # Few rows or many: what else is asked for finds fewer, but for what only has a few values.
    few = [one for one in named if _is_weak(one)]
    return len(named) - len(few) - 0.5, Narrowed(parts=frozenset({of_descendants(field, above)}))


def _of_lookup(lookup: Any, field: Any, join: Any, vendor: str) -> tuple[float, Narrowed] | None:
    values = _values(lookup, join)
    if values is None or field.model._meta.db_table != join.table_name:
        return None
    unique = lookup.lookup_name == "exact"
    if field.primary_key:
        # A text that the database finds equal to others names no row.
        is_text = isinstance(values[0], str) if values else False
        if is_text and not is_comparable(field, vendor):
            return None
        return -1, Narrowed(keys=values, unique=unique)
    named = named_fields(field.model, vendor)
    unique = unique and field.unique and values != [None]
    if field not in named or len(values) > MAX_VALUES:
        return (len(named) + 1, Narrowed(unique=True)) if unique else None
    try:
        parts = frozenset(of_value(field, value) for value in values)
    except UnnamedValueError:
        return None
    at: float = named.index(field)
    if _is_weak(field) and field.has_default() and field.default not in values:
        # Rows get it when they are finished, and are written until then.
        at = next(place for place, one in enumerate(named) if _is_weak(one)) - 0.25
    condition = field, tuple(values)
    has_members = not field.unique
    return at, Narrowed(parts=parts, unique=unique, has_members=has_members, condition=condition)


def _is_weak(field: Any) -> bool:
    """Whether it has a few values, each of which many rows may have."""
    return isinstance(field, BooleanField) or bool(field.choices)


def _values(lookup: Any, join: Any) -> list[Any] | None:
    """What a column is compared with, if it is plain values."""
    if lookup.lookup_name == "isnull":
        # A row that an outer join has not found has nulls as well.
        inner = join.join_type in (None, INNER)
        return [None] if lookup.rhs is True and inner else None
    if hasattr(lookup.rhs, "as_sql") or getattr(lookup, "bilateral_transforms", None):
        return None
    if lookup.lookup_name == "exact":
        return [lookup.rhs]
    if lookup.lookup_name != "in":
        return None
    values = list(lookup.rhs)
    if any(hasattr(value, "as_sql") for value in values):
        return None
    return [value for value in values if value is not None]


def follows_rows(
    query: Any, base: str, before: set[str], extending: set[str]
) -> frozenset[str] | None:
    """The parts of the base table that a query depends on, where the rows of other tables alone
    decide which of its rows are found: of a many-to-many relation those that connect, of a model
    that extends another one those of its parent. Each of the rows is then shown, and no other row
    can come in by a change of its own. None where that is not so.

    `before`: the aliases before it was compiled, which adds those that it is ordered by and those
    of `select_related`. `extending`: as `known_by_parents` says."""
    if not _shows_all(query, grouped=True):
        return None
    used = before - {base}
    joins = [query.alias_map[alias] for alias in used if alias in query.alias_map]
    if not joins or any(_is_loose(join, base) for join in joins):
        return None
    for lookup in lookups(query):
        column: Any = getattr(lookup, "lhs", None)
        plain = isinstance(column, Col) and not hasattr(lookup.rhs, "as_sql")
        if not plain or column.alias not in used:
            return None
    if not query.where.children:
        return None
    # The parent's row may be there before it is extended.
    if not any(_is_parent(join.join_field) for join in joins):
        return frozenset()
    return frozenset({ANY if base in extending else ROWS})


def _shows_all(query: Any, grouped: bool = False) -> bool:
    """Whether each row that meets the conditions is in the result by itself; `grouped`: with what
    is worked out of the rows that are joined to it."""
    if (
        query.is_sliced or query.distinct_fields or query.extra_tables or query.combinator
        or query.where.connector != AND or query.where.negated
    ):  # fmt: skip
        return False
    if grouped and not query.extra:
        return True
    if query.group_by is not None:
        return False
    named = (*query.extra, *query.annotations)
    return all(name.startswith("_prefetch_related_val") for name in named)


def known_by_children(query: Any, base: str) -> set[str]:
    """The aliases of the tables that a model extends, where its own rows decide which of theirs are
    found: each of them is then shown, as a part of its row."""
    if not _shows_all(query):
        return set()
    found: set[str] = set()
    for alias, join in query.alias_map.items():
        field: Any = getattr(join, "join_field", None)
        if getattr(join, "parent_alias", None) in (base, *found) and (
            _is_parent(field) and field.primary_key and not join.filtered_relation
        ):
            found.add(alias)
    for lookup in lookups(query):
        column: Any = getattr(lookup, "lhs", None)
        if not isinstance(column, Col) or hasattr(lookup.rhs, "as_sql"):
            return set()
        found.discard(column.alias)
    return found


def known_by_parents(query: Any, found: dict[str, Narrowed]) -> set[str]:
    """The aliases of models that extend another one whose rows must have some value: which rows
    there are of theirs is sent with the value of the other's."""
    return {
        str(join.parent_alias)
        for alias, join in query.alias_map.items()
        if alias in found
        and found[alias].parts is not None
        and join.join_type == INNER
        and not join.filtered_relation
        and getattr(join.join_field, "concrete", False)
        and _is_parent(join.join_field)
        and join.join_field.primary_key
    }


def _is_parent(field: Any) -> bool:
    return bool(getattr(getattr(field, "remote_field", None), "parent_link", False))


def _is_loose(join: Any, base: str) -> bool:
    """Whether a join is more than one to rows that point at the key of the base."""
    if join.join_type != INNER or join.parent_alias != base or join.filtered_relation:
        return True
    field = join.join_field
    if getattr(field, "concrete", False):
        return not (_is_parent(field) and field.primary_key)
    columns = list(join.join_cols)
    meta = getattr(field, "model", None)
    return len(columns) != 1 or meta is None or columns[0][0] != meta._meta.pk.column


def shown_columns(compiler: Any) -> list[tuple[int, str]]:
    """The columns that a query brings along for instances, its own and those of `select_related`:
    where each stands in the result, and its alias."""
    found: list[tuple[int, str]] = []
    waiting = [compiler.klass_info] if compiler.klass_info else []
    while waiting:
        info = waiting.pop()
        waiting += info.get("related_klass_infos", ())
        for at in info["select_fields"]:
            column = compiler.select[at][0]
            if isinstance(column, Col):
                found.append((at, column.alias))
    return found


def shown(compiler: Any) -> set[str]:
    """The aliases whose rows a query brings along as instances (`select_related`)."""
    return {alias for _, alias in shown_columns(compiler)}


def orders_by_relation(query: Any) -> bool:
    """Whether the order depends on other tables, which are joined only when it is compiled."""
    named = (
        query.extra_order_by
        or query.order_by
        or (query.get_meta().ordering if query.default_ordering else ())
    )
    for item in named:
        if not isinstance(item, str):
            return True
        name = item.lstrip("-+")
        if "__" in name:
            return True
        field = query.get_meta()._forward_fields_map.get(name)
        # Ordering by a relation means ordering by what the other model is ordered by.
        if field is not None and field.is_relation and name != field.attname:
            return True
    return False


def points_forward(join: Any) -> bool:
    """Whether a row alone decides which one is joined to it."""
    return bool(getattr(getattr(join, "join_field", None), "concrete", False))
