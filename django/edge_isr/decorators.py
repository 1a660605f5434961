"""`@isr`: the answers of a view may be kept at the edge.

It works on functions, coroutine functions and class-based views, and it decides nothing about the
answer: that is the middleware's, which sees it when everything else has had its say. A view that
returns an unrendered template response is recorded until that is rendered.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings as django_settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.generic.base import View

from .conf import get_settings
from .context import PageContext, Recorder, page_of, recording
from .policy import TTL, Policy, SettingError, policy_from

logger = logging.getLogger("edge_isr")

TagSource = str | None | Callable[..., Any]
Tags = TagSource | Iterable[TagSource]
V = TypeVar("V", bound=Callable[..., Any] | type[View])


def isr(
    view: Any = None,
    /,
    *,
    tags: Tags = None,
    s_maxage: TTL | None = None,
    swr: int | None = None,
    vary: Iterable[str] | None = None,
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
    `auto_tags`: False, and the data that it loads is not recorded.

    What is left out comes from `DEFAULTS`.
    """
    named = {"s_maxage": s_maxage, "swr": swr, "vary": vary, **more}
    try:
        policy_from(named, Policy(), "")
    except SettingError as error:
        raise TypeError(f"isr({error})") from None
    declared = _Declared(named, tags)
    return declared(view) if view is not None else declared


class _Declared:
    """A decorator with its arguments; the policy is made when the settings can be read."""

    def __init__(self, named: dict[str, Any], tags: Tags) -> None:
        self._named = named
        self._tags = [tags] if tags is None or isinstance(tags, str) or callable(tags) else [*tags]
        self.policy = lru_cache(maxsize=1)(self._policy_from)

    def _policy_from(self, defaults: Policy) -> Policy:
        return policy_from(self._named, defaults, "")

    def __call__(self, view: V) -> V:
        if isinstance(view, type) and issubclass(view, View):
            return cast(V, self._on_class(view))
        wrapper: Any
        if iscoroutinefunction(view):

            @wraps(cast(Any, view))
            async def async_wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                page = self.begin(request, args, kwargs)
                with recording(_recorder(page)):
                    return _until_rendered(await cast(Any, view)(request, *args, **kwargs), page)

            wrapper = markcoroutinefunction(async_wrapper)
        else:

            @wraps(cast(Any, view))
            def sync_wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                page = self.begin(request, args, kwargs)
                with recording(_recorder(page)):
                    response = cast(Any, view)(request, *args, **kwargs)
                # The dispatch of an asynchronous class is a function that returns a coroutine.
                if inspect.isawaitable(response):
                    return _awaited(response, page)
                return _until_rendered(response, page)

            wrapper = sync_wrapper
        wrapper.edge_isr = self
        return cast(V, wrapper)

    def _on_class(self, view: type[View]) -> type[View]:
        inner = view.as_view.__func__

        @wraps(inner)
        def as_view(cls: type[View], **initkwargs: Any) -> Any:
            return self(inner(cls, **initkwargs))

        view.as_view = classmethod(as_view)
        return view

    def begin(self, request: HttpRequest, args: Any, kwargs: Any) -> PageContext:
        """Gives the request's page its policy and the tags that are known before it renders."""
        page = page_of(request)
        page.policy = self.policy(get_settings().defaults)
        keep_query(request, page.policy)
        try:
            for source in self._tags:
                page.add_tags(_call(source, request, args, kwargs) if callable(source) else source)
        except Exception:
            if django_settings.DEBUG:
                raise
            # A page whose tags are not all known could outlive its data: it is served uncached.
            page.failed = True
            logger.exception("the tags of %s could not be told; it is not cached", request.path)
        return page


def keep_query(request: HttpRequest, policy: Policy) -> None:
    """Takes from the request what does not count, as the edge does with the same list."""
    if policy.query is None or not set(request.GET) - set(policy.query):
        return
    kept = request.GET.copy()
    for name in set(kept) - set(policy.query):
        del kept[name]
    kept._mutable = False
    request.GET = kept


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


def _recorder(page: PageContext) -> Recorder:
    automatic = page.policy is not None and page.policy.auto_tags and get_settings().auto_tags
    page.recorder.automatic = automatic
    return page.recorder


async def _awaited(response: Any, page: PageContext) -> Any:
    with recording(_recorder(page)):
        return _until_rendered(await response, page)


def _until_rendered(response: HttpResponseBase, page: PageContext) -> HttpResponseBase:
    """Records on while a template response renders, which is after its view has returned."""
    recorder = _recorder(page)
    if getattr(response, "is_rendered", True):
        return response
    render = cast(Any, response).render

    def recorded_render() -> Any:
        # Gone before it runs: Django's cache pickles rendered responses with all their attributes.
        del response.__dict__["render"]
        with recording(recorder):
            return render()

    response.__dict__["render"] = recorded_render
    return response
