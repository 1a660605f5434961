"""Automatic tags: what a page loads while it renders, it depends on.

An instance tags the page with `app.model:pk`, a query with `app.model` of every table that its
result depends on: the one it lists, those it joins, filters and orders by, and those of subqueries.
So `values()`, `count()` and `exists()` tag as well as lists do. Where less than the whole table is
known to matter (`narrowing`), the tag is narrower: the values that rows must have, the columns that
are read. Two kinds of queries depend on their rows alone and tag only those: a look-up by primary
key (whether it finds a row or not), and one by a unique field that found its row. The tables that
`select_related` joins to fetch what a row points at are known by the instances that came of it.

What stands in a statement beside the ORM's own tables (`RawSQL`, `extra`, functions with templates)
is found in its text; `cursors` sees what goes round the ORM. Limits: instances that were loaded
before the view began are not seen, unless their queryset is iterated again. `add_tags` names those.
What a signal's or middleware's code loads inside a page counts for the page.

The hooks cost a look at a context variable per query, and nothing per row, while no page records.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.conf import settings as django_settings
from django.db.models import Model, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.query import ModelIterable, RawModelIterable, RawQuerySet
from django.db.models.sql.compiler import SQLAggregateCompiler, SQLCompiler

from . import explanation, hints, links, narrowing, reading, relations, sharing, statements
from .conditions import ANY, ROWS
from .context import Recorder, automatic
from .instances import see
from .patching import replace_method
from .registry import is_automatic, labels_by_table, labels_of, table_names

Labels = tuple[str, ...]


class _Thread(threading.local):
    """What one thread is doing: several may render parts of one page."""

    # The query whose rows are being fetched, and what it depends on if it has none.
    fetching: Any = None
    deferred: tuple[Labels, frozenset[str] | None] | None = None
    # The statement that is being compiled.
    compiling: _Compiling | None = None


class _Read(NamedTuple):
    """A table that a statement reads."""

    table: str
    labels: Labels
    # What is known of its rows, whether they are brought as instances, whether which rows there are
    # is known by those of the model that it extends, and what says which can be found.
    one: narrowing.Narrowed | None
    brought: bool
    extends: bool
    link: links.Link | None


class _Compiling:
    """One statement: how many queries were compiled for it, whether SQL of the site's own is in it,
    the tables that its queries explained, those of them of which its columns matter, what its
    aliases mean, and the compiler that makes it for instances."""

    __slots__ = ("aliases", "brings", "queries", "raw", "read", "tables", "unclear")

    def __init__(self) -> None:
        self.queries = 0
        self.raw = False
        self.tables: set[str] = set()
        self.read: list[_Read] = []
        self.aliases: dict[str, set[str]] = {}
        self.brings: Any = None
        # Whether it reads more than its queries say, or what they say is of the rows of now.
        self.unclear = False


_thread = _Thread()


def install() -> None:
    """Puts the hooks in place; again has no effect."""
    replace_method(QuerySet, "_fetch_all", _fetch_all)
    replace_method(ModelIterable, "__iter__", _iterate)
    replace_method(RawModelIterable, "__iter__", _iterate_raw)
    replace_method(RawQuerySet, "_fetch_all", _fetch_all_raw)
    replace_method(SQLCompiler, "as_sql", _as_sql)
    replace_method(SQLAggregateCompiler, "as_sql", _as_sql)
    replace_method(RawSQL, "as_sql", _as_raw_sql)
    replace_method(SQLCompiler, "get_from_clause", _get_from_clause)


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
        with explanation.of_rows(recorder):
            _fetch(recorder, self)
        original(self)

    return _fetch_all


def _fetch(recorder: Recorder, queryset: Any) -> None:
    instances = issubclass(queryset._iterable_class, ModelIterable)
    outer = _thread.fetching, _thread.deferred
    _thread.fetching, _thread.deferred = queryset.query if instances else None, None
    fresh = queryset._result_cache is None
    try:
        if fresh:
            queryset._result_cache = list(queryset._iterable_class(queryset))
        if _thread.deferred is not None and not queryset._result_cache:
            _see_labels(recorder, *_thread.deferred)
    finally:
        _thread.fetching, _thread.deferred = outer
    recorder.querysets[id(queryset)] = queryset
    if instances:
        see(recorder, queryset.model, queryset._result_cache, bool(queryset.query.select_related))
    if not fresh:
        _see_query(recorder, queryset)


def _see_query(recorder: Recorder, queryset: Any) -> None:
    """A queryset that was evaluated before the page began: what it depends on, without its SQL."""
    query = queryset.query
    aliases = [join.table_name for a, join in query.alias_map.items() if query.alias_refcount[a]]
    for table in aliases or [query.get_meta().db_table]:
        recorder.saw_models(labels_by_table().get(str(table).casefold(), ()))


def _iterate(original: Any) -> Any:
    def __iter__(self: Any) -> Iterator[Any]:
        recorder = automatic()
        # _fetch_all sees its rows at once; this is for iterator(), which takes them one by one.
        if recorder is None or _thread.fetching is self.queryset.query:
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
    recorder.saw_models(labels_of(queryset.model) if is_automatic(queryset.model) else ())
    see_text(recorder, queryset.raw_query, queryset.db)


def see_text(recorder: Recorder, sql: object, alias: str) -> None:
    """Everything that a text of SQL reads."""
    reading = relations.reading(statements.read(statements.text_of(sql)), alias)
    recorder.saw_models(reading.labels)
    for name in reading.unknown:
        recorder.saw_unknown(f"{name} in SQL is no table, view or function that is known")


def _as_sql(original: Any) -> Any:
    def as_sql(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = automatic()
        if recorder is None:
            return original(self, *args, **kwargs)
        # Joins are added while it compiles, for the order and for select_related.
        counts = self.query.alias_refcount.items()
        self.edge_isr_before = {alias for alias, count in counts if count}
        if _thread.compiling is not None:
            _thread.compiling.queries += 1
            return original(self, *args, **kwargs)
        compiling = _thread.compiling = _Compiling()
        compiling.queries = 1
        with explanation.of_query(recorder) as sql:
            try:
                made = original(self, *args, **kwargs)
            except BaseException:
                for one in compiling.read:
                    _see_labels(recorder, one.labels, one.one and one.one.parts)
                raise
            finally:
                _thread.compiling = None
            sql.append(made[0])
            _see_rest(recorder, made[0], compiling, self.connection)
            sharing.compiled(self, made[0], made[1], compiling.brings is self, compiling.unclear)
        return made

    return as_sql


def _see_rest(recorder: Recorder, sql: str, compiling: _Compiling, connection: Any) -> None:
    """What a statement reads beside what its queries have said: SQL that the site wrote."""
    statement = statements.read(sql)
    # A SELECT that no query has made was written by hand, and may read its table as a whole.
    raw = compiling.raw or statement.selects > compiling.queries
    raw = raw or relations.calls_routines(statement, connection.vendor)
    compiling.unclear = raw or not compiling.tables.isdisjoint(table_names(managed=False))
    if raw:
        see_text(recorder, sql, connection.alias)
    texts = reading.texts_of(sql, compiling.brings)
    cut = compiling.brings is not None and reading.cuts_off(compiling.brings.query)
    linked: dict[links.Link, list[Any] | None] = {}
    for read in compiling.read:
        text = texts.finding if read.brought else texts.deciding
        columns = None if raw else reading.parts_of_columns(text, read.table, compiling.aliases)
        parts = reading.parts(read.one, columns, read.table, read.brought and cut)
        if read.link is not None and not raw:
            if read.link not in linked:
                linked[read.link] = read.link.keys(connection.alias)
            keys = linked[read.link]
            if keys is not None:
                recorder.saw_instances(dict.fromkeys(read.labels, keys))
                compiling.unclear = True
                continue
        if read.extends and parts is not None:
            parts = parts - {ROWS} | {ANY}
        _see_labels(recorder, read.labels, parts)
    for table, tracked in reading.tracked_parts(texts.deciding, compiling.tables).items():
        _see_labels(recorder, labels_by_table().get(table, ()), tracked)
    if raw:
        return
    for table in statement.names(table_names()) - compiling.tables:
        recorder.saw_models(labels_by_table().get(table, ()))


def _as_raw_sql(original: Any) -> Any:
    def as_sql(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _thread.compiling is not None and "select" in str(self.sql).casefold():
            _thread.compiling.raw = True
        return original(self, *args, **kwargs)

    return as_sql


def _get_from_clause(original: Any) -> Any:
    def get_from_clause(self: Any) -> Any:
        recorder = automatic()
        if recorder is not None:
            # The one moment at which it is known which tables are used.
            before: set[str] = getattr(self, "edge_isr_before", set())
            _see_compiled(recorder, self, before)
            # It may be a view: then what it reads is what changes.
            for table in _tables_of(self.query) & table_names(managed=False):
                see_text(recorder, table, self.connection.alias)
        return original(self)

    return get_from_clause


def _tables_of(query: Any) -> set[str]:
    return {str(join.table_name).casefold() for join in query.alias_map.values()}


def _see_compiled(recorder: Recorder, compiler: Any, before: set[str]) -> None:
    query = compiler.query
    _see_tables(query)
    if query.is_empty():
        return
    if django_settings.DEBUG:
        recorder.dates.update(hints.compared_with_now(query.where))
    tables = labels_by_table()
    found = narrowing.narrowed(query, compiler.connection.vendor)
    linked = links.links(query, found, compiler.connection.vendor)
    extending = narrowing.known_by_parents(query, found)
    base = next(iter(query.alias_map), None)
    ordered = narrowing.orders_by_relation(query)
    # Rows that are shown are known by themselves; those beyond a slice are not shown.
    shown: set[str] = set()
    known: set[str] = set()
    brought = _brought(compiler)
    if _thread.fetching is query and not query.is_sliced:
        shown = narrowing.shown(compiler) if ordered else shown
        known = narrowing.known_by_children(query, base) if base is not None else known
    for table in query.extra_tables:
        recorder.saw_models(tables.get(table.casefold(), ()))
    for alias, join in query.alias_map.items():
        table = str(join.table_name).casefold()
        labels = tables.get(table)
        if not query.alias_refcount.get(alias) or labels is None or alias in known:
            continue
        one = found.get(alias)
        if alias == base and _see_found(recorder, query, labels, before, extending, one):
            continue
        orders = ordered and alias not in shown
        restricts = alias == base or alias in before or orders or join.filtered_relation
        if restricts or not narrowing.points_forward(join):
            read = _Read(
                table, labels, one, alias in brought, alias in extending, linked.get(alias)
            )
            _see_narrowed(recorder, read)


def _brought(compiler: Any) -> set[str]:
    """The aliases whose rows become instances of the page that is being rendered."""
    compiling, query = _thread.compiling, compiler.query
    if compiling is None or _thread.fetching is not query or query.combinator:
        return set()
    # Where instances of filtered relations are kept is the site's own.
    if any(getattr(join, "filtered_relation", None) for join in query.alias_map.values()):
        return set()
    compiling.brings = compiler
    return narrowing.shown(compiler)


def _see_tables(query: Any) -> None:
    compiling = _thread.compiling
    if compiling is not None:
        compiling.tables |= _tables_of(query)
        for alias, join in query.alias_map.items():
            tables = compiling.aliases.setdefault(str(alias).casefold(), set())
            tables.add(str(join.table_name).casefold())


def _see_found(
    recorder: Recorder,
    query: Any,
    labels: Labels,
    before: set[str],
    extending: set[str],
    one: narrowing.Narrowed | None,
) -> bool:
    """Whether the rows that are being fetched say all that there is to say of the base table."""
    if _thread.fetching is not query:
        return False
    if one is not None and one.unique and one.keys is None:
        # By a unique field: a list only if there is no such row, which is not known yet.
        _thread.deferred = labels, one.parts
        return True
    base = next(iter(query.alias_map))
    parts = narrowing.follows_rows(query, base, before, extending) if one is None else None
    if parts is not None:
        _see_labels(recorder, labels, parts)
    return parts is not None


def _see_narrowed(recorder: Recorder, read: _Read) -> None:
    compiling, one = _thread.compiling, read.one
    if one is not None and one.keys is not None:
        recorder.saw_instances(dict.fromkeys(read.labels, one.keys))
    elif compiling is not None:
        compiling.read.append(read)
    else:
        _see_labels(recorder, read.labels, one and one.parts)


def _see_labels(recorder: Recorder, labels: Labels, parts: frozenset[str] | None) -> None:
    """Parts of a table, or all of it."""
    if parts is None:
        recorder.saw_models(labels)
    else:
        recorder.saw_parts(dict.fromkeys(labels, parts))
