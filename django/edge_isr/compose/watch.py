"""What of a visitor a page reads outside of its personal parts, and where.

A shell is rendered without cookies, so what it says to everyone is what it says to somebody who is
not logged in. If the view or a template asks who the visitor is, the page may be another one for
others. So the objects that know it note that they were asked: the session, the user, the messages,
the cookies. They are the same objects, also for whoever has kept a reference to them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

from django.http import HttpRequest
from django.template import Node
from django.utils.functional import LazyObject

# These ask on the way back, or for what they do themselves.
_OWN_COOKIES = (
    "django.contrib.sessions.middleware",
    "django.middleware.cache",
    "django.middleware.csrf",
    "django.utils.translation",
)
_ATTRIBUTE = "_edge_isr_watch"


def is_unasked(value: Any) -> bool:
    """Whether it is an object that is made when it is first used, and that was not."""
    # What stands there before is a bare object.
    return issubclass(type(value), LazyObject) and type(vars(value).get("_wrapped")) is object


class Watch:
    """What one render has read."""

    def __init__(self, exact: bool) -> None:
        # Whether it is looked up where that was: it costs a walk through the stack.
        self.exact = exact
        self.reads: dict[str, str] = {}

    def note(self, what: str, where: str = "") -> None:
        """Something was read; the first place of each is kept."""
        if what not in self.reads:
            self.reads[what] = where or (place_of_call() if self.exact else "")

    def in_words(self) -> list[str]:
        """The reads in words."""
        return [f"{what} ({where})" if where else what for what, where in self.reads.items()]

    def arrive(self, request: HttpRequest) -> None:
        """The request is there; no middleware has looked at its cookies yet."""
        request.COOKIES = _Cookies(request.COOKIES, self)

    def begin(self, request: HttpRequest) -> None:
        """The middlewares have had their turn; what they have read counts, too."""
        session = getattr(request, "session", None)
        if session is not None:
            if session.accessed:
                self.note("session", "a middleware, before the view")
            _become(session, _session_class(class_of(session)), self)
        self._user(request)
        messages = getattr(request, "_messages", None)
        if messages is not None:
            if hasattr(messages, "_loaded_data"):
                self.note("messages", "a middleware, before the view")
            _become(messages, _messages_class(class_of(messages)), self)

    def _user(self, request: HttpRequest) -> None:
        user = vars(request).get("user")
        if user is None:
            return
        if not is_unasked(user):
            self.note("user", "a middleware, before the view")
            return
        setup = user.__dict__.get("_setupfunc")
        if setup is None:
            self.note("user", "an object that does not say")
            return
        user.__dict__["_setupfunc"] = partial(self._reading, setup)
        auser = vars(request).get("auser")
        if auser is not None:
            request.auser = partial(self._areading, auser)

    def _reading(self, setup: Any) -> Any:
        self.note("user")
        return setup()

    async def _areading(self, auser: Any) -> Any:
        self.note("user")
        return await auser()


class _Cookies(dict[str, str]):
    """Those that the edge has sent are in the page's key; every other one is the visitor's."""

    def __init__(self, cookies: Any, watch: Watch) -> None:
        super().__init__(cookies)
        self._watch = watch

    def _note(self, name: Any = None) -> None:
        if name is not None and dict.__contains__(self, name):
            return
        caller = sys._getframe(2).f_globals.get("__name__", "")
        if not caller.startswith(_OWN_COOKIES):
            self._watch.note(f"cookie {name}" if name is not None else "cookies")

    def __getitem__(self, name: Any) -> Any:
        self._note(name)
        return super().__getitem__(name)

    def __contains__(self, name: Any) -> bool:
        self._note(name)
        return super().__contains__(name)

    def get(self, name: Any, default: Any = None) -> Any:
        self._note(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[Any]:
        self._note()
        return super().__iter__()

    def __len__(self) -> int:
        self._note()
        return super().__len__()

    def keys(self) -> Any:
        self._note()
        return super().keys()

    def values(self) -> Any:
        self._note()
        return super().values()

    def items(self) -> Any:
        self._note()
        return super().items()


def _become(watched: Any, cls: type, watch: Watch) -> None:
    watched.__dict__[_ATTRIBUTE] = watch
    watched.__class__ = cls


def class_of(value: object) -> Any:
    """The class of a session, or a message storage, as what it is derived from."""
    return type(value)


def named_like(derived: type, base: type) -> type:
    """A class with the name of the one that it stands for: sessions are signed with it."""
    derived.__module__, derived.__qualname__ = base.__module__, base.__qualname__
    return derived


@lru_cache(maxsize=16)
def _session_class(cls: Any) -> type:
    class Session(cls):
        """A session that notes that it was read."""

        def _get_session(self, no_load: bool = False) -> Any:
            self.__dict__[_ATTRIBUTE].note("session")
            return super()._get_session(no_load)

        _session = property(_get_session)

        async def _aget_session(self, no_load: bool = False) -> Any:
            self.__dict__[_ATTRIBUTE].note("session")
            return await super()._aget_session(no_load)

        @property
        def session_key(self) -> Any:
            self.__dict__[_ATTRIBUTE].note("session")
            return super().session_key

    return named_like(Session, cls)


@lru_cache(maxsize=16)
def _messages_class(cls: Any) -> type:
    class Messages(cls):
        """A message storage that notes that it was read."""

        @property
        def _loaded_messages(self) -> Any:
            self.__dict__[_ATTRIBUTE].note("messages")
            return super()._loaded_messages

    return named_like(Messages, cls)


def place_of_call() -> str:
    """The line of a template, or else of the site's own code, that is at work now."""
    frame: Any = sys._getframe(1)
    line = ""
    while frame is not None:
        node = frame.f_locals.get("self")
        # A lazy object is not to be asked what it is.
        if issubclass(type(node), Node):
            token, origin = getattr(node, "token", None), getattr(node, "origin", None)
            if token is not None and origin is not None:
                return f"{origin.template_name or origin.name}:{token.lineno}"
        module = str(frame.f_globals.get("__name__", ""))
        if not line and not module.startswith(("django.", "edge_isr.", "asgiref.")):
            line = f"{module}:{frame.f_lineno}"
        frame = frame.f_back
    return line
