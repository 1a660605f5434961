"""Which query gave a page which tag, and which writes invalidate it.

For `manage.py edge_isr_explain`, and with `DEBUG` for the field `X-Edge-ISR-Explain`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import connections, router
from django.db.models import Model

from .beginnings import ANY_TEXT, OF_SOME
from .conditions import ROWS, SET, UNSET, deciding_fields, flag_of
from .context import Recorder, Span
from .registry import ignored_fields
from .results import Asked
from .tags import ANYTHING, PATH, RESULT, TABLE
from .tracked import tracked_fields

MAX_FIELD_CHARS = 4000
MAX_SQL_CHARS = 160


@contextmanager
def of_query(recorder: Recorder) -> Iterator[list[str]]:
    """A query is compiled in it; whoever does puts its SQL into the list."""
    sql: list[str] = []
    if recorder.explained is None:
        yield sql
        return
    name = ("explained query", id(sql), None)
    span = Span(None, made=False, replaces=False)
    recorder.begin_span(name, span)
    try:
        yield sql
    finally:
        recorder.end_span(name)
        recorder.explained.append((sql[0] if sql else "a query that finds nothing", span.named()))


@contextmanager
def of_rows(recorder: Recorder) -> Iterator[None]:
    """The rows of a query are fetched in it: their tags are the query's."""
    if recorder.explained is None:
        yield
        return
    name = ("explained rows", id(recorder.explained), len(recorder.explained))
    span = Span(None, made=False, replaces=False)
    known = len(recorder.explained)
    recorder.begin_span(name, span)
    try:
        yield
    finally:
        recorder.end_span(name)
        fresh = recorder.explained[known:]
        sql = fresh[-1][0] if fresh else "rows that were loaded before"
        recorder.explained[known:] = [*fresh[:-1], (sql, span.named())]


def as_field(explained: Iterable[tuple[str, list[str]]]) -> str:
    """All of it in one line, as far as it goes into a field of a response."""
    lines = [f"{' '.join(tags) or 'nothing'} <- {short(sql)}" for sql, tags in explained]
    text = "; ".join(lines).encode("ascii", "replace").decode()
    return text if len(text) <= MAX_FIELD_CHARS else f"{text[:MAX_FIELD_CHARS]} ..."


def short(sql: str) -> str:
    """What can be read of a query at a glance."""
    text = " ".join(sql.split())
    if text.casefold().startswith("select ") and " FROM " in text:
        text = f"SELECT ... FROM {text.split(' FROM ', 1)[1]}"
    return text if len(text) <= MAX_SQL_CHARS else f"{text[:MAX_SQL_CHARS]}..."


def writes_that_invalidate(tag: str) -> str:
    """Which writes invalidate a tag, in plain words."""
    if tag == ANYTHING:
        return "every change of a row: something that it depends on can't be named"
    if tag.startswith(PATH):
        return "revalidation of this path, and dependent_paths"
    if tag.startswith(TABLE):
        return f"SQL of the site's own that writes {tag.removeprefix(TABLE)}"
    label, colon, part = tag.partition(":")
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        return "whoever names it: register(tags=...), revalidate_by_tags"
    if label == RESULT:
        return _of_result(model, part)
    name = model._meta.verbose_name
    if not colon:
        ignored = sorted({field.name for field in model._meta.concrete_fields
                          if field.name in ignored_fields(model)})  # fmt: skip
        but = f", but for changes of {', '.join(ignored)} alone" if ignored else ""
        return f"every change of any {name}{but}"
    return _of_part(model, str(name), part)


def _of_result(model: type[Model], part: str) -> str:
    if not part.isdigit():
        return f"revalidation of {part or 'results'} by hand, or at a time"
    row: Any = model._base_manager.using(router.db_for_write(model)).filter(pk=part).first()
    query = "its query" if row is None else short(Asked.load(row.query).sql)
    return f"a change after which this brings something else: {query}"


def _of_part(model: type[Model], name: str, part: str) -> str:
    for behind, state in ((UNSET, " not"), (SET, "")):
        if part.endswith(behind) and not part.startswith(ROWS):
            columns = ", ".join(sorted(deciding_fields(model)))
            rows = _of_part(model, name, part.removesuffix(behind))
            flag = flag_of(model, connections[router.db_for_read(model)].vendor)
            having = "" if flag is None else f", with {flag.name}{state} set,"
            rows = rows.removeprefix("each change of a ") + having
            return f"each {rows} that comes or goes, or changes in {columns}"
    if part == "*":
        return f"changes of {name} rows that are not known: raw SQL, more than 1,000 at once"
    if part == "@":
        return f"each {name} that comes or goes"
    if part == OF_SOME:
        return f"changes of texts in more {name} rows at once than are named"
    attname, of_one, key = part.removeprefix(ROWS).partition("=")
    if part.startswith(ROWS) and of_one and not attname:
        columns = ", ".join(sorted(tracked_fields(model)))
        return f"a change of {columns} in the {name} {key}"
    if part.startswith(ROWS) and of_one:
        return f"a change of {_of_read(attname)} in the {name} {key}"
    if part.startswith(ROWS):
        return f"a change of {part[1:]} in any {name}"
    for sign, meaning in ((">>", "it or below it"), (">", "right below it")):
        field, found, value = part.partition(sign)
        if found and field == "path":
            return f"each change of a {name} in the tree at {value}, {meaning}"
    field, found, value = part.partition("=")
    if found:
        return f"each change of a {name} whose {field} is, was or becomes {value}"
    return f"each change of the {name} {part}"


def _of_read(name: str) -> str:
    """A column, or what of it is read."""
    attname, cut, length = name.partition("<")
    if cut and int(length) == ANY_TEXT:
        return f"whether there is any {attname}"
    return f"the first {length} characters of {attname}" if cut else attname
