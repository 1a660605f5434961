"""What is known of the page that is being rendered: its tags, its policy, what it has loaded.

`request.edge_isr` is the page. While a cached view or fragment renders, a context variable holds a
recorder; the hooks of `autotags` do nothing but look at it when it is not set. Recorders nest: what
a fragment has seen, the page around it has seen too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest

from .policy import Policy
from .tags import clean, clean_all

current: ContextVar[Recorder | None] = ContextVar("edge_isr_recorder", default=None)


class Recorder:
    """What was seen: instances by model, models as a whole, and tags that were named."""

    __slots__ = ("automatic", "deferred", "fetching", "instances", "models", "querysets", "tags")

    def __init__(self, automatic: bool = True) -> None:
        # Whether the hooks of `autotags` record here; named tags are taken either way.
        self.automatic = automatic
        self.instances: dict[str, set[Any]] = {}
        self.models: set[str] = set()
        self.tags: dict[str, None] = {}
        # Querysets that were looked at; kept, so that no other one gets their id.
        self.querysets: dict[int, Any] = {}
        # The query whose rows are being fetched, and the labels it is a list of if it has none.
        self.fetching: Any = None
        self.deferred: tuple[str, ...] | None = None

    def absorb(self, tags: Iterable[str]) -> None:
        """What a part of the page depends on."""
        self.tags.update(dict.fromkeys(tags))

    def fold_lists(self, most: int) -> None:
        """Models with more instances than that are known by the model's tag alone."""
        for label in [label for label, keys in self.instances.items() if len(keys) > most]:
            del self.instances[label]
            self.models.add(label)

    def named(self) -> list[str]:
        """All as tags: those that were named, the models, the instances."""
        found = dict(self.tags)
        found.update(dict.fromkeys(sorted(self.models)))
        for label in sorted(self.instances):
            keys = sorted(map(str, self.instances[label]))
            found.update((clean(f"{label}:{key}"), None) for key in keys)
        return list(found)


class PageContext:
    """One page: `request.edge_isr`."""

    def __init__(self) -> None:
        self.policy: Policy | None = None
        self.recorder = Recorder()
        # Set when the page's tags could not all be told: it must not be stored.
        self.failed = False
        # Whether its view named tags itself.
        self.explicit = False

    def add_tags(self, tags: str | Iterable[str | None] | None) -> None:
        """Names data that the page depends on."""
        named = clean_all(tags)
        if named:
            self.explicit = True
            self.recorder.tags.update(dict.fromkeys(named))

    @property
    def tags(self) -> list[str]:
        """The page's tags so far."""
        return self.recorder.named()


def page_of(request: HttpRequest) -> PageContext:
    """The page of a request."""
    page = getattr(request, "edge_isr", None)
    if not isinstance(page, PageContext):
        page = PageContext()
        request.edge_isr = page
    return page


def automatic() -> Recorder | None:
    """The recorder that the hooks write to now, if there is one."""
    recorder = current.get()
    return recorder if recorder is not None and recorder.automatic else None


@contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """While it lasts, what is loaded is seen by this recorder; by none if it is None."""
    token = current.set(recorder)
    try:
        yield
    finally:
        current.reset(token)


def add_tags(tags: str | Iterable[str | None] | None) -> None:
    """Names data that whatever is being rendered depends on: a page, or a fragment in it."""
    recorder = current.get()
    if recorder is not None:
        recorder.tags.update(dict.fromkeys(clean_all(tags)))
