"""Whether a request is the edge's own: for a shell, or for the personal parts of a page."""

from __future__ import annotations

import hmac
from typing import Any

from django.conf import settings as django_settings
from django.http import HttpRequest

from ..conf import Settings
from . import field

ORIGIN_AUTH_META = "HTTP_X_EDGE_ISR_ORIGIN_AUTH"
# What makes an answer another one than the whole page as it is.
_CONDITIONS = (
    "HTTP_ACCEPT_ENCODING", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_MATCH",
    "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_RANGE", "HTTP_RANGE",
)  # fmt: skip


def knows_secret(request: HttpRequest, settings: Settings) -> bool:
    """Whether it carries `ORIGIN_SECRET`, where that is set."""
    given = request.META.get(ORIGIN_AUTH_META, "").encode()
    known = not settings.origin_secrets
    for secret in settings.origin_secrets:
        known |= hmac.compare_digest(given, secret.encode())
    return known


def asks_for_shell(request: HttpRequest, settings: Settings) -> bool:
    """Whether the edge asks for what is to be the same for all visitors.

    A request with a cookie that a visitor is known by is not one of those.
    """
    if request.META.get(field.ASKS_META, "").strip() != field.VERSION or request.method != "GET":
        return False
    own = {django_settings.CSRF_COOKIE_NAME, *settings.personal_cookies}
    return knows_secret(request, settings) and not own & set(request.COOKIES)


def strip_conditions(request: HttpRequest) -> None:
    """The answer is the page, whole and without a content coding."""
    for name in _CONDITIONS:
        request.META.pop(name, None)


def is_in_scope(request: HttpRequest, morsel: Any) -> bool:
    """Whether a cookie with these attributes comes back to the page that sets it (RFC 6265)."""
    path = morsel["path"] or ""
    if not path.startswith("/") or not request.path.startswith(path):
        return False
    inside = path.endswith("/") or request.path[len(path) : len(path) + 1] in ("", "/")
    domain = morsel["domain"].lower().lstrip(".")
    if not domain:
        return inside
    host = request.get_host().rpartition(":")[0] or request.get_host()
    return inside and (host == domain or host.endswith(f".{domain}"))
