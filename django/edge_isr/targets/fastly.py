"""Fastly: purge by surrogate keys, URLs, or all. `Surrogate-Key` is added to public answers."""

from __future__ import annotations

from django.http.response import HttpResponseBase

from ..conf import Settings
from ..http import call, judge
from ..invalidation import Invalidation
from ..tags import with_coarse
from .base import Receipt
from .urls import Unresolved, urls_of

MAX_KEYS = 256
MAX_HEADER_BYTES = 7000


class FastlyTarget:
    """`service_id`, `api_token`. Soft invalidations are soft purges."""

    def __init__(
        self,
        settings: Settings,
        service_id: str,
        api_token: str,
        api: str = "https://api.fastly.com",
    ) -> None:
        self._settings = settings
        self._api = api.rstrip("/")
        self._service = service_id
        self._token = api_token

    def prepare_response(self, response: HttpResponseBase, tags: list[str]) -> None:
        """Fastly reads tags from this field, and removes it."""
        response["Surrogate-Key"] = " ".join(tags)

    def send(self, invalidation: Invalidation, message_id: str) -> Receipt:
        """Purges; prefixes are beyond Fastly's API and purge everything."""
        rest = Invalidation(
            urls=invalidation.urls,
            paths=invalidation.paths,
            everything=invalidation.everything or bool(invalidation.prefixes),
        )
        try:
            urls = urls_of(rest, self._settings, "ignore")
        except Unresolved:
            self._post(f"/service/{self._service}/purge_all", {})
            return Receipt()
        soft = {} if invalidation.hard else {"Fastly-Soft-Purge": "1"}
        keys: list[str] = []
        for key in [*sorted(with_coarse(invalidation.tags)), ""]:
            full = len(keys) >= MAX_KEYS or sum(map(len, keys)) + len(key) > MAX_HEADER_BYTES
            if keys and (full or not key):
                fields = {**soft, "Surrogate-Key": " ".join(keys)}
                self._post(f"/service/{self._service}/purge", fields)
                keys = []
            keys.append(key)
        for url in urls:
            self._post(f"/purge/{url.split('://')[1]}", soft)
        return Receipt()

    def _post(self, path: str, headers: dict[str, str]) -> None:
        headers = {"Fastly-Key": self._token, "Accept": "application/json", **headers}
        judge(call("POST", self._api + path, headers, b"", self._settings.timeout))
