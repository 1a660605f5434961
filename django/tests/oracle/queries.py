"""What views read: their queries, and whether those give other rows after a write.

A view is a function of the rows that its queries give. So it is enough to ask the queries again,
each once for all views, and only those that name a table whose rows have changed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import ExitStack
from typing import Any

from django.db import connection

from .data import Snapshot

Query = tuple[str, Any]
READS = re.compile(r"\W*(select|with)\b", re.IGNORECASE)


class Queries:
    """Collects the queries that are made while it lasts."""

    def __init__(self) -> None:
        self.found: list[Query] = []
        self._stack = ExitStack()

    def __enter__(self) -> Queries:
        self._stack.enter_context(connection.execute_wrapper(self._see))
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def _see(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if READS.match(sql) and not many:
            self.found.append((sql, params))
        return execute(sql, params, many, context)


class Watch:
    """The queries of all views, and the rows they give while nothing has changed."""

    def __init__(self, snapshot: Snapshot, views: dict[str, list[Query]]) -> None:
        self._views: dict[str, set[str]] = defaultdict(set)
        self._queries: dict[str, Query] = {}
        for view, queries in views.items():
            for query in queries:
                key = repr(query)
                self._queries[key] = query
                self._views[key].add(view)
        self._tables = {
            table: [
                key for key, (sql, _) in self._queries.items()
                if re.search(rf"\b{table}\b", sql, re.IGNORECASE)
            ]
            for table in snapshot.columns
        }  # fmt: skip
        self._whole = {table: f"SELECT * FROM {table}" for table in snapshot.columns}
        self._before = {t: self._rows(sql, None) for t, sql in self._whole.items()}
        self._rows_before = {key: self._rows(*query) for key, query in self._queries.items()}

    def changed(self) -> set[str]:
        """The views that are given other rows than before."""
        tables = [t for t, sql in self._whole.items() if self._rows(sql, None) != self._before[t]]
        keys = {key for table in tables for key in self._tables[table]}
        found: set[str] = set()
        for key in keys:
            if not self._views[key] <= found and (
                self._rows(*self._queries[key]) != self._rows_before[key]
            ):
                found |= self._views[key]
        return found

    def _rows(self, sql: str, params: Any) -> Any:
        connection.ensure_connection()
        # Round the hooks of the package: it is not to take part in its own examination.
        cursor = connection.create_cursor()
        try:
            cursor.execute(sql, params)
            rows = [tuple(row) for row in cursor.fetchall()]
        except connection.Database.Error as error:
            # A subquery that gives more than one row now, for example.
            return type(error).__name__
        finally:
            cursor.close()
        # Without an order, any order is right.
        return rows if "order by" in sql.lower() else sorted(rows, key=repr)
