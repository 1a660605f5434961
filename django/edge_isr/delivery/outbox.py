"""The outbox at work: rows are written with the change, claimed, sent merged, and accounted for.

A claim is a lease: if its holder dies, others take the rows over. Rows of one target are merged
into one call, whose id follows from the rows, so that a call whose answer was lost counts once.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import Error, connections, router, transaction
from django.db.models import F, Min, Q
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from ..conf import Settings
from ..invalidation import Invalidation, merged
from ..migrating import is_migrating
from ..models import OutboxMessage
from ..retry import Failed, PutOff, Refused, delay
from ..sqlite import between_transactions, in_memory
from ..targets import CANCEL, Receipt, Target, WorkerTarget, make_target, target_names
from .comparing import compare

logger = logging.getLogger("edge_isr")

MAX_ROWS = 500
MAX_NAMES_PER_ROW = 5000
# A claim whose holder was killed ends after this; while a call lasts, it is renewed in between.
CLAIM_SECONDS = 15
RENEW_SECONDS = 5.0
# How soon what was left to another deliverer is looked at again.
LEFT_SECONDS = 1.0
# What a target has no room for is offered again after this, and at its time at the latest.
FULL_SECONDS = 3600.0


@dataclass
class Outcome:
    """What one round did."""

    delivered: int = 0
    failed: int = 0
    dead: int = 0

    def __iadd__(self, other: Outcome) -> Outcome:
        self.delivered += other.delivered
        self.failed += other.failed
        self.dead += other.dead
        return self


def databases() -> list[str]:
    """The databases that have an outbox."""
    return [
        alias
        for alias in connections
        if router.allow_migrate_model(alias, OutboxMessage) and not in_memory(connections[alias])
    ]


# The databases that are known to have the table.
_has_table: set[str] = set()


def has_table(using: str) -> bool:
    """Whether the outbox has been migrated there. Asked once: a failing INSERT would take the
    site's own transaction with it."""
    if using not in _has_table:
        connection = connections[using]
        if OutboxMessage._meta.db_table not in connection.introspection.table_names():
            return False
        _has_table.add(using)
    return True


def can_write(using: str) -> bool:
    """Whether changes on this database go by its outbox."""
    if in_memory(connections[using]):
        return False
    if has_table(using):
        return True
    if not is_migrating():
        logger.error("the database %s has no outbox yet (run migrate): sent without it", using)
    return False


def write(invalidation: Invalidation, using: str, settings: Settings) -> None:
    """Writes what is to be sent, for every target, in the current transaction."""
    now = timezone.now()
    due = now + timedelta(seconds=max(0.0, invalidation.due - now.timestamp()))
    rows = [
        OutboxMessage(target=name, payload=part.to_json(), created_at=now, due_at=due)
        for name in target_names(settings)
        for part in invalidation.parts(MAX_NAMES_PER_ROW)
    ]
    if rows:
        OutboxMessage.objects.using(using).bulk_create(rows)


def first_due(using: str, resting: Iterable[str] = ()) -> float | None:
    """In how many seconds the first row is due and nobody's, below 0 if it is; none without one."""
    pending = OutboxMessage.objects.using(using).filter(status=OutboxMessage.Status.PENDING)
    # What another holds is nobody's before its claim ends.
    free_at = Greatest("due_at", Coalesce("claimed_until", "due_at"))
    due = pending.exclude(target__in=resting).aggregate(at=Min(free_at))["at"]
    return None if due is None else (due - timezone.now()).total_seconds()


