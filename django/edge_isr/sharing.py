"""Queries that many pages share: a page has one tag of what such a query has brought, in place of
the tags of all that may change it.

Every page of a site may list the months with entries, and each new entry could be the first of a
month. Whether it is, the query itself says: what it has brought stands in a table, with the tags
that the query gives; whoever delivers a change that names one of those asks the query again, and
invalidates the results that are not the same (`delivery.comparing`).

A page reads which results are on record before it asks, in one query for each that it shares. If
what it then gets is one of them, it has that row's tag, `edge_isr.result:42`. The row goes together
with its invalidation, after the page was begun, whenever that is; and a change after the page has
asked is compared with a row that was there already. So no row needs to be right: one that is not is
invalidated by the next change. A result that is not on record is put there for the next page, and
this one has the tags of the query itself, as it has wherever anything is in the way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from itertools import chain, islice
from typing import Any

from django.db import Error, connections, router, transaction
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.constants import MULTI, SINGLE

from . import statements
from .conf import is_dormant, load
from .context import Recorder, automatic, explaining, page_now, recording
from .links import is_in_loop
from .models import Result
from .patching import replace_method
from .results import MAX_ROWS, Asked, NotComparedError, asked
from .rows import unseen
from .sqlite import between_transactions, in_memory
from .tags import RESULT, with_every

logger = logging.getLogger("edge_isr")

# Of so many pages a query is shared: before that it may be one page's own.
SHARED_BY = 3
# Queries of which that is known.
MAX_KNOWN = 5000
MAX_ON_RECORD = 1000
# What keys of whole pages begin with in Django's caches.
PAGES = "views.decorators.cache."
# A query that more may change keeps its tags.
MAX_TAGS = 30
# Each change asks it again.
MAX_SECONDS = 0.2
# After a failure, or when there is no room, nothing is put on record for so long.
REST_SECONDS = 60.0


class _Asking:
    """A query of a page, from before it is compiled until its rows are there."""

    __slots__ = ("asked", "compiler", "known", "recorder", "single", "tags")

    def __init__(self, recorder: Recorder, compiler: Any, single: bool) -> None:
        self.recorder = recorder
        self.compiler = compiler
        self.single = single
        # How it can be asked again if it is compared, the tags that may change it, and which of its
        # results are on record, by their digests.
        self.asked: Asked | None = None
        self.tags = ""
        self.known: dict[str | None, int] = {}


class _Thread(threading.local):
    asking: _Asking | None = None


_thread = _Thread()
_lock = threading.Lock()
# The pages that had a query, by its fingerprint.
_pages: OrderedDict[str, tuple[int, ...]] = OrderedDict()
_rests_until: dict[str, float] = {}
_lacks_until: dict[str, float] = {}
_has_table: set[str] = set()
_is_read: set[str] = set()


def install() -> None:
    """Puts the hook in place; again has no effect."""
    replace_method(SQLCompiler, "execute_sql", _execute_sql)


def _execute_sql(original: Any) -> Any:
    def execute_sql(
        self: Any, result_type: Any = MULTI, chunked_fetch: bool = False, *args: Any, **more: Any
    ) -> Any:
        recorder = automatic()
        if (
            recorder is None or chunked_fetch or result_type not in (MULTI, SINGLE)
            or not _compares(self)
        ):  # fmt: skip
            return original(self, result_type, chunked_fetch, *args, **more)
        seen = Recorder()
        seen.explained = None if recorder.explained is None else []
        outer = _thread.asking
        asking = _thread.asking = _Asking(recorder, self, result_type == SINGLE)
        key = None
        try:
            started = time.monotonic()
            with recording(seen):
                result = original(self, result_type, chunked_fetch, *args, **more)
            if asking.asked is not None:
                key = _key(asking, result, time.monotonic() - started)
        finally:
            _thread.asking = outer
            _give(recorder, seen, key, asking)
        return result

    return execute_sql


def _compares(compiler: Any) -> bool:
    """Whether results are compared, and this thread may ask for them."""
    if not load()[0].compare_results or is_dormant() or not load()[0].outbox:
        return False
    return not (connections[compiler.using].needs_rollback or is_in_loop())


def _rows(result: Any, single: bool) -> list[Any]:
    if single:
        return [] if result is None else [result]
    return list(islice(chain.from_iterable(result), MAX_ROWS + 1))


def compiled(
    compiler: Any, sql: str, parameters: Sequence[Any], brings: bool, unclear: bool
) -> None:
    """The statement of a query is known, and its tags are. `unclear`: it reads more than is known,
    or its tags are the keys of rows that are in a relation now, and say nothing of others."""
    asking, seen = _thread.asking, automatic()
    if asking is None or asking.compiler is not compiler or seen is None:
        return
    if unclear or seen.unknown or not (seen.models or seen.parts):
        return
    try:
        _prepare(asking, seen, sql, parameters, brings)
    except NotComparedError as error:
        logger.debug("not compared (%s): %s", error, sql)
    except Error as error:
        _rest(compiler.using, error)
    except Exception:
        logger.exception("a query can't be compared: %s", sql)


def _prepare(
    asking: _Asking, seen: Recorder, sql: str, parameters: Sequence[Any], brings: bool
) -> None:
    using, model = asking.compiler.using, asking.compiler.query.model
    # What was read elsewhere is not what is asked again.
    if model is None or router.db_for_write(model) != using or not _has_record(using):
        return
    page = page_now.get()
    began = seen.began if page is None else page.recorder.began
    query = asked(asking.compiler, sql, parameters, brings, asking.single, began)
    tags = seen.named()
    if len(tags) > MAX_TAGS:
        raise NotComparedError("too much may change it")
    asking.tags = " ".join(sorted(with_every(tags)))
    fingerprint = query.fingerprint(asking.tags)
    if _is_kept(asking.recorder) or _is_shared(fingerprint):
        asking.known = on_record(fingerprint, using)
        asking.asked = query


def _is_kept(recorder: Recorder) -> bool:
    """Whether what is made of it is put into a cache or a fragment, for other pages to have."""
    return (recorder.active and recorder.page is None) or any(
        span.made and not str(name[1]).startswith(PAGES) for name, span in recorder.spans.items()
    )


def _is_shared(fingerprint: str) -> bool:
    """Whether several pages have this query."""
    if explaining.get():
        return True
    request = getattr(page_now.get(), "request", None)
    page = hash(getattr(request, "path", ""))
    with _lock:
        pages = _pages.pop(fingerprint, ())
        if page not in pages and len(pages) < SHARED_BY:
            pages += (page,)
        _pages[fingerprint] = pages
        if len(_pages) > MAX_KNOWN:
            _pages.popitem(last=False)
    return len(pages) >= SHARED_BY


def _has_record(using: str) -> bool:
    """The same, without asking again and again for a table that is not there."""
    if time.monotonic() < _lacks_until.get(using, 0.0):
        return False
    found = has_results(using)
    if not found:
        _lacks_until[using] = time.monotonic() + REST_SECONDS
    return found


def has_results(using: str) -> bool:
    """Whether results can be put on record there."""
    if using not in _has_table:
        connection = connections[using]
        if in_memory(connection) or not router.allow_migrate_model(using, Result):
            return False
        with unseen(), statements.own():
            if Result._meta.db_table not in connection.introspection.table_names():
                return False
        _has_table.add(using)
    return True


def on_record(fingerprint: str, using: str) -> dict[str | None, int]:
    """The results of a query that are on record, by their digests."""
    connection = connections[using]
    table, digest, key, column = map(
        connection.ops.quote_name, (Result._meta.db_table, "digest", "id", "fingerprint")
    )
    sql = f"SELECT {digest}, {key} FROM {table} WHERE {column} = %s"
    # Until it is known that it may be read: a statement that fails ends some transactions.
    careful = connection.in_atomic_block and using not in _is_read
    savepoint = transaction.atomic(using=using) if careful else nullcontext()
    with unseen(), statements.own(), savepoint, connection.cursor() as cursor:
        cursor.execute(sql, [fingerprint])
        found = dict(cursor.fetchall())
    _is_read.add(using)
    return found


def _key(asking: _Asking, result: Any, took: float) -> int | None:
    """The row on record that says what the query has brought; if there is none, there will be."""
    query, using = asking.asked, asking.compiler.using
    try:
        digest = None if query is None else query.digest(_rows(result, asking.single))
        if query is None or digest is None or digest in asking.known:
            return asking.known.get(digest)
        if took <= MAX_SECONDS and time.monotonic() >= _rests_until.get(using, 0.0):
            _put_when_committed(query, asking.tags, digest, using)
    except Exception:
        logger.exception("a result can't be compared: %s", query)
    return None


def _put_when_committed(query: Asked, tags: str, digest: str, using: str) -> None:
    if explaining.get():
        return
    if connections[using].in_atomic_block:
        put = partial(_put, query, tags, digest, using)
        transaction.on_commit(put, using=using, robust=True)
    else:
        _put(query, tags, digest, using)


def _put(query: Asked, tags: str, digest: str, using: str) -> None:
    try:
        with unseen():
            results = Result.objects.using(using)
            if results.count() >= MAX_ON_RECORD:
                _rests_until[using] = time.monotonic() + REST_SECONDS
                return
            with between_transactions(using):
                results.create(
                    fingerprint=query.fingerprint(tags), digest=digest, query=query.dump(),
                    tags=tags,
                )  # fmt: skip
    except Error as error:
        _rest(using, error)


def _rest(using: str, error: Error) -> None:
    """No page fails because its results can't be compared."""
    _rests_until[using] = time.monotonic() + REST_SECONDS
    logger.warning(
        "results on %s can't be put on record, so pages have more tags: %s", using, error
    )


def _give(recorder: Recorder, seen: Recorder, key: int | None, asking: _Asking) -> None:
    """What a query has been seen to depend on is the page's: as one result, or as it is."""
    recorder.dates |= seen.dates
    compared = Recorder()
    if key is not None:
        labels = {tag.partition(":")[0] for tag in asking.tags.split()}
        compared.saw_instances({RESULT: [key, *sorted(labels)]})
    for into in recorder.active_recorders():
        into.merge(seen if key is None else compared)
    if recorder.explained is not None and seen.explained:
        explained = seen.explained
        if key is not None:
            explained = [*explained[:-1], (explained[-1][0], compared.named())]
        recorder.explained += explained


def forget() -> None:
    """Begins anew."""
    with _lock:
        _pages.clear()
    _rests_until.clear()
    _lacks_until.clear()
    _has_table.clear()
    _is_read.clear()
