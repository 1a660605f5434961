"""Automatic tags: what a page loads while it renders, it depends on.

An instance tags the page with `app.model:pk`, a query with `app.model` of every table that its
result depends on: the one it lists, those it joins, filters and orders by, and those of subqueries.
So `values()`, `count()` and `exists()` tag as well as lists do. Two kinds of queries are known to
depend on their rows alone and tag only those: a look-up by primary key (whether it finds a row or
not), and one by a unique field that found its row. The tables that `select_related` joins to fetch
what a row points at are known by the instances that came of it.

Limits: SQL that goes round the ORM (`connection.cursor()`) is not seen, and instances that were
loaded before the view began are not, unless their queryset is iterated again. `add_tags` names
those. What a signal's or middleware's code loads inside a page counts for the page.

The hooks cost a look at a context variable per query, and nothing per row, while no page records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.expressions import Col
from django.db.models.query import ModelIterable, RawModelIterable, RawQuerySet
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.where import AND

from .context import Recorder, automatic
from .patching import replace_method
from .registry import is_automatic, labels_and_key, labels_by_table, labels_of

Labels = tuple[str, ...]


def install() -> None:
    """Puts the hooks in place; again has no effect."""
    replace_method(QuerySet, "_fetch_all", _fetch_all)
    replace_method(ModelIterable, "__iter__", _iterate)
    replace_method(RawModelIterable, "__iter__", _iterate_raw)
    replace_method(RawQuerySet, "_fetch_all", _fetch_all_raw)
    replace_method(SQLCompiler, "as_sql", _as_sql)
    replace_method(SQLCompiler, "get_from_clause", _get_from_clause)


def see(recorder: Recorder, model: type[Model], rows: Iterable[Any], related: bool) -> None:
    """Instances of a model were loaded; `related` if they brought along what they point at."""
    labels, key = labels_and_key(model)
    for label in labels:
        recorder.instances.setdefault(label, set()).update(map(key, rows))
    if related:
        visited: set[int] = set()
        for row in rows:
            _see_related(recorder, row, visited)


def _see_related(recorder: Recorder, row: Any, visited: set[int]) -> None:
    for other in row._state.fields_cache.values():
        # A row and what it points at may point at each other.
        if isinstance(other, Model) and id(other) not in visited:
            visited.add(id(other))
            labels, key = labels_and_key(type(other))
            for label in labels:
                recorder.instances.setdefault(label, set()).add(key(other))
            _see_related(recorder, other, visited)


def _fetch_all(original: Any) -> Any:
    def _fetch_all(self: Any) -> None:
        recorder = automatic()
        if recorder is None:
            original(self)
            return
        if self._result_cache is not None and (
            id(self) in recorder.querysets
            # Filled by prefetch_related, whose own query was seen: one for each row of a list.
            or (self._prefetch_done and not self._prefetch_related_lookups)
        ):
            original(self)
            return
        instances = issubclass(self._iterable_class, ModelIterable)
        outer = recorder.fetching, recorder.deferred
        recorder.fetching, recorder.deferred = self.query if instances else None, None
        fresh = self._result_cache is None
        try:
            if fresh:
                self._result_cache = list(self._iterable_class(self))
            if recorder.deferred is not None and not self._result_cache:
                recorder.models.update(recorder.deferred)
        finally:
            recorder.fetching, recorder.deferred = outer
        recorder.querysets[id(self)] = self
        if instances:
            see(recorder, self.model, self._result_cache, bool(self.query.select_related))
        if not fresh:
            _see_query(recorder, self)
        original(self)

    return _fetch_all


def _see_query(recorder: Recorder, queryset: Any) -> None:
    """A queryset that was evaluated before the page began: what it depends on, without its SQL."""
    query = queryset.query
    aliases = [join.table_name for a, join in query.alias_map.items() if query.alias_refcount[a]]
    for table in aliases or [query.get_meta().db_table]:
        recorder.models.update(labels_by_table().get(table, ()))


def _iterate(original: Any) -> Any:
    def __iter__(self: Any) -> Iterator[Any]:
        recorder = automatic()
        # _fetch_all sees its rows at once; this is for iterator(), which takes them one by one.
        if recorder is None or recorder.fetching is self.queryset.query:
            return original(self)
        return _watched(original(self), recorder, self.queryset)

    return __iter__


def _watched(rows: Iterator[Any], recorder: Recorder, queryset: Any) -> Iterator[Any]:
    related = bool(queryset.query.select_related)
    for row in rows:
        see(recorder, queryset.model, (row,), related)
        yield row


def _iterate_raw(original: Any) -> Any:
    def __iter__(self: Any) -> Iterator[Any]:
        recorder = automatic()
        if recorder is None:
            return original(self)
        _see_sql(recorder, self.queryset)
        return _watched_raw(original(self), recorder, self.queryset.model)

    return __iter__


def _watched_raw(rows: Iterator[Any], recorder: Recorder, model: type[Model]) -> Iterator[Any]:
    for row in rows:
        see(recorder, model, (row,), False)
        yield row


def _fetch_all_raw(original: Any) -> Any:
    def _fetch_all(self: Any) -> None:
        recorder = automatic()
        known = recorder is None or id(self) in recorder.querysets
        if recorder is not None and self._result_cache is not None and not known:
            recorder.querysets[id(self)] = self
            _see_sql(recorder, self)
            see(recorder, self.model, self._result_cache, False)
        original(self)

    return _fetch_all


def _see_sql(recorder: Recorder, queryset: Any) -> None:
    """Raw SQL: its model, and every table whose name stands in it."""
    recorder.models.update(labels_of(queryset.model) if is_automatic(queryset.model) else ())
    words = set(re.findall(r"[A-Za-z_][A-Za-z0-9_$]*", str(queryset.raw_query)))
    for table, labels in labels_by_table().items():
        if table in words:
            recorder.models.update(labels)


def _as_sql(original: Any) -> Any:
    def as_sql(self: Any, *args: Any, **kwargs: Any) -> Any:
        if automatic() is not None:
            # Joins are added while it compiles, for the order and for select_related.
            counts = self.query.alias_refcount.items()
            self.edge_isr_before = {alias for alias, count in counts if count}
        return original(self, *args, **kwargs)

    return as_sql


def _get_from_clause(original: Any) -> Any:
    def get_from_clause(self: Any) -> Any:
        recorder = automatic()
        if recorder is not None:
            # The one moment at which it is known which tables are used.
            _see_compiled(recorder, self.query, getattr(self, "edge_isr_before", set()))
        return original(self)

    return get_from_clause


def _see_compiled(recorder: Recorder, query: Any, before: set[str]) -> None:
    if query.is_empty():
        return
    tables = labels_by_table()
    fetched = recorder.fetching is query
    base = next(iter(query.alias_map), None)
    ordered = _orders_by_relation(query)
    for alias, join in query.alias_map.items():
        if not query.alias_refcount.get(alias) or join.table_name not in tables:
            continue
        labels = tables[join.table_name]
        if alias == base:
            _see_base(recorder, query, labels, fetched)
        elif alias in before or ordered or not _points_forward(join):
            recorder.models.update(labels)


def _see_base(recorder: Recorder, query: Any, labels: Labels, fetched: bool) -> None:
    found = _bounded(query) if not query.combinator else None
    if isinstance(found, list):
        for label in labels:
            recorder.instances.setdefault(label, set()).update(found)
    elif found is True and fetched:
        # By a unique field: a list only if there is no such row, which is not known yet.
        recorder.deferred = labels
    else:
        recorder.models.update(labels)


def _bounded(query: Any) -> list[Any] | bool | None:
    """The primary keys that a query can find; True if it has a unique field's value; else None."""
    unique: bool | None = None
    base = next(iter(query.alias_map), None)
    nodes = [query.where]
    while nodes:
        node = nodes.pop()
        if node.connector != AND or node.negated:
            continue
        for child in node.children:
            if hasattr(child, "children"):
                nodes.append(child)
                continue
            column = getattr(child, "lhs", None)
            if not isinstance(column, Col) or column.alias != base:
                continue
            values = _values(child)
            if values is None:
                continue
            if column.target.primary_key:
                return values
            if column.target.unique and child.lookup_name == "exact":
                unique = True
    return unique


def _values(lookup: Any) -> list[Any] | None:
    """What a column is compared with, if it is plain values."""
    if hasattr(lookup.rhs, "as_sql"):
        return None
    if lookup.lookup_name == "exact":
        return [lookup.rhs]
    if lookup.lookup_name != "in":
        return None
    values = list(lookup.rhs)
    return None if any(hasattr(value, "as_sql") for value in values) else values


def _orders_by_relation(query: Any) -> bool:
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


def _points_forward(join: Any) -> bool:
    """Whether a row alone decides which one is joined to it."""
    return bool(getattr(getattr(join, "join_field", None), "concrete", False))
