"""Who is notified of invalidations: the worker, and whatever caches stand beside it (TARGETS).

Each target has its own rows in the outbox: one that is down holds up no other. A target that knows
no tags is given URLs; where tags can't be turned into URLs it is purged as a whole, because a page
that should go and stays is the one mistake that nobody sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from ..conf import Settings
from .base import Receipt, Target
from .worker import WorkerTarget

__all__ = [
    "CANCEL", "WORKER", "Receipt", "Target", "WorkerTarget", "build", "make_target", "target_names",
]  # fmt: skip

WORKER = "worker"
# In the payload of a row that takes another one back: until when that may be under way, in seconds
# since the epoch.
CANCEL = "cancel"
PROVIDERS = {
    "cloudflare": "edge_isr.targets.cloudflare.CloudflareTarget",
    "fastly": "edge_isr.targets.fastly.FastlyTarget",
    "cloudfront": "edge_isr.targets.cloudfront.CloudFrontTarget",
    "purge": "edge_isr.targets.purge.PurgeTarget",
}


def target_names(settings: Settings) -> list[str]:
    """The targets' names: what the outbox knows them by."""
    names = [WORKER] if settings.worker_url else []
    return names + [_name(options, at) for at, options in enumerate(settings.targets)]


def _name(options: Mapping[str, Any], at: int) -> str:
    name = options.get("name") or options.get("provider") or f"target-{at}"
    return str(name)


def target_class(options: Mapping[str, Any]) -> type:
    """The class of a target; LookupError says what is wrong."""
    provider = str(options.get("provider", ""))
    path = PROVIDERS.get(provider, provider)
    if "." not in path:
        known = ", ".join(PROVIDERS)
        raise LookupError(f"provider: expected one of {known} or a dotted path, got {provider!r}")
    try:
        found: type = import_string(path)
    except ImportError as error:
        raise LookupError(f"provider: {error}") from None
    return found


def build(options: Mapping[str, Any], settings: Settings) -> Target:
    """A target from its options; LookupError says what is wrong with them."""
    found = target_class(options)
    named = {key: value for key, value in options.items() if key not in ("provider", "name")}
    try:
        target: Target = found(settings, **named)
    except (TypeError, ValueError) as error:
        raise LookupError(str(error).replace("__init__() got an ", "")) from None
    return target


@lru_cache(maxsize=32)
def _made(name: str, key: int) -> Target:
    settings = _SETTINGS[key]
    if name == WORKER and settings.worker_url:
        return WorkerTarget(settings)
    for at, options in enumerate(settings.targets):
        if _name(options, at) == name:
            return build(options, settings)
    raise LookupError(f"no target of this name is set: {name}")


# Settings hold dictionaries, so they are cached by identity; the last few are kept alive for it.
_SETTINGS: dict[int, Settings] = {}


def make_target(name: str, settings: Settings) -> Target:
    """The target of a name; LookupError if it is not set, or set wrongly."""
    if _SETTINGS.get(id(settings)) is not settings:
        _made.cache_clear()
        _SETTINGS.clear()
        _SETTINGS[id(settings)] = settings
    return _made(name, id(settings))


def decorate_response(response: HttpResponseBase, tags: list[str], settings: Settings) -> None:
    """Lets targets that read their own tag header add it."""
    for at, options in enumerate(settings.targets):
        target = make_target(_name(options, at), settings)
        prepare = getattr(target, "prepare_response", None)
        if prepare is not None:
            prepare(response, tags)
