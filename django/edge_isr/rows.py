"""Rows as they stand in the database before a statement changes them.

Each save asks for one row. Django makes a query's SQL anew each time, which costs as much as the
save itself; the SQL for a row by its key is made once for a connection.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import connections, models
from django.db.models import Model, QuerySet

from . import statements
from .conditions import tables_of
from .context import current, recording

# Of one connection; more are forgotten together.
MAX_STATEMENTS = 256
# The least of what any integer key may be.
_INTEGERS = range(-(2**31), 2**31)
_NONE_KNOWN: dict[Any, Any] = {}
# A key of each kind of field whose look-up by equality is Django's own.
_KEYS: dict[type[Any], Any] = {
    models.AutoField: 1,
    models.BigAutoField: 1,
    models.BigIntegerField: 1,
    models.CharField: "1",
    models.IntegerField: 1,
    models.PositiveBigIntegerField: 1,
    models.PositiveIntegerField: 1,
    models.SlugField: "1",
    models.UUIDField: uuid.UUID(int=1),
}


@contextmanager
def unseen() -> Iterator[None]:
    """What is read in it is no data of the page that is being rendered."""
    if current.get() is None:
        yield
    else:
        with recording(None):
            yield


def locked(model: type[Model], using: str) -> QuerySet[Model]:
    """A model's rows, each of them kept as it is until the transaction ends: what it was must be
    what the statement changes, and not what another transaction changes in between.

    The lock is an update's own: on PostgreSQL rows that point at these can still be made."""
    rows = QuerySet(model, using=using)
    no_key = connections[using].features.has_select_for_no_key_update
    # A view may have rows that can't be locked.
    managed = all(table._meta.managed for table in tables_of(rows.model))
    return rows.select_for_update(no_key=no_key) if managed else rows


def row_of(
    table: type[Model], connection: Any, key: Any, names: tuple[str, ...]
) -> tuple[Any, ...] | None:
    """The values of these fields in the row with this key, locked; None if there is no such row."""
    known = vars(connection).get("edge_isr_rows", _NONE_KNOWN).get((table, names))
    statement = known or _known(table, connection, names)
    if statement is None or (isinstance(key, int) and key not in _INTEGERS):
        with unseen():
            for row in _query(table, connection.alias, key, names):
                return tuple(row[1:])
        return None
    parameter = key if type(key) is int else _parameter(statement.field, key, connection)
    if statement.driver_sql and _is_unwatched(connection):
        try:
            sent = connection.connection.execute(statement.driver_sql, (parameter,))
            row = sent.fetchone()
        except Exception:
            with connection.wrap_database_errors:
                raise
    else:
        with statements.own(), connection.cursor() as cursor:
            cursor.execute(statement.sql, [parameter])
            row = cursor.fetchone()
    if row is None:
        return None
    # A value of the database is the ORM's own where nothing converts it.
    return statement.converted(row, connection) if statement.converters else tuple(row[1:])


class _Statement(NamedTuple):
    """The query for the row with one key, as SQL."""

    sql: str
    # The same as SQLite's driver takes it, whose cursor costs less than Django's.
    driver_sql: str
    field: Any
    converters: list[tuple[int, tuple[list[Any], Any]]]

    def converted(self, row: tuple[Any, ...], connection: Any) -> tuple[Any, ...]:
        """What the ORM makes of the values, without the key."""
        values = list(row)
        for at, (converters, expression) in self.converters:
            for convert in converters:
                values[at] = convert(values[at], expression, connection)
        return tuple(values[1:])


def _is_unwatched(connection: Any) -> bool:
    """Whether nobody asks which statements are sent, and one can be sent."""
    return (
        connection.in_atomic_block
        and not connection.needs_rollback
        and not connection.execute_wrappers
        and not connection.queries_logged
    )


def _known(table: type[Model], connection: Any, names: tuple[str, ...]) -> _Statement | None:
    """Those of one connection: their converters belong to it."""
    known = vars(connection).get("edge_isr_rows")
    if known is None:
        known = connection.edge_isr_rows = {}
    wanted = (table, names)
    if wanted not in known:
        if len(known) >= MAX_STATEMENTS:
            known.clear()
        with unseen():
            known[wanted] = _statement(table, connection.alias, names)
    found: _Statement | None = known[wanted]
    return found


def _statement(table: type[Model], using: str, names: tuple[str, ...]) -> _Statement | None:
    """None where only the ORM knows how to look for a key."""
    field: Any = table._meta.pk
    while getattr(field, "remote_field", None) is not None:
        field = field.target_field
    if type(field) not in _KEYS:
        return None
    key = _KEYS[type(field)]
    compiler = _query(table, using, key, names).query.get_compiler(using)
    sql, parameters = compiler.as_sql()
    if list(parameters) != [_parameter(field, key, connections[using])]:
        return None
    converters = compiler.get_converters([column[0] for column in compiler.select])
    by_driver = connections[using].vendor == "sqlite"
    driver_sql = sql.replace("%s", "?").replace("%%", "%") if by_driver else ""
    return _Statement(sql, driver_sql, field, list(converters.items()))


def _query(table: type[Model], using: str, key: Any, names: tuple[str, ...]) -> Any:
    return locked(table, using).filter(pk=key).order_by().values_list("pk", *names)[:1]


def _parameter(field: Any, key: Any, connection: Any) -> Any:
    return field.get_db_prep_value(field.get_prep_value(key), connection, prepared=True)
