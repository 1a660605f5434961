"""Queries as they can be asked again, and what they bring as a digest.

A query can be asked again if what it brings follows from its text, from parameters that are plain
values, and from what stands in the database, and is small. Of moments it may have the one of now,
and of dates that of today: those are asked again with the now of then. Any other moment may have
been made of now (`now - 7 days`), and nobody knows what the page would ask for later.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from datetime import timezone as datetime_timezone
from decimal import Decimal
from importlib import import_module
from itertools import product
from typing import Any

from django.conf import settings as django_settings
from django.utils import timezone

from . import statements
from .conditions import is_narrowed, tables_of
from .narrowing import shown_columns
from .relations import BUILT_IN

# Larger results are not compared.
MAX_ROWS = 100
MAX_SQL_CHARS = 10_000
MAX_PARAMETERS = 100
# Of a query with more dates of today than that nobody knows which of them move.
MAX_DAYS = 3

# What a page gets out of a database that says the same in every process.
_VALUES = frozenset({
    type(None), bool, bytes, date, datetime, Decimal, float, int, str, uuid.UUID,
})  # fmt: skip
# Functions and words whose meaning is another one at another time.
_OF_TIME = frozenset(
    {"current_date", "current_time", "current_timestamp", "date_part", "dayofmonth", "day",
     "django_date_extract", "django_datetime_extract", "django_time_extract", "extract", "hour",
     "localtime", "localtimestamp", "minute", "month", "now", "second", "time", "timestamp",
     "unix_timestamp", "week", "weekday", "year"}
)  # fmt: skip
_CALLS = BUILT_IN - _OF_TIME
_WORDS = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d:?\d\d)?")
_NUMERIC = "psycopg.types.numeric"
_OF_PSYCOPG = frozenset({"Int2", "Int4", "Int8", "IntNumeric"})


class NotComparedError(ValueError):
    """Why a query can't be asked again."""


@dataclass(frozen=True)
class Asked:
    """A query as it can be asked again: its parameters as JSON has them, the columns of its result
    that count (None for all), and whether only its first row does."""

    sql: str
    parameters: tuple[Any, ...]
    columns: tuple[int, ...] | None
    single: bool

    def dump(self) -> str:
        """As text."""
        return json.dumps([self.sql, self.parameters, self.columns, self.single])

    @classmethod
    def load(cls, text: str) -> Asked:
        """From its text."""
        sql, parameters, columns, single = json.loads(text)
        return cls(sql, tuple(parameters), columns and tuple(columns), single)

    def fingerprint(self, tags: str) -> str:
        """What it is known by, together with the tags that may change it: code of another day may
        give it others."""
        return hashlib.sha256(f"{tags}\n{self.dump()}".encode()).hexdigest()[:40]

    @property
    def is_of_today(self) -> bool:
        """Whether the dates in it that were of today still are."""
        days = {one["day"] for one in self.parameters if isinstance(one, dict) and "day" in one}
        return days <= {day.isoformat() for day in _todays()}

    def digests(self, connection: Any) -> list[str | None]:
        """What it brings now: as it was asked first, and after that with each of its dates as today
        is now, since it may have been of today or not. None where there is no digest."""
        found = []
        for parameters in self._parameters(connection):
            with statements.own(), connection.cursor() as cursor:
                cursor.execute(self.sql, parameters)
                rows = cursor.fetchmany(MAX_ROWS + 1)
            found.append(self.digest(rows))
        return found

    def digest(self, rows: Sequence[Sequence[Any]]) -> str | None:
        """What these rows say of it; None if they are too many, or not plain."""
        rows = rows[:1] if self.single else rows
        if len(rows) > MAX_ROWS:
            return None
        said = hashlib.sha256()
        for row in rows:
            for at in range(len(row)) if self.columns is None else self.columns:
                value = bytes(row[at]) if isinstance(row[at], memoryview) else row[at]
                if type(value) not in _VALUES:
                    return None
                text = f"{type(value).__name__} {value!r}".encode(errors="surrogatepass")
                said.update(b"%d %s" % (len(text), text))
            said.update(b".")
        return said.hexdigest()[:40]

    def _parameters(self, connection: Any) -> Iterator[tuple[Any, ...]]:
        now, todays = timezone.now(), _todays()
        yield from dict.fromkeys(
            product(*(_values(one, connection, now, todays) for one in self.parameters))
        )


