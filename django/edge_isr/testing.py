"""For a site's own tests: what was invalidated, and whether a response may be cached.

    with assert_invalidates("post:42", "/blog/"):
        post.save()

    assert_cached(client.get("/blog/"), "post:42")

In a test run nothing is sent (`EDGE_ISR["IN_TESTS"]`), but for what these look at. They work in
tests that commit and in those that never do, and count nothing that was rolled back. With pytest
there is the fixture `edge_isr_invalidations`.
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
    "Recorded", "assert_cached", "assert_invalidates", "assert_not_cached",
    "assert_not_invalidates", "recorded",
]  # fmt: skip

# A text, an instance, or a model.
Name = Any


class Recorded:
    """What was invalidated: by what has committed, and in transactions that are still open."""

    def __init__(self, watched: Watch) -> None:
        self._watch = watched

    def _all(self) -> Invalidation:
        found = Invalidation()
        for one in self._watch.invalidations():
            if one.at_ms or one.name:
                # Due at a time, not now.
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
        """Whether the whole site was invalidated."""
        return self._all().everything

    def names(self, name: Name) -> bool:
        """Whether a tag, path, URL, model or instance was invalidated."""
        found, text = self._all(), _text(name)
        group = every(text.partition(":")[0])
        invalidated = found.tags | found.paths | found.urls | found.prefixes
        return found.everything or text in invalidated or (":" in text and group in found.tags)

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
def recorded() -> Iterator[Recorded]:
    """Records what is invalidated in it."""
    watched = Watch()
    watch(watched)
    try:
        yield Recorded(watched)
    finally:
        watched.end()
        unwatch(watched)


@contextmanager
def assert_invalidates(*names: Name) -> Iterator[Recorded]:
    """Each of these is invalidated by what is done in it."""
    with recorded() as invalidated:
        yield invalidated
        missing = [_text(name) for name in names if not invalidated.names(name)]
        if missing:
            raise AssertionError(
                f"{', '.join(missing)} was not invalidated; invalidated was: {invalidated}"
            )


@contextmanager
def assert_not_invalidates(*names: Name) -> Iterator[Recorded]:
    """None of these is invalidated by what is done in it; nothing at all if none is named."""
    with recorded() as invalidated:
        yield invalidated
        if not names and invalidated:
            raise AssertionError(
                f"expected nothing to be invalidated; invalidated was: {invalidated}"
            )
        found = [_text(name) for name in names if invalidated.names(name)]
        if found:
            raise AssertionError(f"{', '.join(found)} was invalidated: {invalidated}")


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
