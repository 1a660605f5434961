"""The outbox and invalidations at a time: written, superseded by name, taken back.

The worker is given one at once, under an id of its own, and does it at its time, also while this
site is down. It takes what is at most a month ahead: until then a message waits here. Other targets
know no such thing: what is for them waits in the outbox for its time.

What has a name gives way to a later one of the same name. If it says the same, nothing is sent. A
message that may have reached the worker is taken back there as well, by a message of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.utils import timezone

from ..conf import Settings
from ..invalidation import Invalidation
from ..models import OutboxMessage
from ..targets import CANCEL, WORKER, target_names
from ..transactions import write_first
from .outbox import write

# Of a year that the worker takes: what is superseded before then costs it nothing.
AHEAD = timedelta(days=30)
# The names that the worker takes of one at a time.
MAX_NAMES = 500
# A call that is under way has ended after this.
UNDER_WAY_SECONDS = 60
CHUNK = 200


def write_all(invalidations: Iterable[Invalidation], using: str, settings: Settings) -> None:
    """Writes what is to be sent, for every target, in the current transaction."""
    timed = []
    for one in invalidations:
        if one.at_ms or one.name:
            timed.append(one)
        else:
            write(one, using, settings)
    if timed:
        write_first(connections[using], OutboxMessage)
        now = timezone.now()
        waiting = _waiting({one.name for one in timed} - {""}, using, now)
        fresh: list[OutboxMessage] = []
        for one in timed:
            rows = list(_rows(one, settings, now))
            before = waiting.get(one.name, [])
            if one.name and _said(before) == _said(rows):
                continue
            fresh += _taken_back(before, using, now)
            fresh += rows
        OutboxMessage.objects.using(using).bulk_create(fresh)


def _waiting(names: set[str], using: str, now: datetime) -> dict[str, list[OutboxMessage]]:
    """What waits for its time under some names."""
    found: dict[str, list[OutboxMessage]] = {}
    status = OutboxMessage.Status
    ordered = sorted(names)
    for start in range(0, len(ordered), CHUNK):
        rows = OutboxMessage.objects.using(using).filter(
            name__in=ordered[start : start + CHUNK], at__gt=now,
            status__in=[status.PENDING, status.DELIVERED],
        )  # fmt: skip
        for row in rows.order_by("id"):
            found.setdefault(row.name, []).append(row)
    return found


def _rows(one: Invalidation, settings: Settings, now: datetime) -> Iterator[OutboxMessage]:
    if not one.at_ms:
        return
    at = datetime.fromtimestamp(one.at_ms / 1000, tz=now.tzinfo)
    # Each name may be a tag with its coarser one, or a path on every host.
    most = MAX_NAMES // (2 + len(settings.site_urls))
    for target in target_names(settings):
        is_worker = target == WORKER
        for part in one.parts(most):
            yield OutboxMessage(
                target=target, payload=part.to_json(), created_at=now, at=at, name=one.name,
                due_at=max(now, at - AHEAD if is_worker else at),
                job_id=f"at_{uuid.uuid4().hex}" if is_worker else "",
            )  # fmt: skip


def _said(rows: Sequence[OutboxMessage]) -> list[tuple[str, Any]]:
    return [(row.target, row.payload) for row in rows]


def _taken_back(
    rows: Sequence[OutboxMessage], using: str, now: datetime
) -> Iterator[OutboxMessage]:
    """Rows are not to be sent; what takes those back that have been, or may have been."""
    if not rows:
        return
    messages = OutboxMessage.objects.using(using).filter(pk__in=[row.pk for row in rows])
    messages.filter(status=OutboxMessage.Status.PENDING).delete()
    messages.update(status=OutboxMessage.Status.CANCELLED)
    for row in rows:
        delivered = row.status == OutboxMessage.Status.DELIVERED
        if row.target == WORKER and (delivered or row.attempts or row.claim):
            until = now.timestamp() + (0 if delivered else UNDER_WAY_SECONDS)
            yield OutboxMessage(
                target=WORKER, payload={CANCEL: until}, job_id=row.job_id, created_at=now,
                due_at=now,
            )  # fmt: skip
