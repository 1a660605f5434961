"""Caches that take `PURGE`: Varnish, nginx, Souin, Wagtail-style proxies.

With `tag_header` (`"xkey"`, `"Surrogate-Key"`), tags are purged by that header in one call;
without it, their URLs are, one call each.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.http.response import HttpResponseBase

from ..conf import Settings
from ..http import call, judge
from ..invalidation import Invalidation
from ..tags import with_coarse
from .base import Receipt
from .urls import Unresolved, check_unknown_tags, full_prefixes, urls_of

MAX_HEADER_BYTES = 7000


class PurgeTarget:
    """`urls`: the caches' own addresses. `purge_all`: the path whose `PURGE` means everything."""

    def __init__(
        self,
        settings: Settings,
        urls: str | Iterable[str],
        tag_header: str = "",
        purge_all: str = "/*",
        method: str = "PURGE",
        unknown_tags: str = "all",
        headers: dict[str, str] | None = None,
    ) -> None:
        self._settings = settings
        listed = [urls] if isinstance(urls, str) else list(urls)
        if not listed or not all(url.startswith(("http://", "https://")) for url in listed):
            raise ValueError("urls: expected the caches' addresses, such as http://127.0.0.1:6081")
        self._caches = [url.rstrip("/") for url in listed]
        self._tag_header = tag_header
        self._purge_all = purge_all
        self._method = method
        self._unknown_tags = check_unknown_tags(unknown_tags)
        self._headers = headers or {}

    def prepare_response(self, response: HttpResponseBase, tags: list[str]) -> None:
        """Adds the field that the cache reads tags from."""
        if self._tag_header:
            response[self._tag_header] = " ".join(tags)

    def send(self, invalidation: Invalidation, message_id: str) -> Receipt:
        """Purges, at each of the caches."""
        tags = set(invalidation.tags) if self._tag_header else set()
        rest = Invalidation(
            tags=invalidation.tags - tags, urls=invalidation.urls, paths=invalidation.paths,
            everything=invalidation.everything or bool(full_prefixes(invalidation, self._settings)),
        )  # fmt: skip
        try:
            urls = urls_of(rest, self._settings, self._unknown_tags)
        except Unresolved:
            self._purge(self._purge_all, {})
            return Receipt()
        for keys in _lines(sorted(with_coarse(tags))):
            self._purge("/", {self._tag_header: keys})
        for url in urls:
            parts = urlsplit(url)
            query = f"?{parts.query}" if parts.query else ""
            self._purge((parts.path or "/") + query, {"Host": parts.netloc})
        return Receipt()

    def _purge(self, path: str, headers: dict[str, str]) -> None:
        for cache in self._caches:
            fields = {**self._headers, **headers}
            reply = call(self._method, cache + path, fields, None, self._settings.timeout)
            # Not found: it was not in the cache.
            if reply.status != 404:
                judge(reply)


def _lines(tags: list[str]) -> list[str]:
    lines: list[str] = []
    for tag in tags:
        if lines and len(lines[-1]) + len(tag) < MAX_HEADER_BYTES:
            lines[-1] += f" {tag}"
        else:
            lines.append(tag)
    return lines
