"""From a change to its commit: changes are merged, written to the outbox in the change's own
transaction, and sent when that commits. A rollback, also of a savepoint, takes them along.

Each state of a transaction (its stack of savepoints) has at most one callback of ours. It holds
what was recorded in that state, and Django drops it together with the savepoint it belongs to. The
outbox is written once, right before the commit: a transaction of a thousand saves writes one row.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .conf import Settings, get_settings, is_dormant
from .delivery import committed
from .invalidation import Invalidation, merged
from .sqlite import writing_first
from .tags import condensed

logger = logging.getLogger("edge_isr")

Maker = Callable[[list[Any]], Invalidation]
# Invalidations, the database of their changes, and whether its outbox has them.
Commit = tuple[list[Invalidation], str, bool]

# So much of what can wait is held at once.
MAX_LATER = 1000

_silenced: ContextVar[bool] = ContextVar("edge_isr_silenced", default=False)
_batch: ContextVar[dict[str, list[Invalidation]] | None] = ContextVar(
    "edge_isr_batch", default=None
)
# What has committed inside `sent_at_its_end`.
_committed_inside: ContextVar[list[Commit] | None] = ContextVar(
    "edge_isr_committed_inside", default=None
)


@contextmanager
def silence() -> Iterator[None]:
    """What changes meanwhile invalidates nothing."""
    token = _silenced.set(True)
    try:
        yield
    finally:
        _silenced.reset(token)


@contextmanager
def batch(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """One transaction whose changes become one invalidation, written once at its end. Changes of
    other databases are not held back: they are committed without it."""
    outer = _batch.get() or {}
    if using in outer:
        with transaction.atomic(using=using):
            yield
        return
    changes: list[Invalidation] = []
    with transaction.atomic(using=using):
        token = _batch.set({**outer, using: changes})
        try:
            yield
        finally:
            _batch.reset(token)
        for one in merged(changes):
            _submit(one, using)


def is_silenced() -> bool:
    """Whether changes invalidate nothing now: by `silence`, or in a test run that doesn't look."""
    return _silenced.get() or (is_dormant() and not _watches)


def record(invalidation: Invalidation, using: str = DEFAULT_DB_ALIAS) -> None:
    """Something is out of date once the transaction on that database commits."""
    if not invalidation or is_silenced():
        return
    changes = (_batch.get() or {}).get(using)
    if changes is None:
        _submit(invalidation, using)
    else:
        changes.append(invalidation)


def record_later(make: Maker, item: Any, connection: Any) -> bool:
    """As `record`, of what `make` makes of this item and of others: right before the commit, or
    when somebody asks. False where it can't wait; then nothing is recorded."""
    if not connection.in_atomic_block or _batch.get():
        return False
    after = _after(connection)
    items = after.later.setdefault(make, [])
    items.append(item)
    if len(items) >= MAX_LATER:
        after.make()
    return True


class Savepoint:
    """Stands among a transaction's callbacks where a savepoint was set. Django drops what `atomic`
    recorded inside one that it rolls back; `savepoint_rollback` may also be called by hand."""

    def __init__(self, sid: str) -> None:
        self.__qualname__ = type(self).__qualname__
        self.sid = sid

    def __call__(self) -> None:
        """Nothing."""


class AfterCommit:
    """What was recorded in one state of a transaction."""

    def __init__(self, using: str) -> None:
        # Django names callbacks that fail by this.
        self.__qualname__ = type(self).__qualname__
        self.using = using
        self._recorded: list[Invalidation] = []
        # Those that wait under a name for their time: the last one counts.
        self._named: dict[str, Invalidation] = {}
        # What is still to be made an invalidation of: many saves are one.
        self.later: dict[Maker, list[Any]] = {}
        # Whether what was recorded stands in the outbox.
        self.written = False

    @property
    def recorded(self) -> list[Invalidation]:
        """All of it so far."""
        self.make()
        return [*self._recorded, *self._named.values()]

    def make(self) -> None:
        """Makes of what was left for later what is invalidated by it, if it is anything."""
        later, self.later = self.later, {}
        for make, items in later.items():
            if made := make(items):
                self.take(made)

    def take(self, invalidation: Invalidation) -> None:
        """Takes it up."""
        if invalidation.name:
            self._named[invalidation.name] = invalidation.copy()
            return
        self.make()
        for known in self._recorded:
            if known.options == invalidation.options:
                known.absorb(invalidation)
                return
        self._recorded.append(invalidation.copy())

    def is_written_as(self, changes: list[Invalidation]) -> None:
        """It stands in the outbox, as these: nothing more is recorded before the commit."""
        self.written = True
        self._recorded, self._named = changes, {}

    def __call__(self) -> None:
        """The transaction has committed."""
        _committed([self], self.using)


