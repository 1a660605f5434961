"""The edge-isr worker: one signed webhook for an invalidation, in parts if it is very large."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

from .. import signing
from ..conf import Settings
from ..http import Reply, call, judge, retry_after
from ..invalidation import EPOCH, Invalidation
from ..retry import Failed, PutOff, Refused
from ..tags import path_tag, with_coarse
from .base import Receipt

logger = logging.getLogger("edge_isr")

# The worker takes 10,000 names; each of ours may bring a coarser tag along.
MAX_NAMES = 4000
# The worker takes what is a day late for now, and refuses what is later.
MAX_LATE = timedelta(hours=23)


class WorkerTarget:
    """Posts to `/v1/revalidate`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = f"{settings.worker_url}{settings.control_prefix}/v1/revalidate"

    def send(self, invalidation: Invalidation, message_id: str) -> Receipt:
        """Posts it; the id makes a repeated delivery count once. What has a time waits there."""
        receipt = Receipt()
        for at, part in enumerate(invalidation.parts(MAX_NAMES)):
            receipt = self._post(part, f"{message_id}-{at}" if at else message_id)
        return receipt

    def command(self, invalidation: Invalidation) -> dict[str, Any]:
        """The body of the call."""
        settings = self._settings
        command: dict[str, Any] = {}
        if invalidation.everything:
            command["all"] = True
        else:
            tags = with_coarse(invalidation.tags) | {path_tag(path) for path in invalidation.paths}
            urls = set(invalidation.urls)
            if not settings.path_tags:
                tags -= {path_tag(path) for path in invalidation.paths}
            urls |= {site + path for site in settings.site_urls for path in invalidation.paths}
            prefixes = {
                full
                for prefix in invalidation.prefixes
                for full in (
                    [site + prefix for site in settings.site_urls]
                    if prefix.startswith("/")
                    else [prefix]
                )
            }
            named = {"tags": tags, "urls": urls, "prefixes": prefixes}
            command.update({key: sorted(names) for key, names in named.items() if names})
        command.update(mode="hard" if invalidation.hard else "soft", warm=invalidation.warm)
        if invalidation.reinvalidate_after_ms:
            command["reinvalidate_after_ms"] = invalidation.reinvalidate_after_ms
        if invalidation.reason:
            command["reason"] = invalidation.reason
        at = EPOCH + timedelta(milliseconds=invalidation.at_ms)
        if invalidation.at_ms and datetime.now(timezone.utc) - at < MAX_LATE:
            command["at"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return command

    def cancel(self, message_id: str, under_way: bool) -> Receipt:
        """Takes back what waits under an id; what was done or never came is not there, or it is
        under way."""
        url = f"{self._settings.worker_url}{self._settings.control_prefix}/v1/scheduled/"
        body = json.dumps({"id": message_id}).encode()
        headers = {
            "Content-Type": "application/json",
            **signing.headers(self._settings.webhook_secrets, f"{message_id}.cancel", body),
        }
        address = url + quote(message_id, safe="")
        reply = call("DELETE", address, headers, body, self._settings.timeout)
        if reply.status not in (404, 409):
            self._allowed(reply)
            judge(reply)
        elif reply.status == 404 and "problem" not in str(reply.headers.get("Content-Type", "")):
            # Whoever answers is not the worker.
            raise Failed(reply.detail(), retry_after(reply))
        elif reply.status == 404 and under_way:
            raise PutOff("what is to be taken back may be under way")
        return Receipt(message_id)

    def _post(self, invalidation: Invalidation, message_id: str) -> Receipt:
        command = self.command(invalidation)
        if not set(command) & {"tags", "urls", "prefixes", "all"}:
            raise Refused("paths can't be named without PATH_TAGS and SITE_URLS")
        reply = self._call(command, message_id)
        if reply.status == 413 and len(invalidation) > 1:
            # Something in between takes less than the worker does.
            receipt = Receipt()
            for at, half in enumerate(invalidation.parts((len(invalidation) + 1) // 2)):
                receipt = self._post(half, f"{message_id}.{at}")
            return receipt
        if reply.status == 409:
            # The id is taken by the same rows said differently, before an upgrade of this package.
            reply = self._call(command, f"{message_id}.again")
        if reply.status == 429 and "at" in command:
            raise PutOff(reply.detail(), retry_after(reply))
        self._allowed(reply)
        answer = judge(reply).json()
        epoch = answer.get("epoch") if isinstance(answer, dict) else None
        logger.info("%s: revalidated at epoch %s", invalidation, epoch)
        return Receipt(str(answer.get("id", message_id)), epoch if isinstance(epoch, int) else None)

    @staticmethod
    def _allowed(reply: Reply) -> None:
        if reply.status in (401, 403):
            raise Failed(
                f"{reply.detail()} Compare EDGE_ISR['WEBHOOK_SECRET'] with the worker's "
                "WEBHOOK_SECRET, and this machine's clock with the time: nothing is lost meanwhile",
                retry_after(reply),
            )

    def _call(self, command: dict[str, Any], message_id: str) -> Reply:
        body = json.dumps(command, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            **signing.headers(self._settings.webhook_secrets, message_id, body),
        }
        return call("POST", self._url, headers, body, self._settings.timeout)
