"""Delivery without an outbox (`OUTBOX: False`): from memory, by one thread, with the same retries.

The change waits for its first try at most REQUEST_WAIT, and all changes of one request together no
longer than two seconds; the thread goes on by itself. What it still holds when the process dies is
lost, which is what the outbox is for. The queue is bounded: what does not fit is lost, and logged.
"""

from __future__ import annotations

import atexit
import hashlib
import heapq
import itertools
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Sequence
from contextvars import ContextVar

from django.db import connections

from ..conf import MAX_REQUEST_WAIT_SECONDS, Settings
from ..invalidation import Invalidation, merged
from ..retry import Failed, Refused, delay
from ..targets import WORKER, make_target, target_names
from . import thread
from .comparing import compare
from .outbox import write
from .queues import QUEUES

logger = logging.getLogger("edge_isr")

MAX_QUEUE = 1000
EXIT_SECONDS = 5.0
# After a failure nobody waits for this long: the target is most likely still down.
NO_WAIT_SECONDS = 10.0

# What is left of the time that the current request may wait; None outside of requests.
budget: ContextVar[list[float] | None] = ContextVar("edge_isr_budget", default=None)


class _Delivery:
    __slots__ = ("attempts", "compared", "invalidation", "message_id", "target", "tried", "using")

    def __init__(self, target: str, invalidation: Invalidation, using: str) -> None:
        self.target = target
        self.invalidation = invalidation
        self.using = using
        # Whether the results that it may have changed have been looked at.
        self.compared = False
        self.message_id = f"msg_{uuid.uuid4().hex}"
        if invalidation.at_ms:
            # Asked for again it is the same.
            said = json.dumps([invalidation.name, invalidation.to_json()])
            self.message_id = "at_" + hashlib.sha256(said.encode()).hexdigest()[:40]
        self.attempts = 0
        self.tried = threading.Event()


def _due(delivery: _Delivery) -> float:
    """When it is sent: a worker knows what to do at a time, others are sent then."""
    at = 0.0 if delivery.target == WORKER else delivery.invalidation.at_ms / 1000
    return max(at, delivery.invalidation.due)


