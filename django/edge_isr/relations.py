"""Which tables a statement depends on, by the names that the database itself knows.

What a view or a function of the database reads stands in its definition, which is looked at in the
same way. The names are asked of the database by its own driver, once in a minute and process, and
only for statements that Django's models do not explain.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.db import connections

from .registry import labels_by_table, table_names
from .statements import WRITING, Statement, read
from .tags import TABLE, clean

logger = logging.getLogger("edge_isr")

CATALOG_SECONDS = 60
# Not data of the site.
_SYSTEM = ("pg_", "sqlite_", "information_schema")
_INTERNAL = frozenset({"django_migrations", "sqlite_sequence", "dual"})

_POSTGRESQL = """
SELECT c.relname, CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid)
  ELSE (SELECT string_agg(p.relname, ' ') FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
        WHERE i.inhrelid = c.oid) END, true
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
UNION ALL
SELECT f.proname, pg_get_functiondef(f.oid), false
FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace JOIN pg_language l ON l.oid = f.prolang
WHERE f.prokind IN ('f', 'p') AND l.lanname NOT IN ('internal', 'c')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""
_MYSQL = """
SELECT t.table_name, v.view_definition, true
FROM information_schema.tables t LEFT JOIN information_schema.views v
  ON v.table_schema = t.table_schema AND v.table_name = t.table_name
WHERE t.table_schema = DATABASE()
UNION ALL
SELECT routine_name, COALESCE(routine_definition, ''), false
FROM information_schema.routines WHERE routine_schema = DATABASE()
"""
_SQLITE = """
SELECT name, CASE type WHEN 'view' THEN sql END, 1 FROM sqlite_master WHERE type IN ('table', 'view')
UNION ALL
SELECT name, CASE type WHEN 'view' THEN sql END, 1 FROM sqlite_temp_master
WHERE type IN ('table', 'view')
"""  # noqa: E501
_QUERIES = {"postgresql": _POSTGRESQL, "mysql": _MYSQL, "sqlite": _SQLITE}


@dataclass
class Catalog:
    """The names of a database, in lower case, each with its definition if it has one."""

    relations: Mapping[str, str]
    routines: Mapping[str, str]
    loaded: float

    @cached_property
    def names(self) -> frozenset[str]:
        """Of tables and views."""
        return frozenset(self.relations)


@dataclass(frozen=True)
class Reading:
    """What a statement depends on."""

    tables: frozenset[str]
    # Names that nobody knows.
    unknown: tuple[str, ...] = ()

    @property
    def labels(self) -> set[str]:
        """The tags of its tables."""
        return {label for table in self.tables for label in labels_of_table(table)}


_catalogs: dict[tuple[str, str], Catalog] = {}


def forget_catalogs() -> None:
    """The names are asked again: the schema may have changed."""
    _catalogs.clear()


def labels_of_table(name: str) -> tuple[str, ...]:
    """The tags of a table: of its models, or of itself if no model has it."""
    labels = labels_by_table().get(name)
    if labels is not None:
        return labels
    if name in table_names() or name in _INTERNAL or name in _cache_tables():
        return ()
    return (clean(TABLE + name),)


@lru_cache(maxsize=1)
def _cache_tables() -> frozenset[str]:
    return frozenset(
        str(options.get("LOCATION", "")).casefold()
        for options in django_settings.CACHES.values()
        if str(options.get("BACKEND", "")).endswith("DatabaseCache")
    )


def forget_caches() -> None:
    """The caches of the settings may be others."""
    _cache_tables.cache_clear()


def calls_routines(statement: Statement, vendor: str) -> bool:
    """Whether it calls what may be a function of the site's own, in the database."""
    return vendor in ("postgresql", "mysql") and bool(statement.calls - BUILT_IN)


