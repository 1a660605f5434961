"""For a site's own tests: what was told, and whether a response may be cached.

    with assert_invalidates("post:42", "/blog/"):
        post.save()

    assert_cached(client.get("/blog/"), "post:42")

In a test run nothing is told (`EDGE_ISR["IN_TESTS"]`), but for what these look at. They work in
tests that commit and in those that never do, and count nothing that was rolled back. With pytest
there is the fixture `edge_isr_told`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import Model
from django.http.response import HttpResponseBase

from .batching import Watch, unwatch, watch
from .invalidation import Invalidation
from .tags import every, tag

__all__ = [
    "Told", "assert_cached", "assert_invalidates", "assert_not_cached", "assert_not_invalidates",
    "recorded",
]  # fmt: skip

# A text, an instance, or a model.
Name = Any


class Told:
    """What was told: of what has committed, and of transactions that are still open."""

    def __init__(self, watched: Watch) -> None:
        self._watch = watched

    def _all(self) -> Invalidation:
        found = Invalidation()
        for one in self._watch.invalidations():
            if one.at_ms or one.name:
                # Told at a time, not now.
                continue
            found.absorb(one)
            found.everything = found.everything or one.everything
        return found

    @property
    def tags(self) -> set[str]:
        """Tags, as they are sent."""
        return self._all().tags

    @property
    def paths(self) -> set[str]:
        """Paths of the site."""
        return self._all().paths

    @property
    def urls(self) -> set[str]:
        """Absolute URLs."""
        return self._all().urls

    @property
    def prefixes(self) -> set[str]:
        """Prefixes of URLs, or of paths."""
        return self._all().prefixes

    @property
    def everything(self) -> bool:
        """Whether the whole site was told to be out of date."""
        return self._all().everything

    def names(self, name: Name) -> bool:
        """Whether a tag, path, URL, model or instance was told."""
        found, text = self._all(), _text(name)
        group = every(text.partition(":")[0])
        told = found.tags | found.paths | found.urls | found.prefixes
        return found.everything or text in told or (":" in text and group in found.tags)

    def __bool__(self) -> bool:
        return bool(self._all())

    def __str__(self) -> str:
        found = self._all()
        return str(found) if found else "nothing"


def _text(name: Any) -> str:
    if isinstance(name, Model) or (isinstance(name, type) and issubclass(name, Model)):
        return tag(name)
    return str(name) if "/" in str(name) else tag(str(name))


@contextmanager
def recorded() -> Iterator[Told]:
    """Records what is told in it."""
    watched = Watch()
    watch(watched)
    try:
        yield Told(watched)
    finally:
        watched.end()
        unwatch(watched)


@contextmanager
def assert_invalidates(*names: Name) -> Iterator[Told]:
    """Each of these is told by what is done in it."""
    with recorded() as told:
        yield told
        missing = [_text(name) for name in names if not told.names(name)]
        if missing:
            raise AssertionError(
                f"{', '.join(missing)} was not invalidated; invalidated was: {told}"
            )


@contextmanager
def assert_not_invalidates(*names: Name) -> Iterator[Told]:
    """None of these is told by what is done in it; nothing at all if none is named."""
    with recorded() as told:
        yield told
        if not names and told:
            raise AssertionError(f"expected nothing to be invalidated; invalidated was: {told}")
        found = [_text(name) for name in names if told.names(name)]
        if found:
            raise AssertionError(f"{', '.join(found)} was invalidated: {told}")


def _is_cached(response: HttpResponseBase) -> bool:
    return getattr(response, "edge_isr_reason", "the middleware has not seen it") == ""


def assert_cached(response: HttpResponseBase, *names: Name) -> None:
    """The edge may keep the response, and it has these tags."""
    if not _is_cached(response):
        reason = getattr(response, "edge_isr_reason", "EdgeISRMiddleware has not seen it")
        raise AssertionError(f"the response is not cached: {reason}")
    tags = response.get("X-Edge-ISR-Tags", "").split()
    missing = [_text(name) for name in names if _text(name) not in tags]
    if missing:
        raise AssertionError(
            f"the response has no tag {', '.join(missing)}; it has {' '.join(tags)}"
        )


def assert_not_cached(response: HttpResponseBase) -> None:
    """The edge may not keep the response."""
    if _is_cached(response):
        raise AssertionError("the response is cached: " + response.get("X-Edge-ISR-Tags", ""))