class MemoryQueue:
    """Deliveries that are tried until they succeed or are refused for good."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._order = itertools.count()
        self._queue: list[tuple[float, int, _Delivery]] = []
        self._wake = threading.Condition()
        self._stopping = False
        self._busy = False
        self._failed_at = -NO_WAIT_SECONDS
        self._thread = threading.Thread(target=self._run, name="edge-isr-memory", daemon=True)
        self._thread.start()

    def send(self, deliveries: Sequence[_Delivery]) -> None:
        """Takes deliveries, and waits a moment for their first try."""
        with self._wake:
            for delivery in deliveries:
                # The one on its way may come back: it keeps its place.
                if len(self._queue) + self._busy >= MAX_QUEUE:
                    logger.critical(
                        "%s: the queue is full, lost: %s", delivery.target, delivery.invalidation
                    )
                    delivery.tried.set()
                    continue
                later = max(0.0, _due(delivery) - time.time())
                if later:
                    delivery.tried.set()
                heapq.heappush(self._queue, (time.monotonic() + later, next(self._order), delivery))
            self._wake.notify_all()
        self._wait(deliveries)

    def _wait(self, deliveries: Sequence[_Delivery]) -> None:
        left = budget.get()
        wait = (
            self._settings.request_wait
            if left is None
            else min(self._settings.request_wait, left[0])
        )
        if time.monotonic() - self._failed_at < NO_WAIT_SECONDS:
            return
        started = time.monotonic()
        for delivery in deliveries:
            delivery.tried.wait(max(0.0, started + wait - time.monotonic()))
        if left is not None:
            left[0] = max(0.0, left[0] - (time.monotonic() - started))

    def idle(self, timeout: float) -> bool:
        """Waits until it holds nothing; False if that took too long."""
        return thread.idle(
            self._wake, self._thread, lambda: bool(self._queue or self._busy), timeout
        )

    def stop(self, timeout: float = EXIT_SECONDS) -> None:
        """Gives it a moment to deliver what it holds, logs what it could not, and ends it."""
        if not self.idle(timeout):
            with self._wake:
                for _, _, delivery in self._queue:
                    logger.critical(
                        "%s: not delivered before the process ended, lost: %s",
                        delivery.target,
                        delivery.invalidation,
                    )
        with self._wake:
            self._stopping = True
            self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                while not self._stopping and not self._due():
                    first = self._queue[0][0] if self._queue else None
                    self._wake.wait(None if first is None else max(0.0, first - time.monotonic()))
                if self._stopping:
                    return
                delivery = heapq.heappop(self._queue)[2]
                self._busy = True
            self._try(delivery)

    def _due(self) -> bool:
        return bool(self._queue) and self._queue[0][0] <= time.monotonic()

    def _try(self, delivery: _Delivery) -> None:
        delivery.attempts += 1
        try:
            self._compare(delivery)
            make_target(delivery.target, self._settings).send(
                delivery.invalidation, delivery.message_id
            )
            self._failed_at = -NO_WAIT_SECONDS
        except Refused as error:
            logger.critical(
                "%s: refused for good, lost: %s: %s", delivery.target, delivery.invalidation, error
            )
        except Failed as error:
            self._again(delivery, str(error), error.retry_after)
        except Exception as error:
            logger.exception("%s: an unexpected error", delivery.target)
            self._again(delivery, f"{type(error).__name__}: {error}", None)
        finally:
            delivery.tried.set()

    def _compare(self, delivery: _Delivery) -> None:
        """Where the outbox could not be written, what is on record may be."""
        if self._settings.outbox and not delivery.compared and not delivery.invalidation.at_ms:
            try:
                found = compare([delivery.invalidation], delivery.using, self._settings, write)
            finally:
                # This thread needs none for anything else, and the next look may be far.
                connections.close_all()
            if found and (self._settings.delivery == "thread" or self._settings.delivery in QUEUES):
                thread.kick(self._settings)
        delivery.compared = True

    def _again(self, delivery: _Delivery, why: str, retry_after: float | None) -> None:
        self._failed_at = time.monotonic()
        wait = delay(delivery.attempts, retry_after)
        logger.error("%s: not delivered, again in %.0f s: %s", delivery.target, wait, why)
        with self._wake:
            heapq.heappush(self._queue, (time.monotonic() + wait, next(self._order), delivery))
            self._busy = False


_lock = threading.Lock()
_running: tuple[int, MemoryQueue] | None = None


def memory_queue(settings: Settings) -> MemoryQueue:
    """This process's queue; a fork's parent had one of its own."""
    global _running
    with _lock:
        if _running is None or _running[0] != os.getpid():
            _running = (os.getpid(), MemoryQueue(settings))
            atexit.register(_running[1].stop)
        return _running[1]


def send(invalidations: Sequence[Invalidation], settings: Settings, using: str) -> None:
    """Hands invalidations to this process's queue."""
    # Nothing here remembers what waits elsewhere: what was superseded is sent all the same.
    sent = [one for one in merged(invalidations) if not one.cancels]
    deliveries = [_Delivery(name, one, using) for one in sent for name in target_names(settings)]
    if deliveries:
        memory_queue(settings).send(deliveries)


def stop(timeout: float = EXIT_SECONDS) -> None:
    """Ends this process's queue, if there is one."""
    global _running
    running, _running = _running, None
    if running is not None and running[0] == os.getpid():
        atexit.unregister(running[1].stop)
        running[1].stop(timeout)


def full_budget() -> list[float]:
    """What a request may wait in all."""
    return [MAX_REQUEST_WAIT_SECONDS]


def _forget_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
