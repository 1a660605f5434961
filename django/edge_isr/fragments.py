"""Fragments: parts of pages, and other values, kept in Django's cache until their data changes.

An entry holds a value with its tags and, for each tag, the version that the tag had. Invalidating
a tag gives it a new version: one write, however many entries carry it. Versions are random, so one
that the cache has dropped never comes back as an old one.

A value that was made from data as it was before a change must not be kept after it. Every
invalidation first replaces a *guard*, then the versions; a value is kept only if the guard is the
same before it was made and after its tags' versions were read. So either the guard has changed, or
the versions that were read are about to.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings as django_settings
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.http import HttpRequest
from django.utils.translation import get_language

from .compose.composition import nonce_of
from .compose.personal import kept_for_others
from .conf import Settings, get_settings, is_dormant
from .context import Recorder, current, recording
from .decorators import Tags
from .invalidation import Invalidation
from .policy import SAFE_METHODS, UNKNOWN_SECONDS
from .tags import ANYTHING, condensed, of_results, path_tag, with_coarse, with_every
from .tracked import named_by_hand
from .versions import EVERYTHING, GUARD, PREFIX, are_current, ensure, replace_versions, version_key

logger = logging.getLogger("edge_isr")

DEFAULT_TTL_SECONDS = 300
# Of more instances of one model a fragment has the model's tag alone: each is a look-up later on.
MAX_INSTANCES = 100

F = TypeVar("F", bound=Callable[..., Any])
_MISSING = object()


def forget(invalidations: Iterable[Invalidation], settings: Settings) -> None:
    """Makes every fragment out of date that depends on what these name."""
    tags: set[str] = set()
    for one in invalidations:
        # Each is a key in the cache; what names a row of a model names `:*` as well.
        few = condensed(one.tags, MAX_INSTANCES, MAX_INSTANCES)
        tags |= with_coarse(few) | {path_tag(path) for path in one.paths}
        if settings.compare_results:
            # What they were made of is asked again where they are made.
            tags |= of_results(few)
        if one.everything or one.prefixes or one.urls:
            tags.add(EVERYTHING)
    if not tags:
        return
    try:
        replace_versions(settings.fragment_cache, tags)
    except Exception:
        # A cache that can't be written serves nothing for long; the edge must hear of it anyway.
        logger.exception("fragments of %s could not be invalidated", sorted(tags)[:8])


@lru_cache(maxsize=1)
def _warn_of_private_cache(alias: str) -> None:
    """Once in a process: in its own memory it can't be determined of other processes' changes."""
    if isinstance(caches[alias], LocMemCache) and not django_settings.DEBUG:
        logger.warning(
            "the cache %r is in each process's own memory: fragments stay old in the processes "
            "that did not make a change; use a shared cache for EDGE_ISR['FRAGMENT_CACHE']",
            alias,
        )


class Fragment:
    """One value in the cache, by its name and what it varies on."""

    def __init__(
        self,
        name: str,
        *vary: object,
        tags: Iterable[str | None] | str | None = None,
        ttl: int | None = None,
        request: HttpRequest | None = None,
    ) -> None:
        self._settings = get_settings()
        _warn_of_private_cache(self._settings.fragment_cache)
        self._cache = caches[self._settings.fragment_cache]
        self._tags = named_by_hand(tags)
        self._ttl = DEFAULT_TTL_SECONDS if ttl is None else ttl
        self._request = request
        language = get_language() if django_settings.USE_I18N else None
        # Length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
        parts = [name, str(language), *map(str, vary)]
        text = "".join(f"{len(part)}:{part}" for part in parts)
        self._key = PREFIX + "fragment:" + hashlib.sha256(text.encode()).hexdigest()[:40]

    def get_or_make(self, make: Callable[[], Any]) -> Any:
        """The value from the cache, or made now; either way the page has its tags."""
        if self._request is not None and self._request.method not in SAFE_METHODS:
            return make()
        # In a test run nothing is sent, so nothing is kept that a change would have to end.
        value, tags, until = (_MISSING, [], None) if is_dormant() else self._read()
        if value is _MISSING:
            value, tags, until = self._make(make)
        around = current.get()
        if around is not None:
            around.absorb(tags, until=until)
        page = getattr(self._request, "edge_isr", None)
        if page is not None and page.recorder is not around:
            page.recorder.absorb(tags, until=until)
        return value

    def _read(self) -> tuple[Any, list[str], float | None]:
        entry = self._cache.get(self._key)
        if entry is None:
            return _MISSING, [], None
        value, versions, until = entry
        if not are_current(self._settings.fragment_cache, versions):
            return _MISSING, [], None
        return value, [tag for tag in versions if tag != EVERYTHING], until

    def _make(self, make: Callable[[], Any]) -> tuple[Any, list[str], float | None]:
        guard = self._ensure(GUARD)
        recorder = Recorder()
        recorder.absorb(self._tags)
        token = _hide_csrf(self._request)
        try:
            with recording(recorder), kept_for_others():
                value = make()
        finally:
            personal = _show_csrf(self._request, token)
        personal = personal or _has_nonce(self._request, value)
        recorder.merge_lists(MAX_INSTANCES)
        tags, until = with_every(recorder.named()), recorder.until
        ttl = _capped(self._ttl, ANYTHING in tags, until)
        if not personal and ttl > 0 and not is_dormant():
            versions = {tag: self._ensure(version_key(tag)) for tag in [*tags, EVERYTHING]}
            if self._cache.get(GUARD) == guard:
                self._cache.set(self._key, (value, versions, until), ttl)
        return value, tags, until

    def _ensure(self, key: str) -> str:
        """A version that is in the cache: its own, or a new one if it has none."""
        return ensure(self._cache, key)


def _capped(ttl: int, unknown: bool, until: float | None) -> int:
    """No longer than what it shows is known to hold."""
    if unknown:
        ttl = min(ttl, UNKNOWN_SECONDS)
    return ttl if until is None else min(ttl, int(until - time.time()))


def _hide_csrf(request: HttpRequest | None) -> Any:
    if request is None:
        return _MISSING
    return request.META.pop("CSRF_COOKIE_NEEDS_UPDATE", _MISSING)


def _show_csrf(request: HttpRequest | None, before: Any) -> bool:
    """Whether a CSRF token was rendered meanwhile: it is for one visitor."""
    if request is None:
        return False
    rendered = "CSRF_COOKIE_NEEDS_UPDATE" in request.META
    if before is not _MISSING and not rendered:
        request.META["CSRF_COOKIE_NEEDS_UPDATE"] = before
    return rendered


def _has_nonce(request: HttpRequest | None, value: Any) -> bool:
    """Whether the page's nonce stands in it: on another page it would be of no use."""
    nonce = nonce_of(request) if request is not None else ""
    return bool(nonce) and isinstance(value, str) and nonce in value


