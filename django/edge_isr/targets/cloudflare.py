"""Cloudflare's zone API: `purge_cache` by tags, URLs, prefixes, or everything.

On a zone that has an edge-isr worker this is for what Cloudflare's own cache keeps beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.http.response import HttpResponseBase

from ..conf import Settings
from ..http import call, judge
from ..invalidation import Invalidation
from ..retry import Failed
from ..tags import with_coarse
from .base import Receipt
from .urls import Unresolved, check_unknown_tags, full_prefixes, urls_of

MAX_PER_CALL = 30


class CloudflareTarget:
    """`zone_id`, `api_token`; `by`: `"tags"` (the default) or `"urls"`."""

    def __init__(
        self,
        settings: Settings,
        zone_id: str,
        api_token: str,
        by: str = "tags",
        api: str = "https://api.cloudflare.com",
        unknown_tags: str = "all",
    ) -> None:
        if by not in ("tags", "urls"):
            raise ValueError(f"by: expected tags or urls, got {by!r}")
        self._settings = settings
        self._url = f"{api.rstrip('/')}/client/v4/zones/{zone_id}/purge_cache"
        self._token = api_token
        self._by = by
        self._unknown_tags = check_unknown_tags(unknown_tags)

    def prepare_response(self, response: HttpResponseBase, tags: list[str]) -> None:
        """The zone's own cache reads tags from this field."""
        if self._by == "tags":
            response["Cache-Tag"] = ",".join(tags)

    def send(self, invalidation: Invalidation, message_id: str) -> Receipt:
        """Purges, 30 names a call."""
        for command in self._commands(invalidation):
            self._call(command)
        return Receipt()

    def _commands(self, invalidation: Invalidation) -> Iterator[dict[str, Any]]:
        tags = set(invalidation.tags) if self._by == "tags" else set()
        rest = Invalidation(
            tags=invalidation.tags - tags, urls=invalidation.urls, paths=invalidation.paths,
            everything=invalidation.everything,
        )  # fmt: skip
        try:
            urls = urls_of(rest, self._settings, self._unknown_tags)
        except Unresolved:
            yield {"purge_everything": True}
            return
        prefixes = [p.split("://")[1] for p in full_prefixes(invalidation, self._settings)]
        named = {"tags": sorted(with_coarse(tags)), "files": urls, "prefixes": prefixes}
        for kind, names in named.items():
            for start in range(0, len(names), MAX_PER_CALL):
                yield {kind: names[start : start + MAX_PER_CALL]}

    def _call(self, command: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        body = json.dumps(command).encode()
        answer = judge(call("POST", self._url, headers, body, self._settings.timeout)).json()
        if isinstance(answer, dict) and answer.get("success") is False:
            raise Failed(f"purge_cache: {answer.get('errors')}")
