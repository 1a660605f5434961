"""One HTTP call: no redirects, nothing raised for a status, a bound on time and on the answer."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .retry import Failed, Refused

MAX_ANSWER_BYTES = 1 << 20
# Refused for what the call is. Not 404: so answers a site whose worker is switched off for now.
PERMANENT = frozenset({400, 413, 414, 422, 431})


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON; an empty object if it is none."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError:
            return {}

    def detail(self) -> str:
        """What it says, for people."""
        document = self.json()
        text = (
            document.get("detail") or document.get("title") if isinstance(document, dict) else None
        )
        return f"{self.status} {text or self.body[:200].decode(errors='replace').strip()}".strip()


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_opener = urllib.request.build_opener(
    _AnyStatus, _NoRedirects, urllib.request.HTTPSHandler(context=ssl.create_default_context())
)


def call(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    timeout: float = 5.0,
) -> Reply:
    """One call; Failed if there was no answer."""
    request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)
    request.add_header("User-Agent", "edge-isr-django")
    try:
        with _opener.open(request, timeout=timeout) as response:
            return Reply(response.status, response.headers, response.read(MAX_ANSWER_BYTES))
    except urllib.error.URLError as error:
        raise Failed(f"{_host(url)}: {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"{_host(url)}: {type(error).__name__}: {error}") from error


def _host(url: str) -> str:
    return url.split("/")[2] if "://" in url else url


def judge(reply: Reply) -> Reply:
    """The answer, if it was done; Refused or Failed otherwise."""
    if reply.ok:
        return reply
    if reply.status in PERMANENT:
        raise Refused(reply.detail())
    raise Failed(reply.detail(), retry_after(reply))


def retry_after(reply: Reply) -> float | None:
    """The seconds of `Retry-After`; a date in it counts as none."""
    text = str(reply.headers.get("Retry-After", "")).strip()
    return float(text) if text.isascii() and text.isdigit() else None