def asked(
    compiler: Any, sql: str, parameters: Sequence[Any], brings: bool, single: bool, began: float
) -> Asked:
    """A query that was compiled for a page which began then; NotComparedError if it can't be asked
    again. `brings`: its rows become instances, whose own tags say what is in them."""
    query, connection = compiler.query, compiler.connection
    if (
        query.select_for_update
        or query.explain_info
        or getattr(compiler, "has_extra_select", False)
    ):
        raise NotComparedError("it does more than to ask")
    if len(sql) > MAX_SQL_CHARS or len(parameters) > MAX_PARAMETERS:
        raise NotComparedError("it is too long")
    # Rows of a schema that the connection is set to are not in the text.
    if getattr(connection, "schema_name", None) or getattr(connection, "tenant", None):
        raise NotComparedError("it depends on the tenant")
    statement = statements.read(sql)
    calls = {name for name in statement.calls if not _is_known(name)}
    if calls or not statement.words.isdisjoint(_WORDS):
        raise NotComparedError("it calls what may say something else each time")
    encoded = tuple(_encoded(one, connection, began) for one in parameters)
    if sum(isinstance(one, dict) and "day" in one for one in encoded) > MAX_DAYS:
        raise NotComparedError("it has many dates of today")
    return Asked(sql, encoded, _counting(compiler) if brings else None, single)


def _is_known(name: str) -> bool:
    return name in _CALLS or (name.startswith("django_") and name not in _OF_TIME)


def _counting(compiler: Any) -> tuple[int, ...] | None:
    """The columns that say which rows there are, and what is worked out beside them."""
    shown = {at for at, _ in shown_columns(compiler)}
    keys = set()
    waiting = [compiler.klass_info] if compiler.klass_info else []
    while waiting:
        info = waiting.pop()
        waiting += info.get("related_klass_infos", ())
        columns = {at: getattr(compiler.select[at][0], "target", None)
                   for at in info["select_fields"]}  # fmt: skip
        found = {at for at, field in columns.items() if getattr(field, "primary_key", False)}
        tables = tables_of(info["model"])
        # Of a table that several models share, others may write what is in the rows.
        if (
            not all(is_narrowed(one) for one in tables)
            or tables[0]._meta.pk.column is None
            or not found
        ):
            return None
        keys |= found
    return tuple(at for at in range(len(compiler.select)) if at in keys or at not in shown)


def _todays() -> list[date]:
    """The dates that somebody may mean by today."""
    days = [date.today(), datetime.now(datetime_timezone.utc).date()]
    if django_settings.USE_TZ:
        days.append(timezone.localdate())
    return list(dict.fromkeys(days))


def _encoded(value: Any, connection: Any, began: float) -> Any:
    """A parameter as JSON has it."""
    kind = type(value)
    if kind.__name__ in _OF_PSYCOPG and kind.__module__.startswith("psycopg"):
        return {"psycopg": kind.__name__, "value": int(value)}
    if value is None or kind is bool:
        return value
    if isinstance(value, str):
        text = str.__str__(value)
        return _of_time(text, text, connection, began) or text
    if isinstance(value, int):
        return int(value)
    if kind in (date, datetime):
        found = _of_time(value, value.isoformat(), connection, began)
        if found is not None:
            return found
    if kind in (Decimal, uuid.UUID):
        return {"decimal" if kind is Decimal else "uuid": str(value)}
    raise NotComparedError(f"a parameter is {kind.__name__}")


def _of_time(value: Any, text: str, connection: Any, began: float) -> dict[str, Any] | None:
    """The date of today, or the moment of now; None for what is neither a date nor a moment."""
    is_text = isinstance(value, str)
    if _DAY.fullmatch(text):
        if text not in {day.isoformat() for day in _todays()}:
            raise NotComparedError("a date is not of today")
        return {"day": text, "text": is_text}
    if not _MOMENT.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise NotComparedError(f"a moment is not read: {error}") from error
    if moment.tzinfo is None and django_settings.USE_TZ:
        moment = moment.replace(tzinfo=connection.timezone)
    # Nothing else has the time that it was while the page was rendered.
    if not began <= moment.timestamp() <= time.time():
        raise NotComparedError("a moment is not now")
    if is_text and connection.ops.adapt_datetimefield_value(moment) != value:
        raise NotComparedError("a moment is written otherwise")
    return {"now": True, "text": is_text}


def _values(one: Any, connection: Any, now: datetime, todays: list[date]) -> list[Any]:
    """What stands for a parameter when it is asked again."""
    if not isinstance(one, dict):
        return [one]
    if "now" in one:
        return [connection.ops.adapt_datetimefield_value(now) if one["text"] else now]
    if "day" in one:
        days = dict.fromkeys([date.fromisoformat(one["day"]), *todays])
        return [day.isoformat() for day in days] if one["text"] else list(days)
    if "psycopg" in one:
        return [getattr(import_module(_NUMERIC), one["psycopg"])(one["value"])]
    if "decimal" in one:
        return [Decimal(one["decimal"])]
    return [uuid.UUID(one["uuid"])]
