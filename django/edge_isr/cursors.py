"""SQL that goes round the ORM: what `connection.cursor()` reads and writes.

What a page reads by a cursor tags it with the tables that the statement names. What is written by a
cursor, in a page or anywhere else, is sent by its tables: the rows are not known. The ORM's own
statements are marked, and sent by their rows elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from itertools import islice
from typing import Any

from django.db import connections
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.backends.utils import CursorWrapper
from django.db.models.sql.compiler import SQLCompiler, SQLInsertCompiler

from . import relations, statements
from .autotags import see_text
from .changes import follows, invalidate
from .context import automatic
from .invalidation import Invalidation
from .patching import replace_method
from .registry import labels_by_table, models_of_table, of_every, table_names
from .sqlite import sends
from .transactions import one_transaction

# What rewrites rows in one transaction at most; CALL and DO may commit by themselves.
_IN_TRANSACTION = frozenset({"insert", "update", "delete", "replace", "merge", "with"})
# SQLite's tables are made anew under such a name.
_NEW_TABLE = "new__"


def install() -> None:
    """Puts the hooks in place; again has no effect."""
    replace_method(SQLCompiler, "execute_sql", statements.marked)
    replace_method(SQLInsertCompiler, "execute_sql", statements.marked)
    replace_method(BaseDatabaseOperations, "execute_sql_flush", statements.marked)
    replace_method(CursorWrapper, "execute", _execute)
    replace_method(CursorWrapper, "executemany", _execute)
    replace_method(CursorWrapper, "callproc", _callproc)


def _execute(original: Any) -> Any:
    def execute(self: Any, sql: Any, *args: Any, **kwargs: Any) -> Any:
        if "edge_isr_has_sent" not in vars(self.db) and self.db.vendor == "sqlite":
            sends(self.db, sql)
        # Databases are made and dropped by a connection to none.
        if statements.are_own() or self.db.alias not in connections.settings:
            return original(self, sql, *args, **kwargs)
        if isinstance(self.cursor, _Rows):
            self.cursor = self.cursor.inner
        own = not self.db.in_atomic_block

        def run() -> Any:
            result = original(self, sql, *args, **kwargs)
            # SQLite commits nothing while a statement that writes has rows to give still.
            ours = own and self.db.in_atomic_block and self.db.vendor == "sqlite"
            if ours and self.cursor.description is not None:
                self.cursor = _Rows(self.cursor)
                return self.cursor
            return result

        return _seen(self.db, sql, run)

    return execute


class _Rows:
    """A cursor whose rows have been taken out of the database already."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._rows = iter(inner.fetchall())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __iter__(self) -> Any:
        return self._rows

    def fetchone(self) -> Any:
        """The next row, or None."""
        return next(self._rows, None)

    def fetchmany(self, size: int = 1) -> list[Any]:
        """The next rows."""
        return list(islice(self._rows, size))

    def fetchall(self) -> list[Any]:
        """All that are left."""
        return list(self._rows)


def _callproc(original: Any) -> Any:
    def callproc(self: Any, procname: Any, *args: Any, **kwargs: Any) -> Any:
        sql = f"CALL {procname}()"
        return _seen(self.db, sql, lambda: original(self, procname, *args, **kwargs))

    return callproc


def _seen(connection: Any, sql: Any, run: Any) -> Any:
    """Runs a statement that is none of the ORM's, and sees what it reads and writes."""
    statement = statements.read(statements.text_of(sql))
    alias = connection.alias
    if not statement.verbs.isdisjoint(statements.SCHEMA):
        relations.forget_catalogs()
    if not statement.reads and not statement.writes:
        return run()
    recorder = automatic()
    if recorder is not None:
        see_text(recorder, sql, alias)
    written = _written(statement, alias)
    if not written:
        return run()
    own = statement.verb in _IN_TRANSACTION and not connection.in_atomic_block
    with one_transaction(alias) if own else nullcontext():
        result = run()
        found = Invalidation(reason=f"{statement.verb} of {', '.join(sorted(written))}"[:200])
        for table in written:
            found.absorb(_invalidation_of(table))
        invalidate(found, alias)
    return result


def _written(statement: statements.Statement, alias: str) -> set[str]:
    """The tables that a statement may write and whose changes are sent."""
    if statement.writes:
        tables: Iterable[str] = statement.targets() or _named(statement, alias)
    elif connections[alias].vendor == "sqlite" or not relations.calls_routines(
        statement, connections[alias].vendor
    ):
        return set()
    else:
        tables = relations.written_by_calls(statement, alias)
    return {
        table for table in tables if not table.startswith(_NEW_TABLE) and _invalidation_of(table)
    }


def _named(statement: statements.Statement, alias: str) -> Iterable[str]:
    return relations.reading(statement, alias).tables


def _invalidation_of(table: str) -> Invalidation:
    found = Invalidation()
    for model in models_of_table(table):
        if follows(model):
            found.absorb(of_every(model))
    if table not in table_names() and table not in labels_by_table():
        found.tags.update(relations.labels_of_table(table))
    return found