def before_commit(connection: BaseDatabaseWrapper) -> None:
    """Writes the outbox; the transaction is about to commit.

    What can't be written is sent after the commit without the outbox: the site's own change does
    not fail for it. Raises if the failure has ended the transaction: then nothing can be committed.
    """
    waiting = [one for one in _callbacks(connection.run_on_commit) if not one.written]
    settings = get_settings()
    if not waiting or not settings.outbox or is_dormant():
        return
    from .delivery.outbox import can_write
    from .delivery.scheduled import write_all

    if not can_write(connection.alias):
        return
    changes = _together(one for after in waiting for one in after.recorded)
    if not changes:
        return
    inside = connection.in_atomic_block
    try:
        # A savepoint: on some databases a statement that fails ends the transaction.
        with transaction.atomic(using=connection.alias):
            write_all(changes, connection.alias, settings)
    except Exception as error:
        # Not even the savepoint could be set.
        lost, connection.in_atomic_block = connection.in_atomic_block is not inside, inside
        if lost or connection.needs_rollback or connection.connection is None:
            raise
        logger.error(
            "the outbox on %s could not be written (%s): %s is sent without it, and is lost if "
            "this process ends before. Look at the database, and run migrate",
            connection.alias, error, changes[0],
        )  # fmt: skip
        return
    for after in waiting:
        after.is_written_as(changes if after is waiting[0] else [])


def after_commit(connection: BaseDatabaseWrapper) -> None:
    """Fragments and versions are made out of date at once; the edge is notified at the end of
    `sent_at_its_end`."""
    ours = _callbacks(connection.run_on_commit)
    connection.run_on_commit = [
        entry
        for entry in connection.run_on_commit
        if not isinstance(entry[1], (AfterCommit, Savepoint))
    ]
    if ours:
        _committed(ours, connection.alias)


@contextmanager
def sent_at_its_end() -> Iterator[None]:
    """What commits inside is sent when the outermost of these has ended, however it ends.

    The site clears caches of its own after a write: in receivers of `post_save`, in callbacks after
    the commit. A page that is refetched before that has the old value once more, and keeps it.
    """
    if _committed_inside.get() is not None:
        yield
        return
    commits: list[Commit] = []
    token = _committed_inside.set(commits)
    try:
        yield
    finally:
        _committed_inside.reset(token)
        for invalidations, using, written in commits:
            try:
                committed(invalidations, using, get_settings(), written)
            except Exception:
                # Neither the site's change nor its own exception is lost for this.
                logger.exception("what has changed on %s could not be sent", using)


def savepoint_set(connection: BaseDatabaseWrapper, sid: str | None) -> None:
    """What is recorded from now on is dropped if the savepoint is rolled back."""
    if sid is not None and connection.in_atomic_block and not is_silenced():
        transaction.on_commit(Savepoint(sid), using=connection.alias, robust=True)


def savepoint_rolled_back(connection: BaseDatabaseWrapper, sid: str) -> None:
    """Drops what was recorded since that savepoint."""
    inside = False
    kept = []
    for entry in connection.run_on_commit:
        inside = inside or (isinstance(entry[1], Savepoint) and entry[1].sid == sid)
        if not (inside and isinstance(entry[1], AfterCommit)):
            kept.append(entry)
    connection.run_on_commit = kept