class Deliverer:
    """Delivers what is due. It remembers which targets rest, so that a dead one is left alone."""

    def __init__(self) -> None:
        self._rest_until: dict[str, float] = {}
        self._prune_at = 0.0
        # Whether the last round left what is due to another one who delivers.
        self._leaves = False

    def round(self, using: str, settings: Settings) -> Outcome:
        """Delivers everything that is due on one database."""
        outcome = Outcome()
        while rows := self._claim(using):
            by_target: dict[str, list[OutboxMessage]] = {}
            for row in rows:
                by_target.setdefault(row.target, []).append(row)
            with _renewed(rows[0].claim, using):
                _compare(rows, using, settings)
                for name, of_target in by_target.items():
                    for together in _calls(of_target):
                        outcome += self._deliver(name, together, using, settings)
        self._prune(using, settings)
        return outcome

    def next_due(self, using: str) -> float | None:
        """The seconds until something is due; none if nothing waits."""
        if self._leaves:
            return LEFT_SECONDS
        pending = OutboxMessage.objects.using(using).filter(status=OutboxMessage.Status.PENDING)
        resting = self._resting()
        due = first_due(using, resting)
        waits = [max(0.0, due)] if due is not None else []
        now = time.monotonic()
        if resting and pending.filter(target__in=resting).exists():
            waits += [self._rest_until[name] - now for name in resting]
        return max(0.0, min(waits)) if waits else None

    @staticmethod
    def _others_deliver(using: str, now: datetime) -> bool:
        """On SQLite one deliverer at a time spares the site's writers the statements of the others:
        whoever is at it goes on until nothing is due."""
        pending = OutboxMessage.objects.using(using).filter(status=OutboxMessage.Status.PENDING)
        return pending.filter(claimed_until__gt=now).exists()

    def _resting(self) -> list[str]:
        now = time.monotonic()
        return [name for name, until in self._rest_until.items() if until > now]

    def _claim(self, using: str) -> list[OutboxMessage]:
        now = timezone.now()
        claim = uuid.uuid4().hex
        free = Q(claimed_until=None) | Q(claimed_until__lt=now)
        # What nobody has tried or put off is due whatever the clock of the host says that wrote it.
        at_once = Q(due_at__lte=now) | Q(attempts=0, due_at=F("created_at"))
        due = OutboxMessage.objects.using(using).filter(
            free, at_once, status=OutboxMessage.Status.PENDING
        )
        due = due.exclude(target__in=self._resting()).order_by("id")
        self._leaves = False
        if not due.exists():
            return []
        if connections[using].vendor == "sqlite" and self._others_deliver(using, now):
            self._leaves = True
            return []
        until = now + timedelta(seconds=CLAIM_SECONDS)
        messages = OutboxMessage.objects.using(using)
        if connections[using].features.has_select_for_update_skip_locked:
            with transaction.atomic(using=using):
                locked = due.select_for_update(skip_locked=True)
                ids = list(locked.values_list("pk", flat=True)[:MAX_ROWS])
                messages.filter(pk__in=ids).update(claim=claim, claimed_until=until)
        else:
            # No lock between the two: the condition is asked again, and who comes second gets none.
            ids = list(due.values_list("pk", flat=True)[:MAX_ROWS])
            with between_transactions(using):
                messages.filter(free, pk__in=ids).update(claim=claim, claimed_until=until)
        return list(messages.filter(claim=claim, pk__in=ids))

    def _deliver(
        self, name: str, rows: Sequence[OutboxMessage], using: str, settings: Settings
    ) -> Outcome:
        try:
            target = make_target(name, settings)
        except LookupError as error:
            return self._refused(rows, using, str(error))
        try:
            receipt = send(target, rows, settings)
        except Refused as error:
            if len(rows) == 1:
                return self._refused(rows, using, str(error))
            # One of them is at fault: each for itself, so that it takes no other with it.
            outcome = Outcome()
            for row in rows:
                outcome += self._deliver(name, [row], using, settings)
            return outcome
        except PutOff as error:
            return self._put_off(rows, using, str(error))
        except Failed as error:
            return self._failed(name, rows, using, str(error), error.retry_after)
        except Exception as error:
            logger.exception("%s: an unexpected error", name)
            return self._failed(name, rows, using, f"{type(error).__name__}: {error}", None)
        self._rest_until.pop(name, None)
        _update(
            rows, using, status=OutboxMessage.Status.DELIVERED, delivered_at=timezone.now(),
            last_error="", claim="", claimed_until=None, job_id=rows[0].job_id or receipt.job_id,
            epoch=receipt.epoch,
        )  # fmt: skip
        return Outcome(delivered=len(rows))

    def _failed(
        self,
        name: str,
        rows: Sequence[OutboxMessage],
        using: str,
        why: str,
        retry_after: float | None,
    ) -> Outcome:
        attempts = max(row.attempts for row in rows) + 1
        wait = delay(attempts, retry_after)
        self._rest_until[name] = time.monotonic() + wait
        logger.error("%s: not delivered, again in %.0f s: %s", name, wait, why)
        _update(
            rows, using, attempts=attempts, due_at=timezone.now() + timedelta(seconds=wait),
            last_error=why[:2000], claim="", claimed_until=None,
        )  # fmt: skip
        return Outcome(failed=len(rows))

    @staticmethod
    def _put_off(rows: Sequence[OutboxMessage], using: str, why: str) -> Outcome:
        """Others are delivered meanwhile: the target does not rest."""
        now = timezone.now()
        for row in rows:
            due = now + timedelta(seconds=delay(row.attempts + 1))
            if row.at is not None:
                # There is no room for what is for later; at its time it is for now.
                due = max(due, min(now + timedelta(seconds=FULL_SECONDS), row.at))
            logger.warning("%s: put off until %s: %s", row.target, due, why)
            _update(
                [row], using, attempts=row.attempts + 1, due_at=due, last_error=why[:2000],
                claim="", claimed_until=None,
            )  # fmt: skip
        return Outcome(failed=len(rows))

    @staticmethod
    def _refused(rows: Sequence[OutboxMessage], using: str, why: str) -> Outcome:
        for row in rows:
            logger.error("%s: refused for good, outbox message %s: %s", row.target, row.pk, why)
        _update(
            rows,
            using,
            status=OutboxMessage.Status.DEAD,
            last_error=why[:2000],
            claim="",
            claimed_until=None,
        )
        return Outcome(dead=len(rows))

    def _prune(self, using: str, settings: Settings) -> None:
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + 60
        before = timezone.now() - timedelta(seconds=settings.retention)
        status = OutboxMessage.Status
        done = OutboxMessage.objects.using(using).filter(
            # What waits for its time elsewhere may have to be taken back.
            Q(at=None) | Q(at__lt=before) | Q(status=status.CANCELLED),
            status__in=[status.DELIVERED, status.CANCELLED], delivered_at__lt=before,
        )  # fmt: skip
        if done.exists():
            with between_transactions(using):
                done.delete()


