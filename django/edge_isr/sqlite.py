"""SQLite, where one writes at a time: whoever delivers the outbox stays out of the site's way.

A transaction that has read and then writes is refused at once ("database is locked", whatever the
timeout) if another connection has written in between. Between the site's own connections that is as
it is without this package; but a site with a single writer must not meet a second one in our
deliverer. So every transaction holds a shared lock of a file beside the database until it has
written or ends, and the deliverer writes while it has that lock for itself.

SQLite's own waiting is a matter of luck: who has waited long asks ever more seldom. So transactions
that write before they read, ours and those of the site, have a second file for a queue in which all
are alike.

The locks are the operating system's: they end with the process that holds them. Nobody waits for
ever, and goes on without the lock then. Where files can't be locked so (Windows, some network file
systems, a directory that can't be written) nobody is kept out.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote, urlsplit

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .conf import is_dormant, load
from .patching import replace_method

logger = logging.getLogger("edge_isr")

# Shared by transactions that may have read, a deliverer's alone; and the queue of who writes first.
READERS = "-edge-isr-readers"
WRITERS = "-edge-isr-writers"
# How long a transaction waits for a deliverer, a deliverer for a gap, and a writer in the queue.
SITE_WAIT_SECONDS = 1.0
DELIVERER_WAIT_SECONDS = 5.0
QUEUE_WAIT_SECONDS = 5.0
STEP_SECONDS = 0.002
# What begins a transaction without taking or reading anything.
_BEGINNINGS = ("BEGIN", "BEGIN DEFERRED")

_fcntl: Any = import_module("fcntl") if find_spec("fcntl") is not None else None


def in_memory(connection: Any) -> bool:
    """Whether the database ends with its process: an outbox in it would outlive nothing."""
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())


class _Lock:
    """One holder's view of the file; each holder opens it by itself."""

    def __init__(self, path: str) -> None:
        self.pid = os.getpid()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def __del__(self) -> None:
        os.close(self._file)

    def take(self, exclusive: bool, wait: float) -> bool:
        """Whether it was had in that time."""
        kind = _fcntl.LOCK_EX if exclusive else _fcntl.LOCK_SH
        deadline = time.monotonic() + wait
        while True:
            try:
                _fcntl.flock(self._file, kind | _fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(STEP_SECONDS)

    def release(self) -> None:
        """Lets others have it."""
        _fcntl.flock(self._file, _fcntl.LOCK_UN)


def _lock_of(connection: Any, kind: str) -> _Lock:
    """The connection's own; after a fork another one, since its parent's is the parent's."""
    locks = vars(connection).setdefault("edge_isr_locks", {})
    lock: _Lock | None = locks.get(kind)
    if lock is None or lock.pid != os.getpid():
        lock = locks[kind] = _Lock(_path(str(connection.settings_dict["NAME"])) + kind)
    return lock


def _take(connection: Any, kind: str, exclusive: bool, wait: float) -> bool:
    try:
        had = _lock_of(connection, kind).take(exclusive, wait)
    except OSError as error:
        logger.debug("no lock beside %s: %s", connection.settings_dict["NAME"], error)
        return False
    if not had:
        logger.debug("%s: %s could not be had in time", connection.alias, kind)
    return had


def _path(name: str) -> str:
    """The database's file; its name may be a URI."""
    file = unquote(urlsplit(name).path) if name.startswith("file:") else name
    return os.path.realpath(file)


def _locks(connection: Any) -> bool:
    return (
        _fcntl is not None
        and connection.vendor == "sqlite"
        and load()[0].outbox
        and not is_dormant()
        and not in_memory(connection)
    )


def install() -> None:
    """Puts the hooks in place; again has no effect."""
    replace_method(BaseDatabaseWrapper, "set_autocommit", _set_autocommit)
    replace_method(BaseDatabaseWrapper, "close", _close)


def _set_autocommit(original: Any) -> Any:
    def set_autocommit(self: Any, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        if self.vendor != "sqlite":
            original(self, autocommit, *args, **kwargs)
            return
        if not autocommit:
            _begins(self)
        try:
            original(self, autocommit, *args, **kwargs)
        finally:
            if autocommit:
                _ends(self)

    return set_autocommit


def _close(original: Any) -> Any:
    def close(self: Any) -> None:
        try:
            original(self)
        finally:
            _ends(self)

    return close


@contextmanager
def writing_first(connection: Any) -> Iterator[None]:
    """The transaction that begins in it writes before it reads: it can wait for its turn."""
    if not _locks(connection):
        yield
        return
    connection.edge_isr_writes_first = True
    connection.edge_isr_queued = _take(connection, WRITERS, True, QUEUE_WAIT_SECONDS)
    try:
        yield
    finally:
        has_ended(connection)


def _begins(connection: Any) -> None:
    known = vars(connection)
    known.pop("edge_isr_written", None)
    known.pop("edge_isr_has_sent", None)
    first = known.pop("edge_isr_writes_first", False)
    if not first and not known.get("edge_isr_delivers") and _locks(connection):
        connection.edge_isr_locked = _take(connection, READERS, False, SITE_WAIT_SECONDS)


def sends(connection: Any, sql: Any) -> None:
    """A statement is sent. What has read can't wait for its turn to write: it would keep out those
    that it waits for."""
    if not (sql in _BEGINNINGS or str(sql).startswith("SAVEPOINT ")):
        connection.edge_isr_has_sent = True


def take_turn(connection: Any) -> None:
    """The queue, for a transaction of the site's that begins with what is written next."""
    known = vars(connection)
    if known.get("edge_isr_has_sent") or known.get("edge_isr_delivers"):
        return
    if "edge_isr_queued" not in known and _locks(connection):
        connection.edge_isr_turn = True
        connection.edge_isr_queued = _take(connection, WRITERS, True, QUEUE_WAIT_SECONDS)


def _ends(connection: Any) -> None:
    """A transaction has ended, or a connection is opened or closed."""
    if vars(connection).pop("edge_isr_turn", False):
        has_ended(connection)
    else:
        has_written(connection)


def has_written(connection: Any) -> None:
    """A transaction has SQLite's own lock, or has ended."""
    vars(connection).pop("edge_isr_written", None)
    if vars(connection).get("edge_isr_locked"):
        connection.edge_isr_locked = False
        _lock_of(connection, READERS).release()


def has_ended(connection: Any) -> None:
    """A transaction has committed: what the site does then holds nobody up."""
    has_written(connection)
    if vars(connection).pop("edge_isr_queued", False):
        _lock_of(connection, WRITERS).release()


@contextmanager
def between_transactions(using: str) -> Iterator[None]:
    """A deliverer's statement that writes, while no transaction of the site has read."""
    connection = connections[using]
    if connection.in_atomic_block or not _locks(connection):
        yield
        return
    held = [
        kind for kind in (READERS, WRITERS) if _take(connection, kind, True, DELIVERER_WAIT_SECONDS)
    ]
    connection.edge_isr_delivers = True
    try:
        yield
    finally:
        connection.edge_isr_delivers = False
        for kind in held:
            _lock_of(connection, kind).release()