def _together(recorded: Iterable[Invalidation]) -> list[Invalidation]:
    """All of a transaction, as short as can be: it may be many statements of few rows each."""
    found = merged(recorded)
    for one in found:
        one.tags = condensed(one.tags)
    return found


def _callbacks(run_on_commit: Iterable[tuple[object, ...]]) -> list[AfterCommit]:
    return [entry[1] for entry in run_on_commit if isinstance(entry[1], AfterCommit)]


def _committed(ours: list[AfterCommit], using: str) -> None:
    settings = get_settings()
    try:
        for written in (True, False):
            found = _together(
                one for after in ours if after.written is written for one in after.recorded
            )
            for one in found:
                for watched in _watches:
                    watched.committed.append(one.copy())
            if found and not is_dormant():
                _publish(found, using, settings, written)
    except Exception:
        # The change is committed: nothing that fails here may fail for the site.
        logger.exception("what has changed on %s could not be sent", using)


def _publish(
    invalidations: list[Invalidation], using: str, settings: Settings, written: bool
) -> None:
    """Fragments first, then the world."""
    from .fragments import forget

    # A cache may keep them in a table: that this is written is no change to report.
    with silence():
        forget([one for one in invalidations if not one.at_ms], settings)
    inside = _committed_inside.get()
    if inside is None:
        committed(invalidations, using, settings, written)
    else:
        inside.append((invalidations, using, written))


def _submit(invalidation: Invalidation, using: str) -> None:
    from .delivery.outbox import can_write

    connection = connections[using]
    if connection.in_atomic_block:
        _after(connection).take(invalidation)
        return
    settings = get_settings()
    try:
        if settings.outbox and not is_dormant():
            # Before it begins: on SQLite it has to write before it reads.
            can_write(using)
        # Its end writes the outbox, and sends.
        with writing_first(connection), transaction.atomic(using=using):
            _after(connection).take(invalidation)
    except Error as error:
        logger.error("the database %s can't take an outbox message: %s", using, error)
        _publish([invalidation], using, settings, False)


def _after(connection: BaseDatabaseWrapper) -> AfterCommit:
    state = set(connection.savepoint_ids)
    for entry in reversed(connection.run_on_commit[-20:]):
        if isinstance(entry[1], Savepoint):
            break
        if isinstance(entry[1], AfterCommit) and entry[0] == state:
            return entry[1]
    after = AfterCommit(connection.alias)
    # Robust: nothing that fails here may keep other callbacks from being called.
    transaction.on_commit(after, using=connection.alias, robust=True)
    return after


class Watch:
    """What is sent while it is in place, for tests: of all threads, and of transactions that are
    still open and perhaps never commit."""

    def __init__(self) -> None:
        self.committed: list[Invalidation] = []
        self._name = f"watch {uuid.uuid4().hex}"
        self._ended: list[Invalidation] | None = None
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                mark = Savepoint(self._name)
                transaction.on_commit(mark, using=connection.alias, robust=True)

    def invalidations(self) -> list[Invalidation]:
        """All of it so far, or until it ended."""
        if self._ended is not None:
            return self._ended
        found = [one.copy() for one in self.committed]
        for connection in connections.all(initialized_only=True):
            for after in _callbacks(self._since(connection)):
                found += [one.copy() for one in after.recorded]
        return found

    def _since(self, connection: BaseDatabaseWrapper) -> list[tuple[object, ...]]:
        entries = list(connection.run_on_commit)
        marks = [
            at
            for at, entry in enumerate(entries)
            if isinstance(entry[1], Savepoint) and entry[1].sid == self._name
        ]
        return entries[marks[0] :] if marks else entries

    def end(self) -> None:
        """Takes up nothing more."""
        self._ended = self.invalidations()


_watches: list[Watch] = []


def watch(watched: Watch) -> None:
    """Puts it in place."""
    _watches.append(watched)


def unwatch(watched: Watch) -> None:
    """Takes it away."""
    _watches.remove(watched)
