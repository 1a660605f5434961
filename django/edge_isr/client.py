"""The worker's control API, as far as the status page and the commands need it."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote, urlencode

from . import signing
from .conf import Settings, get_settings
from .http import Reply, call
from .invalidation import Invalidation
from .retry import Failed, Refused

# A tag may be on very many pages; a list for people, or for a purge API, ends somewhere.
MAX_PAGES = 10_000
WARM_URLS_PER_CALL = 500


class WorkerError(Exception):
    """The worker could not be asked, or refused; the text is for people."""


class Client:
    """Calls of the control API."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or get_settings()
        if not self._settings.worker_url:
            raise WorkerError("EDGE_ISR['WORKER_URL'] is not set")
        self._base = self._settings.worker_url + self._settings.control_prefix

    def health(self) -> dict[str, Any]:
        """`healthz`, whatever its status; with the token, it says more."""
        token = self._settings.token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        document: dict[str, Any] = self._call("GET", "/healthz", headers).json()
        return document

    def pages_of_url(self, url: str) -> list[dict[str, Any]]:
        """What the index knows of a URL: at most one page for each form of it."""
        pages: list[dict[str, Any]] = self._read("/v1/pages?" + urlencode({"url": url}))["pages"]
        return pages

    def pages_of_tag(self, tag: str, limit: int = 100, cursor: str = "") -> dict[str, Any]:
        """Some of the pages that carry a tag: `pages`, and `next` for the cursor."""
        query = urlencode({"limit": limit, **({"cursor": cursor} if cursor else {})})
        return self._read(f"/v1/tags/{quote(tag, safe='')}/pages?{query}")

    def urls_of_tag(self, tag: str) -> list[str]:
        """The URLs of all pages that carry a tag. Raises retry.Failed."""
        urls: list[str] = []
        cursor = ""
        try:
            while len(urls) < MAX_PAGES:
                part = self.pages_of_tag(tag, 1000, cursor)
                urls += [page["url"] for page in part["pages"]]
                cursor = part.get("next") or ""
                if not cursor:
                    break
        except WorkerError as error:
            raise Failed(str(error)) from None
        return urls

    def audit(self, limit: int = 20) -> dict[str, Any]:
        """What audits have found, newest first: `findings`, `groups`, `outcomes`."""
        return self._read("/v1/audit?" + urlencode({"limit": limit}))

    def job(self, job_id: str) -> dict[str, Any]:
        """Progress of a job."""
        return self._read(f"/v1/jobs/{quote(job_id, safe='')}")

    def stats(self) -> dict[str, Any]:
        """What all isolates have counted in the last hour, by result."""
        return self._read("/v1/stats?by=result")

    def revalidate(
        self, invalidation: Invalidation, *, wait_ms: int = 0, dry_run: bool = False
    ) -> dict[str, Any]:
        """Invalidates at once, beside the outbox, and returns the worker's answer."""
        from .targets.worker import WorkerTarget

        command = WorkerTarget(self._settings).command(invalidation)
        if wait_ms:
            command["wait_ms"] = wait_ms
        if dry_run:
            command["dry_run"] = True
        return self._write("/v1/revalidate", command, self._settings.timeout + wait_ms / 1000)

    def warm(self, urls: list[str]) -> list[dict[str, Any]]:
        """Has pages fetched; one answer for each 500."""
        return [
            self._write("/v1/warm", {"urls": urls[at : at + WARM_URLS_PER_CALL]})
            for at in range(0, len(urls), WARM_URLS_PER_CALL)
        ]

    def _read(self, path: str) -> dict[str, Any]:
        if not self._settings.token:
            raise WorkerError("EDGE_ISR['TOKEN'] is not set: reading needs one of scope read")
        headers = {"Authorization": f"Bearer {self._settings.token}"}
        return self._done(self._call("GET", path, headers))

    def _write(
        self, path: str, command: dict[str, Any], timeout: float | None = None
    ) -> dict[str, Any]:
        body = json.dumps(command).encode()
        headers = {
            "Content-Type": "application/json",
            **signing.headers(self._settings.webhook_secrets, f"msg_{uuid.uuid4().hex}", body),
        }
        return self._done(self._call("POST", path, headers, body, timeout))

    def _call(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None = None,
        timeout: float | None = None,
    ) -> Reply:
        wait = self._settings.timeout if timeout is None else timeout
        try:
            return call(method, self._base + path, headers, body, wait)
        except (Failed, Refused) as error:
            raise WorkerError(str(error)) from None

    @staticmethod
    def _done(reply: Reply) -> dict[str, Any]:
        answer = reply.json()
        if not reply.ok or not isinstance(answer, dict):
            raise WorkerError(reply.detail())
        return answer