def _compare(rows: Sequence[OutboxMessage], using: str, settings: Settings) -> None:
    """Before these are delivered for the first time: results that they have changed get
    messages of their own, which are claimed next."""
    now = timezone.now()
    compare(
        [
            Invalidation.from_json(row.payload)
            for row in rows
            # What is for later has changed nothing yet.
            if row.attempts == 0 and CANCEL not in row.payload and (row.at is None or row.at <= now)
        ],
        using, settings, write,
    )  # fmt: skip


@contextmanager
def _renewed(claim: str, using: str) -> Iterator[None]:
    """Renews a claim while it is needed, on a connection of its own if it is needed long. If that
    fails, the claim ends: then others deliver the same, which counts once or is harmless."""
    done = threading.Event()

    def renew() -> None:
        try:
            while not done.wait(RENEW_SECONDS):
                until = timezone.now() + timedelta(seconds=CLAIM_SECONDS)
                with between_transactions(using):
                    held = OutboxMessage.objects.using(using).filter(claim=claim)
                    held.update(claimed_until=until)
        except Error as error:
            logger.warning("a claim on the outbox of %s was not renewed: %s", using, error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=renew, name="edge-isr-claim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _update(rows: Sequence[OutboxMessage], using: str, **values: Any) -> None:
    with between_transactions(using):
        OutboxMessage.objects.using(using).filter(pk__in=[row.pk for row in rows]).update(**values)


def _calls(rows: Sequence[OutboxMessage]) -> Iterator[list[OutboxMessage]]:
    """Rows that are sent together: what has an id of its own is a call of its own."""
    together = []
    for row in rows:
        if row.job_id:
            yield [row]
        else:
            together.append(row)
    if together:
        yield together


def send(target: Target, rows: Sequence[OutboxMessage], settings: Settings) -> Receipt:
    """Sends a target what some rows say."""
    from ..fragments import forget

    if rows[0].job_id and isinstance(target, WorkerTarget):
        if CANCEL in rows[0].payload:
            under_way = timezone.now().timestamp() < rows[0].payload[CANCEL]
            return target.cancel(rows[0].job_id, under_way)
        return target.send(Invalidation.from_json(rows[0].payload), rows[0].job_id)
    invalidations = merged(Invalidation.from_json(row.payload) for row in rows)
    # Whoever wrote the rows may have died before it could; the refetch must not meet old fragments.
    forget(invalidations, settings)
    names = ",".join(str(row.pk) for row in sorted(rows, key=lambda row: row.pk))
    first = min(rows, key=lambda row: row.pk)
    # Row numbers begin anew in a new database; the time of the first distinguishes those.
    seed = f"{names} {first.created_at.timestamp()} {first.target}"
    message_id = "msg_" + hashlib.sha256(seed.encode()).hexdigest()[:40]
    receipt = Receipt()
    for at, invalidation in enumerate(invalidations):
        receipt = target.send(invalidation, f"{message_id}-{at}")
    return receipt
