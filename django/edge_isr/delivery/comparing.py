"""Results on record (`sharing`) are compared with what their queries bring now.

After the commit of a change, before it is delivered: two transactions that each see no difference
may make one together. What differs is taken off the record and invalidated, in one transaction of
its own with the outbox. So if the process dies before that, whoever takes the message over compares
again, and if it dies after it, the messages are there. What the query brings now is put on record
with it: the pages that are refetched find it there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial

from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from ..conf import Settings
from ..invalidation import Invalidation
from ..models import Result
from ..results import Asked
from ..sharing import forget, has_results
from ..sqlite import between_transactions
from ..tags import RESULT, with_coarse

logger = logging.getLogger("edge_isr")

# If a change may concern the results of more queries, or asking takes longer, the others are
# invalidated without being asked.
MAX_QUERIES = 200
MAX_SECONDS = 5.0
# What nobody asks for any more is not kept for ever, and what was asked with the date of one day
# for less: each day has its own.
MAX_AGE = timedelta(days=30)
MAX_AGE_OF_DAYS = timedelta(days=7)
CHUNK = 200
REASON = "results that have changed"

Write = Callable[[Invalidation, str, Settings], None]


class _Record:
    """What is to be done with the results on record."""

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.fresh: list[Result] = []


def compare(
    invalidations: Iterable[Invalidation], using: str, settings: Settings, write: Write
) -> bool:
    """Invalidates the results on record that are no more what their queries bring, of those that
    these invalidations may have changed. Whether there are any."""
    groups: dict[tuple[bool, bool, int], set[str]] = {}
    for one in invalidations:
        if one.tags:
            options = (one.hard, one.warm, one.reinvalidate_after_ms)
            groups.setdefault(options, set()).update(one.tags)
    if not groups or not has_results(using):
        return False
    found = False
    # What a page changes while it is rendered must not refetch it: only what else does may.
    for hard, warm, reinvalidate_after_ms in sorted(groups, reverse=True):
        try:
            record = _record(with_coarse(groups[hard, warm, reinvalidate_after_ms]), using)
        except DatabaseError:
            # The table may be gone, by a migration that was taken back.
            forget()
            if has_results(using):
                raise
            return False
        if record.gone:
            tags = {f"{RESULT}:{key}" for key in record.gone}
            one = Invalidation(
                tags=tags,
                hard=hard,
                warm=warm,
                reinvalidate_after_ms=reinvalidate_after_ms,
                reason=REASON,
            )
            _take_off(record, using, partial(write, one, using, settings))
            found = True
    return found


def _record(tags: set[str], using: str) -> _Record:
    record, too_old = _Record(), timezone.now() - MAX_AGE
    by_query: dict[str, list[tuple[int, str]]] = {}
    rows = Result.objects.using(using).order_by("id")
    for key, fingerprint, digest, known, created_at in rows.values_list(
        "pk", "fingerprint", "digest", "tags", "created_at"
    ):
        if created_at < too_old:
            record.gone.add(key)
        elif not tags.isdisjoint(known.split()):
            by_query.setdefault(fingerprint, []).append((key, digest))
    until = time.monotonic() + MAX_SECONDS
    for found in by_query.values():
        if len(by_query) > MAX_QUERIES or time.monotonic() > until:
            record.gone.update(key for key, _ in found)
        else:
            _ask_again(record, found, using)
    return record


def _ask_again(record: _Record, found: list[tuple[int, str]], using: str) -> None:
    """Compares the results of one query, each with its key, with what it brings now."""
    row = Result.objects.using(using).filter(pk__in=[key for key, _ in found]).first()
    if row is None:
        # Another one who delivers has done so.
        return
    query, digests = _asked_again(row, using)
    record.gone.update(key for key, digest in found if set(digests) != {digest})
    now = digests[0]
    if query is not None and query.is_of_today and now not in {None, *dict(found).values()}:
        record.fresh.append(Result(
            fingerprint=row.fingerprint, digest=now, query=row.query, tags=row.tags
        ))  # fmt: skip


def _asked_again(row: Result, using: str) -> tuple[Asked | None, list[str | None]]:
    """A query, and what it brings now; None for what can't be asked."""
    try:
        query = Asked.load(row.query)
        if not query.is_of_today and row.created_at < timezone.now() - MAX_AGE_OF_DAYS:
            return query, [None]
        return query, query.digests(connections[using])
    except Exception:
        # Its pages are refetched, whatever it is.
        logger.exception("a query whose result is compared can't be asked again: %s", row.query)
        return None, [None]


def _take_off(record: _Record, using: str, write_message: Callable[[], None]) -> None:
    keys = sorted(record.gone)
    with between_transactions(using), transaction.atomic(using=using):
        results = Result.objects.using(using)
        for start in range(0, len(keys), CHUNK):
            results.filter(pk__in=keys[start : start + CHUNK]).delete()
        results.bulk_create(record.fresh)
        write_message()
