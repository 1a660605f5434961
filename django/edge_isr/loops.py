"""Changes that a page makes while it is rendered for the edge: a counter of visits, a log of what
was looked for.

They are sent, because other pages may show them, but nobody refetches for them before a visitor
comes: refetching the page itself would make the change again, and so on without end. A view that
goes on doing so, each time somebody comes, is named in the log, and what it changes is sent once a
minute from then on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from .context import PageContext, page_now, view_of
from .invalidation import Invalidation

logger = logging.getLogger("edge_isr")

# So many times in so many seconds is a view that does it every time.
TIMES = 5
SECONDS = 60
REMIND_SECONDS = 3600
MAX_VIEWS = 1000

_lock = threading.Lock()
_sent: dict[str, deque[float]] = {}
_logged: dict[str, float] = {}


def rendered() -> PageContext | None:
    """The page that is being rendered for the edge now, that may turn out to be, or that a thread
    which it has started still works for."""
    page = page_now.get()
    if page is None or not (page.for_edge or page.early):
        return None
    # A thread may also be one that goes on for ever.
    late = page.closed_at is not None and time.monotonic() - page.closed_at > SECONDS
    return None if late else page


def limit_loop(invalidation: Invalidation) -> None:
    """Keeps a change that a page makes from having it rendered again."""
    page = rendered()
    if page is None or not invalidation:
        return
    invalidation.warm = False
    # A middleware writes, and its view may be one that is not cached: then it is sent at once.
    if page.early and not page.recorder.refetch:
        return
    view = view_of(page.request) if page.view is None else page.view
    if _again(view):
        # The same moment for all of a minute: they become one call.
        invalidation.due = (int(time.time()) // SECONDS + 1) * SECONDS
        _log(view, invalidation)


def _again(view: str) -> bool:
    now = time.monotonic()
    with _lock:
        if view not in _sent and len(_sent) >= MAX_VIEWS:
            _sent.clear()
        times = _sent.setdefault(view, deque(maxlen=TIMES))
        recent = len(times) == TIMES and now - times[0] < SECONDS
        times.append(now)
        return recent


def _log(view: str, invalidation: Invalidation) -> None:
    now = time.monotonic()
    if now - _logged.get(view, -REMIND_SECONDS) < REMIND_SECONDS:
        return
    _logged[view] = now
    logger.warning(
        "the view %s changes data each time that it is rendered for the edge (%s), which makes its "
        "own page stale: from now on that is sent once a minute. If pages do not show it, register "
        "the model with ignore_fields=…, or change it within edge_isr.silence()",
        view, invalidation,
    )  # fmt: skip


def forget() -> None:
    """Begins anew."""
    with _lock:
        _sent.clear()
        _logged.clear()
