"""What the site's views ask of the worker's routes, and whether the worker's settings have it.

A view's `query` and `vary` hold at the origin. Sent to the worker, they keep what does not count
out of its keys, and let through what does: a request field that the worker does not forward never
reaches the view.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.urls import URLPattern, URLResolver, get_resolver

from .compose import shared
from .conf import Settings
from .policy import Policy

# What the worker's `vary_on` makes of request fields.
FACTS = {"x-device": "device", "accept-language": "language"}
# These reach the origin by themselves.
_FORWARDED = frozenset({"accept", "accept-language", "accept-encoding"})
Route = Mapping[str, Any]


@dataclass(frozen=True)
class CachedView:
    """A pattern of the site's URLs whose view is cached; `*` stands for what varies."""

    path: str
    policy: Policy

    @property
    def fields(self) -> list[str]:
        """The request fields that have to be forwarded."""
        names = (name for name in self.policy.vary if name.lower() not in {*_FORWARDED, *FACTS})
        return [name for name in dict.fromkeys(names) if name.lower() != "cookie"]

    @property
    def facts(self) -> list[str]:
        """The facts about the visitor."""
        return [FACTS[n.lower()] for n in dict.fromkeys(self.policy.vary) if n.lower() in FACTS]

    def route(self) -> dict[str, Any] | None:
        """The worker's route; None if its defaults are enough."""
        route: dict[str, Any] = {}
        if self.policy.query is not None:
            route["query"] = {"allow": sorted(self.policy.query)}
        if self.facts:
            route["vary_on"] = self.facts
        if self.fields:
            route["forward_headers"] = self.fields
        if self.policy.compose:
            route["compose"] = True
        return {"path": self.path, **route} if route else None

    def problems(self, rules: Iterable[Route], hosts: Iterable[str] = ()) -> Iterator[str]:
        """What the worker's first matching rule lacks; the last of them are its defaults. A rule of
        one host alone counts if that is one of the site's."""
        sample = self.path.replace("*", "x")
        ours = {None, *hosts}
        of_ours = (rule for rule in rules if rule.get("host") in ours)
        rule = next((rule for rule in of_ours if _matches(rule, sample)), {})
        if rule.get("action") == "bypass":
            yield f"{self.path}: the worker's rule {rule.get('path')} bypasses the cache"
            return
        yield from self._parameters(rule.get("query"))
        forwarded = rule.get("forward_headers") or ()
        known = set() if forwarded == "all" else {name.lower() for name in forwarded}
        for name in self.fields:
            if forwarded != "all" and name.lower() not in known:
                yield f"{self.path}: {name} never reaches the view (forward_headers)"
        for fact in self.facts:
            if fact not in (rule.get("vary_on") or ()):
                yield f"{self.path}: every visitor gets the same page (vary_on: {fact})"
        if self.policy.compose and rule.get("compose") is not True:
            yield f"{self.path}: forms and personal parts keep it out of the cache (compose)"
        if any(name.lower() == "cookie" for name in self.policy.vary) and not rule.get(
            "key_cookies"
        ):
            yield f"{self.path}: no cookie reaches the view (key_cookies)"

    def _parameters(self, query: Any) -> Iterator[str]:
        wanted = self.policy.query
        if wanted is None:
            return
        allowed = query.get("allow") if isinstance(query, Mapping) else None
        denied = query.get("deny", ()) if isinstance(query, Mapping) else ()
        for name in sorted(wanted):
            if _lists(denied, name) or not (allowed is None or _lists(allowed, name)):
                yield f"{self.path}: the parameter {name} never reaches the view (query)"
        if allowed is None:
            yield f"{self.path}: parameters that the view does not know make pages of their own"


def _lists(names: Iterable[str], name: str) -> bool:
    """Whether a list of the worker's has a name; a `*` at an end stands for anything."""
    return any(
        name.startswith(one[:-1]) if one.endswith("*") else name == one for one in map(str, names)
    )


def _matches(rule: Route, path: str) -> bool:
    pattern = re.escape(str(rule.get("path", "/*"))).replace(r"\*", ".*")
    return re.fullmatch(pattern, path) is not None


def cached_views(settings: Settings) -> list[CachedView]:
    """The cached views of the site, in the order of its URLs."""
    return [
        CachedView(re.sub(r"\*+", "*", path), declared.policy(settings.defaults))
        for path, callback in patterns()
        if (declared := getattr(callback, "edge_isr", None)) is not None
    ]


def patterns(resolver: Any = None, prefix: str = "/") -> Iterator[tuple[str, Any]]:
    """Every URL pattern of the site with its view, a `*` for what varies."""
    for entry in (resolver or get_resolver()).url_patterns:
        for start in _prefixes(entry.pattern):
            path = prefix + start
            if isinstance(entry, URLResolver):
                yield from patterns(entry, path)
            elif isinstance(entry, URLPattern):
                yield path, entry.callback


def _prefixes(pattern: Any) -> list[str]:
    """What a pattern stands for, once for each language in `i18n_patterns`."""
    if not hasattr(pattern, "prefix_default_language"):
        return [_as_wildcard(str(pattern))]
    bare = None if pattern.prefix_default_language else django_settings.LANGUAGE_CODE
    return ["" if code == bare else f"{code}/" for code, _ in django_settings.LANGUAGES]


def _as_wildcard(pattern: str) -> str:
    pattern = re.sub(r"<[^>]*>", "*", pattern)
    if pattern.startswith("^"):
        pattern = re.sub(
            r"\(\?P\*.*?\)|\([^)]*\)|\[[^]]*\][+*]?|\\[dwSsW][+*]?|\.[+*]", "*", pattern
        )
        pattern = pattern.strip("^$").replace("\\", "")
    return pattern


def problems_at(health: Mapping[str, Any], settings: Settings) -> list[str]:
    """What the worker's routes lack of what the views ask; one line if it does not show them."""
    config = health.get("config")
    rules = config.get("rules") if isinstance(config, Mapping) else None
    views = [view for view in cached_views(settings) if view.route() is not None]
    if not isinstance(rules, list):
        missing = "the worker does not show its rules: compare them with edge_isr_routes by hand"
        return [missing] if views else []
    if any(view.policy.compose for view in views) and shared.is_any():
        views.append(CachedView(f"{shared.PREFIX}*", Policy()))
    hosts = [host for url in settings.site_urls if (host := urlsplit(url).hostname)]
    return [problem for view in views for problem in view.problems(rules, hosts)]
