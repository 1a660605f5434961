"""From a change to its commit: changes are merged, written to the outbox in the change's own
transaction, and sent when that commits. A rollback, also of a savepoint, takes them along.

Each state of a transaction (its stack of savepoints) has at most one callback of ours. It holds
what was recorded in that state, so that the same tag is written once, and Django drops it together
with the savepoint it belongs to.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from .conf import Settings, get_settings
from .invalidation import Invalidation, merged

logger = logging.getLogger("edge_isr")

_silenced: ContextVar[bool] = ContextVar("edge_isr_silenced", default=False)
_batch: ContextVar[dict[str, list[Invalidation]] | None] = ContextVar(
    "edge_isr_batch", default=None
)


@contextmanager
def silence() -> Iterator[None]:
    """What changes meanwhile is told to nobody."""
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
    """Whether changes are told to nobody now."""
    return _silenced.get()


def record(invalidation: Invalidation, using: str = DEFAULT_DB_ALIAS) -> None:
    """Something is out of date once the transaction on that database commits."""
    if not invalidation or _silenced.get():
        return
    changes = (_batch.get() or {}).get(using)
    if changes is None:
        _submit(invalidation, using)
    else:
        changes.append(invalidation)


class AfterCommit:
    """What was recorded in one state of a transaction."""

    def __init__(self, using: str) -> None:
        # Django names callbacks that fail by this.
        self.__qualname__ = type(self).__qualname__
        self.using = using
        self.recorded: list[Invalidation] = []
        # What of it is known to be in the transaction still.
        self.standing: list[Invalidation] = []
        # Whether what was recorded stands in the outbox.
        self.written = False

    def take(self, invalidation: Invalidation) -> Invalidation:
        """Takes it up, and returns what of it is new."""
        _absorb(self.recorded, invalidation)
        return _absorb(self.standing, invalidation)

    def doubt(self) -> None:
        """A savepoint was rolled back, and perhaps what was written since: it is written again."""
        self.standing = []

    def __call__(self) -> None:
        """The transaction has committed."""
        from .delivery import committed

        committed(self.recorded, self.using, get_settings(), self.written)


def _absorb(into: list[Invalidation], invalidation: Invalidation) -> Invalidation:
    for known in into:
        if known.options == invalidation.options:
            new = invalidation.minus(known)
            known.absorb(new)
            return new
    into.append(Invalidation.from_json(invalidation.to_json()))
    return invalidation


def savepoint_rolled_back(using: str) -> None:
    """Django drops the callbacks of savepoints that `atomic` made; not of those made by hand."""
    for entry in connections[using].run_on_commit:
        if isinstance(entry[1], AfterCommit):
            entry[1].doubt()


def _submit(invalidation: Invalidation, using: str) -> None:
    settings = get_settings()
    connection = connections[using]
    state = set(connection.savepoint_ids)
    after = next(
        (
            entry[1]
            for entry in reversed(connection.run_on_commit[-20:])
            if isinstance(entry[1], AfterCommit) and entry[0] == state
        ),
        None,
    )
    if after is None:
        after = AfterCommit(using)
        after.written = settings.outbox and _has_outbox(using)
        new = after.take(invalidation)
        if after.written:
            _write(new, using, settings)
        # Robust: nothing that fails here may keep other callbacks from being called.
        transaction.on_commit(after, using=using, robust=True)
        return
    new = after.take(invalidation)
    if new and after.written:
        _write(new, using, settings)


def _has_outbox(using: str) -> bool:
    from .delivery.outbox import has_table

    if has_table(using):
        return True
    logger.error("the database %s has no outbox yet (run migrate): told without it", using)
    return False


def _write(invalidation: Invalidation, using: str, settings: Settings) -> None:
    from .delivery.outbox import write

    write(invalidation, using, settings)
