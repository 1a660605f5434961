"""`@isr`: the answers of a view may be kept at the edge.

It works on functions, coroutine functions and class-based views, and it decides nothing about the
answer: that is the middleware's, which sees it when everything else has had its say. From the
view's beginning until then all that is loaded is recorded, also what renders after the view has
returned: template responses, serializers, lazy querysets.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings as django_settings
from django.http import HttpRequest
from django.views.generic.base import View

from .compose.composition import ensure_csrf_cookie
from .conf import get_settings
from .context import PageContext, moment_of, page_of, recording
from .policy import SAFE_METHODS, TTL, Policy, SettingError, policy_from

logger = logging.getLogger("edge_isr")

TagSource = str | None | Callable[..., Any]
Tags = TagSource | Iterable[TagSource]
Expires = datetime | timedelta | float | None | Callable[..., Any]
V = TypeVar("V", bound=Callable[..., Any] | type[View])


def isr(
    view: Any = None,
    /,
    *,
    tags: Tags = None,
    s_maxage: TTL | None = None,
    swr: int | None = None,
    vary: Iterable[str] | None = None,
    expires: Expires = None,
    **more: Any,
) -> Any:
    """The answers of a view may be kept at the edge.

    `tags`: texts, or functions of `(request, *args, **kwargs)` or `(request)` that return texts.
    `s_maxage`, `swr`, `sie`, `max_age`: seconds at the edge, stale while it is renewed, stale while
    the origin fails, and in browsers. `s_maxage` may be a function of the response.
    `vary`, `vary_on`: request fields (or `"device"`, `"language"`) that the page depends on.
    `statuses`: which statuses are kept (200), or a dictionary with a lifetime for each.
    `only_if`: a function of the request; false, and this answer is not kept.
    `query`: the parameters that count; no other reaches the view.
    `expires`: when the page will be out of date by itself: a datetime, a time from now (a timedelta
    or seconds), or a function like those of `tags` that returns one, or None.
    `auto_tags`: False, and the data that it loads is not recorded.
    `compose`: True, and the edge fills in what belongs to one visitor: tokens, nonces, personal
    parts. `"trusted"`: also though the view reads the user, the session or cookies.
    `csrf_cookie`: True, and the answer sets the CSRF cookie, though it prints no token.

    What is left out comes from `DEFAULTS`.
    """
    named = {"s_maxage": s_maxage, "swr": swr, "vary": vary, **more}
    try:
        policy_from(named, Policy(), "")
    except SettingError as error:
        raise TypeError(f"isr({error})") from None
    if expires is not None and not callable(expires):
        moment_of(expires)
    declared = _Declared(named, tags, expires)
    return declared(view) if view is not None else declared


class _Declared:
    """A decorator with its arguments; the policy is made when the settings can be read."""

    def __init__(self, named: dict[str, Any], tags: Tags, expires: Expires = None) -> None:
        self._named = named
        self._expires = expires
        self._tags = [tags] if tags is None or isinstance(tags, str) or callable(tags) else [*tags]
        self.policy = lru_cache(maxsize=1)(self._policy_from)

    def _policy_from(self, defaults: Policy) -> Policy:
        return policy_from(self._named, defaults, "")

    def __call__(self, view: V) -> V:
        if isinstance(view, type) and issubclass(view, View):
            return cast(V, self._on_class(view))
        if isinstance(view, type) or not callable(view):
            name = view.__name__ if isinstance(view, type) else repr(view)
            raise TypeError(
                "isr() goes on views: functions, coroutine functions, classes of Django's View "
                f"(also Django REST framework's) and what as_view() returns; not on {name}"
            )
        wrapper: Any
        if iscoroutinefunction(view):

            @wraps(cast(Any, view))
            async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
                page = self.begin(*_request_of(args, kwargs))
                with recording(page.recorder):
                    return page.returned(await cast(Any, view)(*args, **kwargs))

            wrapper = markcoroutinefunction(async_wrapper)
        else:

            @wraps(cast(Any, view))
            def sync_wrapper(*args: Any, **kwargs: Any) -> Any:
                page = self.begin(*_request_of(args, kwargs))
                with recording(page.recorder):
                    response = cast(Any, view)(*args, **kwargs)
                # The dispatch of an asynchronous class is a function that returns a coroutine.
                if inspect.isawaitable(response):
                    return _awaited(response, page)
                return page.returned(response)

            wrapper = sync_wrapper
        wrapper.edge_isr = self
        return cast(V, wrapper)

    def _on_class(self, view: type[View]) -> type[View]:
        inner = view.as_view.__func__

        @wraps(inner)
        def as_view(cls: type[View], *args: Any, **initkwargs: Any) -> Any:
            # Django REST framework's view sets take their actions by position.
            return self(inner(cls, *args, **initkwargs))

        view.as_view = classmethod(as_view)
        return view

    def begin(self, request: HttpRequest, args: Any, kwargs: Any) -> PageContext:
        """Gives the request's page its policy and the tags that are known before it renders."""
        page = page_of(request)
        settings = get_settings()
        policy = self.policy(settings.defaults)
        page.begin(policy, settings.auto_tags)
        keep_query(request, policy)
        if policy.csrf_cookie and request.method in SAFE_METHODS:
            ensure_csrf_cookie(request)
        try:
            for source in self._tags:
                page.add_tags(_value_of(source, request, args, kwargs))
            with recording(page.recorder):
                page.until(_value_of(self._expires, request, args, kwargs))
        except Exception:
            if django_settings.DEBUG:
                raise
            # A page whose tags are not all known could outlive its data: it is served uncached.
            page.failed = True
            logger.exception(
                "the tags of %s could not be determined; it is not cached", request.path
            )
        return page


def _request_of(args: Any, kwargs: Any) -> tuple[HttpRequest, Any, Any]:
    """The request, and the arguments after it; before it a method has its instance."""
    for at, argument in enumerate(args[:2]):
        if hasattr(argument, "META"):
            # Django REST framework's has Django's own inside.
            return getattr(argument, "_request", argument), args[at + 1 :], kwargs
    named = dict(kwargs)
    argument = named.pop("request", None)
    if hasattr(argument, "META"):
        return getattr(argument, "_request", argument), (), named
    raise TypeError("isr() found no request among the arguments of its view")


def keep_query(request: HttpRequest, policy: Policy) -> None:
    """Takes from the request what does not count, as the edge does with the same list."""
    if policy.query is None or not set(request.GET) - set(policy.query):
        return
    kept = request.GET.copy()
    for name in set(kept) - set(policy.query):
        del kept[name]
    kept._mutable = False
    request.GET = kept


def _value_of(source: Any, request: HttpRequest, args: Any, kwargs: Any) -> Any:
    return _call(source, request, args, kwargs) if callable(source) else source


def _call(source: Callable[..., Any], request: HttpRequest, args: Any, kwargs: Any) -> Any:
    if _takes(source, len(args), tuple(kwargs)):
        return source(request, *args, **kwargs)
    return source(request)


@lru_cache(maxsize=512)
def _takes(source: Callable[..., Any], args: int, kwargs: tuple[str, ...]) -> bool:
    try:
        inspect.signature(source).bind(None, *[None] * args, **dict.fromkeys(kwargs))
    except TypeError:
        return False
    return True


async def _awaited(response: Any, page: PageContext) -> Any:
    with recording(page.recorder):
        return page.returned(await response)