def isr_fragment(
    name: str | None = None,
    *,
    tags: Tags = None,
    ttl: int | None = None,
    s_maxage: int | None = None,
    vary: Callable[..., Any] | Iterable[Any] | None = None,
    **ignored: int,
) -> Callable[[F], F]:
    """Keeps a function's results in Django's cache until the data they depend on changes.

    `name`: the function's own by default. Its arguments distinguish results, by their text
    (model instances by their tag); `vary`, a function of the same arguments, replaces that.
    `tags`: texts, or functions of the arguments. `ttl` (or `s_maxage`): seconds at most.
    """
    if set(ignored) - {"swr"}:
        raise TypeError(f"isr_fragment() takes no {', '.join(sorted(set(ignored) - {'swr'}))}")
    sources = [tags] if tags is None or isinstance(tags, str) or callable(tags) else [*tags]
    seconds = ttl if ttl is not None else s_maxage

    def decorate(function: F) -> F:
        label = name or f"{function.__module__}.{function.__qualname__}"

        def fragment(args: Any, kwargs: Any) -> Fragment:
            named: list[str] = []
            for source in sources:
                named += named_by_hand(source(*args, **kwargs) if callable(source) else source)
            if vary is None:
                parts: Iterable[Any] = [_text(a) for a in args] + [
                    f"{key}={_text(value)}" for key, value in sorted(kwargs.items())
                ]
            else:
                parts = vary(*args, **kwargs) if callable(vary) else vary
                parts = [parts] if isinstance(parts, str) else parts
            request = next((a for a in args if isinstance(a, HttpRequest)), None)
            return Fragment(label, *parts, tags=named, ttl=seconds, request=request)

        if iscoroutinefunction(function):
            raise TypeError("isr_fragment() takes functions that are not coroutines")

        @wraps(function)
        def cached(*args: Any, **kwargs: Any) -> Any:
            return fragment(args, kwargs).get_or_make(lambda: function(*args, **kwargs))

        return cast(F, cached)

    return decorate


def _text(argument: Any) -> str:
    if isinstance(argument, HttpRequest):
        return ""
    meta = getattr(argument, "_meta", None)
    return f"{meta.label_lower}:{argument.pk}" if meta is not None else repr(argument)


async def aget_or_make(fragment: Fragment, make: Callable[[], Any]) -> Any:
    """`get_or_make` for asynchronous code; the function is called in a thread."""
    return await sync_to_async(fragment.get_or_make)(make)
