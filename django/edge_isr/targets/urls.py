"""URLs for targets that know no tags.

Paths become URLs by SITE_URLS. Tags become URLs by the worker's index, if there is a worker and a
TOKEN; otherwise nobody knows them, and the target's `unknown_tags` says what to do: `"all"` (the
default) purges everything, `"ignore"` leaves it to the pages' lifetime.
"""

from __future__ import annotations

from ..client import Client
from ..conf import Settings
from ..invalidation import Invalidation

CHOICES = ("all", "ignore")


class Unresolved(Exception):
    """Something can't be named by URLs: the target is to be purged as a whole."""


def check_unknown_tags(choice: str) -> str:
    """The option's value; ValueError for anything else."""
    if choice not in CHOICES:
        raise ValueError(f"unknown_tags: expected one of {', '.join(CHOICES)}, got {choice!r}")
    return choice


def urls_of(invalidation: Invalidation, settings: Settings, unknown_tags: str) -> list[str]:
    """The pages' URLs; Unresolved if everything has to go."""
    if invalidation.everything:
        raise Unresolved
    urls = set(invalidation.urls)
    if invalidation.paths and not settings.site_urls:
        raise Unresolved
    urls |= {site + path for site in settings.site_urls for path in invalidation.paths}
    if invalidation.tags:
        if settings.worker_url and settings.token:
            client = Client(settings)
            for tag in sorted(invalidation.tags):
                urls.update(client.urls_of_tag(tag))
        elif unknown_tags == "all":
            raise Unresolved
    return sorted(urls)


def full_prefixes(invalidation: Invalidation, settings: Settings) -> list[str]:
    """The prefixes as absolute URLs."""
    return sorted(
        full
        for prefix in invalidation.prefixes
        for full in (
            [site + prefix for site in settings.site_urls] if prefix.startswith("/") else [prefix]
        )
    )
