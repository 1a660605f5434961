"""What a view and a write of the oracle are, and how their results are compared."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model
from django.http import Http404

# What a view raises that looks for a row that is not there any more.
ABSENT = (ObjectDoesNotExist, IndexError, Http404)


def plain(value: Any, around: tuple[int, ...] = ()) -> Any:
    """A result as something that can be compared: instances by all they hold."""
    if isinstance(value, str | bytes | int | float | type(None)):
        return value
    if isinstance(value, Model):
        name = type(value).__name__
        if id(value) in around:
            return name
        inner = (*around, id(value))
        # By their attributes, as pages read them.
        held = {key: getattr(value, key) for key in vars(value) if not key.startswith("_")}
        held.update(vars(value)["_state"].fields_cache)
        return name, [(key, plain(held[key], inner)) for key in sorted(held)]
    if isinstance(value, dict):
        return sorted(((str(k), plain(v, around)) for k, v in value.items()), key=itemgetter(0))
    if hasattr(value, "__iter__"):
        return [plain(item, around) for item in value]
    return repr(value)


def attempt(load: Callable[[], Any]) -> Any:
    """What it loads, or that it is not there."""
    try:
        return plain(load())
    except ABSENT as error:
        return type(error).__name__


@dataclass(frozen=True)
class View:
    """`load` makes what the page shows. Where that comes out of a cache or from another thread,
    `truth` loads the same without. `respond` is a whole view, for answers that are made late.
    `twice`: what counts is what the page carries when it is rendered again."""

    load: Callable[[], Any]
    truth: Callable[[], Any] | None = None
    is_async: bool = False
    twice: bool = False
    respond: Callable[[Any], Any] | None = None

    def result(self) -> Any:
        """What the page should show now."""
        if self.truth is None and self.is_async:
            from asgiref.sync import async_to_sync

            loaded: dict[str, Any] = {}

            async def run() -> None:
                try:
                    loaded["value"] = plain(await self.load())
                except ABSENT as error:
                    loaded["value"] = type(error).__name__

            async_to_sync(run)()
            return loaded["value"]
        return attempt(self.truth or self.load)


@dataclass(frozen=True)
class Write:
    """A way to change rows; `kind` is what over-invalidation is summed up by."""

    kind: str
    run: Callable[[], Any]


VIEWS: dict[str, View] = {}
WRITES: dict[str, Write] = {}


def view(name: str, load: Callable[[], Any], **more: Any) -> None:
    """Adds a view."""
    assert name not in VIEWS, name
    VIEWS[name] = View(load, **more)


def write(kind: str, name: str, run: Callable[[], Any]) -> None:
    """Adds a write."""
    name = f"{kind}: {name}"
    assert name not in WRITES, name
    WRITES[name] = Write(kind, run)
