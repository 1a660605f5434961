"""Versions of tags in Django's cache: whether something that was kept is still up to date.

Every invalidation gives its tags new, random versions, after it has replaced a *guard*. What is
kept remembers the versions that its tags had. If the guard has not changed, none of them has.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.cache import caches

PREFIX = "edge_isr:"
GUARD = PREFIX + "guard"
# Said by revalidate_all: every entry carries it.
EVERYTHING = "*"
# Longer than any entry lives, as far as the cache keeps it.
VERSION_SECONDS = 30 * 86_400


def new_version() -> str:
    """One that no tag has had."""
    return uuid.uuid4().hex


def version_key(tag: str) -> str:
    """Where a tag's version is kept."""
    # Tags may be long, and memcached takes 250 bytes.
    return PREFIX + "tag:" + hashlib.sha256(tag.encode()).hexdigest()[:40]


def replace_versions(alias: str, tags: Iterable[str]) -> None:
    """Whatever is kept with one of these tags is out of date."""
    cache = caches[alias]
    cache.set(GUARD, new_version(), VERSION_SECONDS)
    cache.set_many({version_key(tag): new_version() for tag in tags}, VERSION_SECONDS)


def ensure(cache: Any, key: str) -> str:
    """A version that is in the cache: its own, or a new one if it has none."""
    found = cache.get(key)
    if found is None:
        cache.add(key, new_version(), VERSION_SECONDS)
        found = cache.get(key)
    return str(found)


def versions_of(alias: str, tags: Iterable[str]) -> dict[str, str]:
    """The versions that tags have now."""
    cache = caches[alias]
    keys = {tag: version_key(tag) for tag in (*tags, EVERYTHING)}
    known = cache.get_many(keys.values())
    return {tag: known.get(key) or ensure(cache, key) for tag, key in keys.items()}


def are_current(alias: str, versions: Mapping[str, str]) -> bool:
    """Whether tags still have these versions."""
    keys = {tag: version_key(tag) for tag in versions}
    now = caches[alias].get_many(keys.values())
    return all(now.get(keys[tag]) == version for tag, version in versions.items())
