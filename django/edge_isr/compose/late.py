"""Personal parts whose page has already begun at the visitor's: no cookie can be set any more.

A session that gets another key would be lost, and with it whoever is logged in; a message that is
taken out of its cookie would be shown again. So neither happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NoReturn

from django.http import HttpRequest

from .watch import class_of, named_like


class LateError(RuntimeError):
    """What a part wants to do needs a cookie, and the page has begun."""


@contextmanager
def hold_back(request: HttpRequest, late: bool) -> Iterator[None]:
    """While it lasts, nothing is done that only a cookie completes."""
    if not late:
        yield
        return
    session = getattr(request, "session", None)
    if session is not None:
        session.__class__ = _late_session(class_of(session))
    messages = vars(request).get("_messages")
    if messages is not None:
        request._messages = _NoMessages()
    try:
        yield
    finally:
        if messages is not None:
            request._messages = messages


class _NoMessages:
    """None to be shown now, and none to be added."""

    used = added_new = False
    level = 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def add(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise LateError("a message can't be added: the page has begun")


@lru_cache(maxsize=16)
def _late_session(cls: Any) -> type:
    class Session(cls):
        """A session that keeps its key."""

        def cycle_key(self) -> NoReturn:
            raise LateError("a session can't get another key: the page has begun")

        def flush(self) -> NoReturn:
            raise LateError("a session can't be ended: the page has begun")

        async def acycle_key(self) -> NoReturn:
            self.cycle_key()

        async def aflush(self) -> NoReturn:
            self.flush()

    return named_like(Session, cls)
