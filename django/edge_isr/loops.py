"""Changes that a page makes while it is rendered for the edge: a counter of visits, a log of what
was looked for.

They are told, because other pages may show them, but nobody refetches for them before a visitor
comes: refetching the page itself would make the change again, and so on without end. A view that
goes on doing so, each time somebody comes, is named in the log, and what it changes is told once a
minute from then on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from .context import PageContext, page_now
from .invalidation import Invalidation
from .policy import SAFE_METHODS

logger = logging.getLogger("edge_isr")

# So many times in so many seconds is a view that does it every time.
TIMES = 5
SECONDS = 60
REMIND_SECONDS = 3600
MAX_VIEWS = 1000

_lock = threading.Lock()
_told: dict[str, deque[float]] = {}
_logged: dict[str, float] = {}


def rendered() -> PageContext | None:
    """The page that is being rendered for the edge now, if there is one."""
    page = page_now.get()
    if page is None or page.request is None or not page.recorder.active:
        return None
    return page if page.request.method in SAFE_METHODS else None


def tame(invalidation: Invalidation) -> None:
    """Keeps a change that a page makes from having it rendered again."""
    page = rendered()
    if page is None or not invalidation:
        return
    invalidation.warm = False
    view = _view(page)
    if _again(view):
        # The same moment for all of a minute: they become one call.
        invalidation.due = (int(time.time()) // SECONDS + 1) * SECONDS
        _log(view, invalidation)


def _view(page: PageContext) -> str:
    match = getattr(page.request, "resolver_match", None)
    if match is None:
        return str(getattr(page.request, "path", ""))
    return str(match.view_name or getattr(match.func, "__qualname__", match.route))


def _again(view: str) -> bool:
    now = time.monotonic()
    with _lock:
        if view not in _told and len(_told) >= MAX_VIEWS:
            _told.clear()
        times = _told.setdefault(view, deque(maxlen=TIMES))
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
        "own page stale: from now on that is told once a minute. If pages do not show it, register "
        "the model with ignore_fields=…, or change it within edge_isr.silence()",
        view, invalidation,
    )  # fmt: skip


def forget() -> None:
    """Begins anew."""
    with _lock:
        _told.clear()
        _logged.clear()