def reading(statement: Statement, alias: str) -> Reading:
    """The tables that a statement names, and those that its views and functions name."""
    catalog = _catalog(alias)
    if catalog is None:
        return Reading(frozenset(statement.names(table_names())), (f"the catalog of {alias}",))
    tables: set[str] = set()
    for one in _with_definitions(statement, catalog):
        tables |= one.names(catalog.names) | one.names(table_names())
    unknown = {
        name
        for name in statement.sources - table_names() - catalog.names
        if name not in catalog.routines and not name.startswith(_SYSTEM)
    }
    if statement.verb in ("execute", "exec", "fetch"):
        unknown.add(statement.verb)
    return Reading(frozenset(tables - _INTERNAL), tuple(sorted(unknown)))


def _with_definitions(statement: Statement, catalog: Catalog) -> Iterator[Statement]:
    """A statement, and the definitions of what it names, and so on."""
    waiting, seen = [statement], {statement.text}
    while waiting:
        one = waiting.pop()
        yield one
        for name in one.names(catalog.names) | _called(one):
            for source in (catalog.relations, catalog.routines):
                text = source.get(name)
                if text and text not in seen:
                    seen.add(text)
                    waiting.append(read(text))


def _called(statement: Statement) -> frozenset[str]:
    # A word is a call only where it is followed by a parenthesis, or called.
    by_name = statement.verb in ("call", "execute", "exec")
    return statement.calls | (statement.words if by_name else frozenset())


def written_by_calls(statement: Statement, alias: str) -> set[str]:
    """The tables that functions which a statement calls may write."""
    catalog = _catalog(alias)
    tables: set[str] = set()
    if catalog is not None and not _called(statement).isdisjoint(catalog.routines):
        for one in _with_definitions(statement, catalog):
            if one is not statement and one.words & WRITING & {
                "insert",
                "update",
                "delete",
                "merge",
                "truncate",
                "copy",
            }:
                tables |= one.names(catalog.names) | one.names(table_names())
    return tables


def _catalog(alias: str) -> Catalog | None:
    connection = connections[alias]
    key = (alias, str(connection.settings_dict.get("NAME")))
    known = _catalogs.get(key)
    now = time.monotonic()
    if known is None or now - known.loaded > CATALOG_SECONDS:
        try:
            known = _load(connection, now)
        except Exception:
            logger.exception("the names of tables could not be asked of the database %r", alias)
            return None
        _catalogs[key] = known
    return known


def _load(connection: Any, now: float) -> Catalog:
    """Asked by the driver's own cursor: it is none of the site's queries."""
    sql = _QUERIES.get(connection.vendor)
    relations: dict[str, str] = {}
    routines: dict[str, str] = {}
    if sql is None:
        names = connection.introspection.table_names(include_views=True)
        return Catalog(dict.fromkeys(map(str.casefold, names), ""), routines, now)
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        for name, definition, is_relation in cursor.fetchall():
            into = relations if is_relation else routines
            key = str(name).casefold()
            into[key] = f"{into.get(key, '')} {definition or ''}".strip()
    finally:
        cursor.close()
    return Catalog(relations, routines, now)


# Functions that read no table, and words that are followed by a parenthesis.
BUILT_IN = frozenset(
    """
    abs all and any array array_agg as avg between bit_and bit_or bool_and bool_or cast ceil
    ceiling char char_length coalesce collate concat concat_ws conflict convert count cube
    cume_dist current_date date date_add date_format date_sub date_trunc datetime day dense_rank
    exists exp extract filter first_value floor format from from_unixtime generate_series greatest
    group_concat grouping hex if ifnull in instr interval isnull join json_agg json_arrayagg
    json_build_object json_each json_extract json_object json_objectagg jsonb_agg
    jsonb_build_object key lag last_value lateral lead least left length like lower lpad ltrim
    materialized max md5 min mod month not now nth_value ntile nullif numeric on or over overlay
    partition percent_rank percentile_cont position power rank regexp_replace repeat replace
    returning reverse right rollup round row row_number row_to_json rtrim select set sets sign
    sqrt string_agg strpos substr substring sum time timestamp to_char to_date to_timestamp
    to_tsquery to_tsvector trim trunc truncate unnest upper using values varchar when where with
    within year
    """.split()  # noqa: SIM905
)
