"""The thread that delivers the outbox: one per process, begun when it is first needed.

Where a queue delivers, it only looks after what the queue's tasks have left: what failed, what a
killed worker held, what a lost task was for. It queues a task for those.

It wakes when a transaction has committed, when something is due again, and every 15 seconds for
what other processes left behind. It outlives a dead database connection. At the end of the process
it has a moment to finish: a management command's changes are sent before it exits.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from ..conf import Settings, in_test_run
from .queues import QUEUES, enqueue

logger = logging.getLogger("edge_isr")

POLL_SECONDS = 15.0
EXIT_SECONDS = 5.0
ERROR_SECONDS = 2.0
# How long a queue's task has for what is due, before another one is queued.
QUEUE_SECONDS = 2.0
QUEUE_AGAIN_SECONDS = 5.0


def idle(
    wake: threading.Condition, thread: threading.Thread, is_busy: Callable[[], bool], timeout: float
) -> bool:
    """Waits until a thread that notifies `wake` has nothing more to do; False if that took too
    long, or it has ended before."""
    deadline = time.monotonic() + timeout
    with wake:
        while is_busy():
            left = deadline - time.monotonic()
            if left <= 0 or not thread.is_alive():
                return False
            wake.wait(left)
    return True


class DeliveryThread:
    """Delivers in the background until it is stopped."""

    def __init__(self, settings: Settings) -> None:
        from .outbox import Deliverer

        self._settings = settings
        self._deliverer = Deliverer()
        self._wake = threading.Condition()
        # How often it was kicked, and how much of that it has seen to.
        self._kicks = 0
        self._done = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="edge-isr-delivery", daemon=True)
        self._thread.start()

    def kick(self) -> None:
        """There is something to deliver."""
        with self._wake:
            self._kicks += 1
            self._wake.notify_all()

    def idle(self, timeout: float) -> bool:
        """Waits until it has tried everything it was kicked for; False if that took too long."""
        return idle(self._wake, self._thread, lambda: self._done < self._kicks, timeout)

    def stop(self, timeout: float = EXIT_SECONDS) -> None:
        """Lets it finish what it was kicked for, and ends it."""
        finished = self.idle(timeout)
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if finished:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while not self._stopping:
                with self._wake:
                    kicks = self._kicks
                wait = self._round()
                if in_test_run():
                    # A test database is dropped when the tests are over.
                    connections.close_all()
                with self._wake:
                    self._done = kicks
                    self._wake.notify_all()
                    if self._kicks == kicks and not self._stopping:
                        self._wake.wait(wait)
        finally:
            connections.close_all()

    def _round(self) -> float:
        from .outbox import databases

        wait = POLL_SECONDS
        for alias in databases():
            try:
                close_old_connections()
                due = self._look_after(alias)
                wait = wait if due is None else min(wait, max(due, 0.01))
            except (DatabaseError, InterfaceError) as error:
                # The connection may be dead: the next round opens a new one.
                logger.warning("the outbox on %s can't be read: %s", alias, error)
                wait = min(wait, ERROR_SECONDS)
                _close(alias)
            except Exception:
                # A thread that died would deliver nothing, and nobody would see it.
                logger.exception("delivering the outbox on %s failed", alias)
                wait = min(wait, ERROR_SECONDS)
        return wait

    def _look_after(self, alias: str) -> float | None:
        """Sees to what is due on a database; when it has to be looked at again."""
        from .outbox import first_due

        if self._settings.delivery not in QUEUES:
            self._deliverer.round(alias, self._settings)
            return self._deliverer.next_due(alias)
        due = first_due(alias)
        if due is None or due > -QUEUE_SECONDS:
            return None if due is None else due + QUEUE_SECONDS
        try:
            enqueue(self._settings.delivery, alias, self._settings)
        except Exception:
            logger.exception("no task could be queued (%s)", self._settings.delivery)
            return POLL_SECONDS
        return QUEUE_AGAIN_SECONDS


def _close(alias: str) -> None:
    try:
        connections[alias].close()
    except (DatabaseError, InterfaceError) as error:
        logger.debug("closing a dead connection: %s", error)


_lock = threading.Lock()
_running: tuple[int, DeliveryThread] | None = None


def ensure(settings: Settings) -> DeliveryThread:
    """This process's thread; a fork's parent had one of its own."""
    global _running
    running = _running
    if running is not None and running[0] == os.getpid():
        return running[1]
    with _lock:
        if _running is None or _running[0] != os.getpid():
            _running = (os.getpid(), DeliveryThread(settings))
            atexit.register(_running[1].stop)
        return _running[1]


def kick(settings: Settings) -> None:
    """There is something to deliver."""
    ensure(settings).kick()


def stop() -> None:
    """Ends this process's thread, if there is one."""
    global _running
    running, _running = _running, None
    if running is not None and running[0] == os.getpid():
        atexit.unregister(running[1].stop)
        running[1].stop()


def _forget_lock() -> None:
    # Another thread of the parent may have held it at the moment of the fork.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
