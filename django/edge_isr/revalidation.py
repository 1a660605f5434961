"""`revalidate_by_tags` and its siblings: what the site's own code invalidates.

All of them take effect when the current transaction commits, and never if it does not. With `at`,
an aware datetime, the pages are out of date then; a `name` is that of what waits, once: a later
call with it takes the place of the one before, `cancel_scheduled` takes it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS

from .batching import record
from .conf import get_settings
from .invalidation import Invalidation, clean_path, clean_prefix, clean_url
from .loops import limit_loop
from .moments import AUTOMATIC, moment_ms, record_at, short
from .tags import clean_all, of_results


def _listed(names: str | Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _record(
    invalidation: Invalidation, hard: bool | None, warm: bool | None, using: str,
    at: datetime | None, name: str,
) -> None:  # fmt: skip
    if name.startswith(AUTOMATIC):
        raise ValueError(f"a name does not begin with {AUTOMATIC}: {name!r}")
    if name and at is None:
        raise ValueError(f"the name {name!r} is for what happens at a time: at=… is missing")
    if at is not None:
        invalidation.at_ms = moment_ms(at)
        invalidation.name = short(name)
    settings = get_settings()
    if settings.compare_results:
        invalidation.tags |= of_results(invalidation.tags)
    invalidation.hard = settings.mode == "hard" if hard is None else hard
    invalidation.warm = settings.warm if warm is None else warm
    invalidation.reinvalidate_after_ms = settings.reinvalidate_after_ms
    if at is not None:
        record_at(invalidation, using)
        return
    if warm is None:
        limit_loop(invalidation)
    record(invalidation, using)


def revalidate_by_tags(
    tags: str | Iterable[str],
    *,
    hard: bool | None = None,
    warm: bool | None = None,
    reason: str = "",
    using: str = DEFAULT_DB_ALIAS,
    at: datetime | None = None,
    name: str = "",
) -> list[str]:
    """The pages with any of these tags are out of date. Returns the tags as they are sent.

    `hard`: the old page is never served again, not even while the new one is fetched.
    `warm`: False, and the pages are not fetched before somebody asks for them.
    """
    named = clean_all(tags)
    _record(Invalidation(tags=set(named), reason=reason), hard, warm, using, at, name)
    return named


def revalidate_by_paths(
    paths: str | Iterable[str],
    *,
    hard: bool | None = None,
    warm: bool | None = None,
    reason: str = "",
    using: str = DEFAULT_DB_ALIAS,
    at: datetime | None = None,
    name: str = "",
) -> None:
    """The pages at these paths are out of date, on every host and with any query."""
    named = {clean_path(path) for path in _listed(paths)}
    _record(Invalidation(paths=named, reason=reason), hard, warm, using, at, name)


def revalidate_by_urls(
    urls: str | Iterable[str],
    *,
    hard: bool | None = None,
    warm: bool | None = None,
    reason: str = "",
    using: str = DEFAULT_DB_ALIAS,
    at: datetime | None = None,
    name: str = "",
) -> None:
    """The pages at these URLs are out of date, in all of their variants."""
    named = {clean_url(url) for url in _listed(urls)}
    _record(Invalidation(urls=named, reason=reason), hard, warm, using, at, name)


def revalidate_by_prefixes(
    prefixes: str | Iterable[str],
    *,
    hard: bool | None = None,
    warm: bool | None = None,
    reason: str = "",
    using: str = DEFAULT_DB_ALIAS,
    at: datetime | None = None,
    name: str = "",
) -> None:
    """The pages below these URLs, or paths of SITE_URLS, are out of date. A prefix ends with /."""
    named = {clean_prefix(prefix) for prefix in _listed(prefixes)}
    relative = any(prefix.startswith("/") for prefix in named)
    if relative and not get_settings().site_urls:
        raise ValueError("a prefix without a host needs EDGE_ISR['SITE_URLS']")
    _record(Invalidation(prefixes=named, reason=reason), hard, warm, using, at, name)


def revalidate_all(
    *,
    hard: bool | None = None,
    warm: bool | None = None,
    reason: str = "",
    using: str = DEFAULT_DB_ALIAS,
    at: datetime | None = None,
    name: str = "",
) -> None:
    """The whole site is out of date."""
    _record(Invalidation(everything=True, reason=reason), hard, warm, using, at, name)


def cancel_scheduled(name: str, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """What waits under a name for its time is not done."""
    if not name or name.startswith(AUTOMATIC):
        raise ValueError(f"no name of something that waits: {name!r}")
    record(Invalidation(name=short(name)), using)


def invalidate_tag(tag: str) -> list[str]:
    """`revalidate_by_tags` by django-custom-cache-page's name."""
    return revalidate_by_tags([tag])


def invalidate_tags(tags: Iterable[str]) -> list[str]:
    """`revalidate_by_tags` by django-custom-cache-page's name."""
    return revalidate_by_tags(tags)
