"""CloudFront: invalidations by path, signed by AWS Signature Version 4. No SDK is needed.

CloudFront knows neither tags nor hosts: what can't be named by a path invalidates `/*`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from datetime import datetime, timezone
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from ..conf import Settings
from ..http import call, judge
from ..invalidation import Invalidation
from .base import Receipt
from .urls import Unresolved, check_unknown_tags, full_prefixes, urls_of

REGION, SERVICE = "us-east-1", "cloudfront"
MAX_PATHS = 1000
# Prefixes end with a *, and CloudFront runs at most 15 of those at once.
MAX_WILDCARDS = 15


class CloudFrontTarget:
    """`distribution_id`; the keys come from the options or the usual AWS variables."""

    def __init__(
        self,
        settings: Settings,
        distribution_id: str,
        access_key: str = "",
        secret_key: str = "",
        session_token: str = "",
        api: str = "https://cloudfront.amazonaws.com",
        unknown_tags: str = "all",
    ) -> None:
        self._settings = settings
        self._url = f"{api.rstrip('/')}/2020-05-31/distribution/{distribution_id}/invalidation"
        self._access_key = access_key or os.environ.get("AWS_ACCESS_KEY_ID", "")
        self._secret_key = secret_key or os.environ.get("AWS_SECRET_ACCESS_KEY", "")
        self._session_token = session_token or os.environ.get("AWS_SESSION_TOKEN", "")
        if not (self._access_key and self._secret_key):
            raise ValueError("access_key and secret_key: neither in the options nor in AWS_…")
        self._unknown_tags = check_unknown_tags(unknown_tags)

    def send(self, invalidation: Invalidation, message_id: str) -> Receipt:
        """Creates an invalidation."""
        try:
            paths = [_path(u) for u in urls_of(invalidation, self._settings, self._unknown_tags)]
            wild = [_path(p) + "*" for p in full_prefixes(invalidation, self._settings)]
            if len(wild) > MAX_WILDCARDS:
                raise Unresolved
            paths = sorted({*paths, *wild})
        except Unresolved:
            paths = ["/*"]
        for start in range(0, len(paths), MAX_PATHS):
            self._create(paths[start : start + MAX_PATHS], f"{message_id}-{start}")
        return Receipt()

    def _create(self, paths: list[str], reference: str) -> None:
        items = "".join(f"<Path>{escape(path)}</Path>" for path in paths)
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><InvalidationBatch xmlns="http://cloudfront.'
            f'amazonaws.com/doc/2020-05-31/"><Paths><Quantity>{len(paths)}</Quantity><Items>{items}'
            f"</Items></Paths><CallerReference>{escape(reference)}</CallerReference>"
            "</InvalidationBatch>"
        ).encode()
        headers = self.signed(body, datetime.now(timezone.utc))
        judge(call("POST", self._url, headers, body, self._settings.timeout))

    def signed(self, body: bytes, now: datetime) -> dict[str, str]:
        """The header fields of a call (AWS Signature Version 4)."""
        parts = urlsplit(self._url)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        digest = hashlib.sha256(body).hexdigest()
        fields = {"content-type": "text/xml", "host": parts.netloc, "x-amz-date": stamp}
        if self._session_token:
            fields["x-amz-security-token"] = self._session_token
        names = ";".join(sorted(fields))
        canonical = "\n".join(
            ["POST", parts.path, "", *(f"{name}:{fields[name]}" for name in sorted(fields)), "",
             names, digest]
        )  # fmt: skip
        scope = f"{day}/{REGION}/{SERVICE}/aws4_request"
        to_sign = "\n".join(
            ["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()]
        )
        key = f"AWS4{self._secret_key}".encode()
        for part in (day, REGION, SERVICE, "aws4_request"):
            key = hmac.digest(key, part.encode(), hashlib.sha256)
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        fields["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._access_key}/{scope}, SignedHeaders={names}, "
            f"Signature={signature}"
        )
        return fields


def _path(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
