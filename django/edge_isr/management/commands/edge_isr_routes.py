"""`manage.py edge_isr_routes`: the worker's route settings that the site's views ask for.

A view's `query` and `vary_on` hold at the origin; told to the worker, they keep what does not count
out of its keys. This prints them as the `routes` of its settings, the rules without cache first.
"""

from __future__ import annotations

import json
import re
from typing import Any

from django.core.management.base import BaseCommand
from django.urls import URLPattern, URLResolver, get_resolver

from edge_isr.conf import get_settings
from edge_isr.policy import Policy

_FACTS = {"X-Device": "device", "Accept-Language": "language"}


class Command(BaseCommand):
    """Walks the URLs of the site."""

    help = "Print the worker's route settings that the site's views ask for, as JSON."

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints them."""
        routes = [route for route in map(self._route, self._views(get_resolver(), "/")) if route]
        self.stdout.write(json.dumps({"routes": routes}, indent=2))

    def _views(self, resolver: URLResolver, prefix: str) -> list[tuple[str, Policy]]:
        found = []
        for entry in resolver.url_patterns:
            path = prefix + _as_wildcard(str(entry.pattern))
            if isinstance(entry, URLResolver):
                found += self._views(entry, path)
            elif isinstance(entry, URLPattern):
                declared = getattr(entry.callback, "edge_isr", None)
                if declared is not None:
                    found.append((path, declared.policy(get_settings().defaults)))
        return found

    @staticmethod
    def _route(view: tuple[str, Policy]) -> dict[str, Any] | None:
        path, policy = view
        route: dict[str, Any] = {}
        if policy.query is not None:
            route["query"] = {"allow": sorted(policy.query)}
        facts = [_FACTS[name] for name in policy.vary if name in _FACTS]
        if facts:
            route["vary_on"] = facts
        return {"path": re.sub(r"\*+", "*", path), **route} if route else None


def _as_wildcard(pattern: str) -> str:
    """A URL pattern as the worker has it: a * for what varies."""
    pattern = re.sub(r"<[^>]*>", "*", pattern)
    if pattern.startswith("^"):
        pattern = re.sub(
            r"\(\?P\*.*?\)|\([^)]*\)|\[[^]]*\][+*]?|\\[dwSsW][+*]?|\.[+*]", "*", pattern
        )
        pattern = pattern.strip("^$").replace("\\", "")
    return pattern
