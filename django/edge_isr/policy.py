"""For how long a view's answers may be kept at the edge, and whether this one may be.

`refusal` is the whole rule: an answer is public only if nothing in it, or about it, can belong to
one visitor. It reads, and never opens a session or a message store that nobody has opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from django.http import HttpRequest
from django.http.response import FileResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.functional import LazyObject

SAFE_METHODS = ("GET", "HEAD")
CONTROL_FIELDS = ("Cache-Control", "CDN-Cache-Control", "Surrogate-Control")
# How long a page is kept at most that depends on something that can't be named.
UNKNOWN_SECONDS = 60
TTL = int | Callable[[HttpResponseBase], int]


class SettingError(ValueError):
    """What is wrong with one value."""


class Why(str, Enum):
    """Why an answer is not public. The value is what DEBUG shows in `X-Edge-ISR-Reason`."""

    NO_POLICY = "not-opted-in"
    METHOD = "method"
    STATUS = "status"
    DO_NOT_CACHE = "do-not-cache"
    ONLY_IF = "only-if"
    AUTHORIZATION = "authorization"
    CACHE_CONTROL = "cache-control"
    SET_COOKIE = "set-cookie"
    SESSION = "session"
    USER = "user"
    MESSAGES = "messages"
    CSRF = "csrf-token"
    PERSONAL_PART = "personal-part"
    VARY_ANY = "vary-any"
    STREAMING = "streaming-without-tags"
    TAGS_FAILED = "tags-failed"
    TAGS_LIMIT = "tags-limit"
    POLICY_FAILED = "policy-failed"


def status_of(response: HttpResponseBase) -> int:
    """The status of what the answer stands for: of a 304, of the page that is still good."""
    return 200 if response.status_code == 304 else response.status_code


@dataclass(frozen=True)
class Policy:
    """What a view, a rule or the defaults say about keeping answers."""

    s_maxage: TTL = 300
    swr: int = 3600
    sie: int = 86_400
    max_age: int = 0
    statuses: Mapping[int, TTL | None] | None = None
    vary: tuple[str, ...] = ()
    only_if: Callable[[HttpRequest], bool] | None = None
    query: tuple[str, ...] | None = None
    auto_tags: bool = True
    # Whether the edge may compose the answer, True or "trusted"; whether it sets the CSRF cookie.
    compose: bool | str = False
    csrf_cookie: bool = False

    def ttl(self, response: HttpResponseBase) -> int | None:
        """The lifetime of an answer with this status; None if the status is not kept."""
        statuses = self.statuses or {200: None}
        status = status_of(response)
        if status not in statuses:
            return None
        of_status = statuses[status]
        ttl = self.s_maxage if of_status is None else of_status
        return int(ttl(response) if callable(ttl) else ttl)


POLICY_KEYS = (
    "s_maxage", "swr", "sie", "max_age", "statuses", "vary", "vary_on", "only_if", "query",
    "auto_tags", "compose", "csrf_cookie",
)  # fmt: skip
# The names that django-edge-isr and the RFC use.
_ALIASES = {
    "stale_while_revalidate": "swr",
    "stale_if_error": "sie",
    "timeout": "s_maxage",
    "vary_on": "vary",
}
# What the worker's `vary_on` hints stand for as request fields.
_FACTS = {"device": "X-Device", "language": "Accept-Language"}


def policy_from(named: Mapping[str, Any], base: Policy, place: str) -> Policy:
    """A policy with the values named, the others from a base. Raises SettingError."""
    values: dict[str, Any] = {}
    for key, value in named.items():
        name = _ALIASES.get(key, key)
        if name not in POLICY_KEYS:
            raise SettingError(f"{place}{key}: unknown; known are {', '.join(POLICY_KEYS)}")
        if value is None:
            continue
        try:
            parsed = _PARSERS[name](value)
        except (TypeError, ValueError) as error:
            raise SettingError(f"{place}{key}: {error}") from None
        values[name] = (*values.get(name, ()), *parsed) if name == "vary" else parsed
    return replace(base, **values)


def _seconds(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 315_360_000:
        raise ValueError(f"expected a whole number of seconds, got {value!r}")
    return value


def _ttl(value: Any) -> TTL:
    return value if callable(value) else _seconds(value)


def _statuses(value: Any) -> dict[int, TTL | None]:
    pairs = value.items() if isinstance(value, Mapping) else ((code, None) for code in value)
    parsed: dict[int, TTL | None] = {}
    for code, ttl in pairs:
        if not isinstance(code, int) or not 200 <= code <= 499 or code in (206, 304):
            raise ValueError(f"expected status codes from 200 to 499, not {code!r}")
        parsed[code] = None if ttl is None else _ttl(ttl)
    return parsed


def _names(value: Any) -> tuple[str, ...]:
    named = [value] if isinstance(value, str) else list(value)
    if not all(isinstance(name, str) for name in named):
        raise ValueError(f"expected names, got {value!r}")
    return tuple(named)


def _vary(value: Any) -> tuple[str, ...]:
    return tuple(_FACTS.get(name, name) for name in _names(value))


def _callable(value: Any) -> Any:
    if not callable(value):
        raise ValueError(f"expected a function, got {value!r}")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected True or False, got {value!r}")
    return value


def _compose(value: Any) -> bool | str:
    if value != "trusted" and not isinstance(value, bool):
        raise ValueError(f"expected True, False or 'trusted', got {value!r}")
    return bool(value) if isinstance(value, bool) else "trusted"


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "s_maxage": _ttl,
    "swr": _seconds,
    "sie": _seconds,
    "max_age": _seconds,
    "statuses": _statuses,
    "vary": _vary,
    "only_if": _callable,
    "query": _names,
    "auto_tags": _bool,
    "compose": _compose,
    "csrf_cookie": _bool,
}


def refusal(request: HttpRequest, response: HttpResponseBase, policy: Policy) -> Why | None:
    """Why this answer is not public; None if it is."""
    if request.method not in SAFE_METHODS:
        return Why.METHOD
    if getattr(request, "do_not_cache", False):
        return Why.DO_NOT_CACHE
    if status_of(response) not in (policy.statuses or {200: None}):
        return Why.STATUS
    # Also an empty one: it was sent by somebody.
    if "HTTP_AUTHORIZATION" in request.META:
        return Why.AUTHORIZATION
    if response.cookies or response.has_header("Set-Cookie"):
        return Why.SET_COOKIE
    if _directives(response) & {"private", "no-store", "no-cache"}:
        return Why.CACHE_CONTROL
    return _personal(request, response)


def _personal(request: HttpRequest, response: HttpResponseBase) -> Why | None:
    session = getattr(request, "session", None)
    # An empty session that was looked at is how an anonymous visitor looks: not a reason.
    if session is not None and (session.modified or (session.accessed and not session.is_empty())):
        return Why.SESSION
    # The first two are there once request.user or request.auser() was read; the third is a user
    # that something else than Django's middleware put there.
    for name in ("_cached_user", "_acached_user", "user"):
        if getattr(_looked_at(vars(request).get(name)), "is_authenticated", False):
            return Why.USER
    messages = getattr(request, "_messages", None)
    if messages is not None and (
        messages.added_new
        or getattr(messages, "_queued_messages", None)
        or getattr(messages, "_loaded_data", None)
    ):
        return Why.MESSAGES
    # Set by get_token(), and reset but left there when the cookie was sent.
    if "CSRF_COOKIE_NEEDS_UPDATE" in request.META:
        return Why.CSRF
    if getattr(getattr(request, "edge_isr", None), "has_personal_parts", False):
        return Why.PERSONAL_PART
    if "*" in response.get("Vary", ""):
        return Why.VARY_ANY
    return None


def _looked_at(user: Any) -> Any:
    """The user, or None as long as nobody has asked who it is."""
    wrapped = vars(user).get("_wrapped") if isinstance(user, LazyObject) else user
    # What stands there before is a bare object.
    return None if type(wrapped) is object else wrapped


def _directives(response: HttpResponseBase) -> set[str]:
    # What a view says to the edge alone forbids as much as what it says to all.
    said = ",".join(response.get(name, "") for name in CONTROL_FIELDS)
    return {directive.partition("=")[0].strip() for directive in said.lower().split(",")}


def untracked_stream(response: HttpResponseBase) -> bool:
    """Whether the body is made after the headers have left, so that its data can't be named."""
    return bool(response.streaming) and not isinstance(response, FileResponse)


def capped(policy: Policy, ttl: int, unknown: bool, left: float | None) -> tuple[Policy, int]:
    """A policy and a lifetime that are no longer than what is known of the page.

    `unknown`: it depends on what can't be named. `left`: in so many seconds it is out of date.
    """
    if unknown:
        ttl = min(ttl, UNKNOWN_SECONDS)
        policy = replace(policy, swr=min(policy.swr, UNKNOWN_SECONDS))
    if left is not None:
        whole = max(0, int(left))
        ttl = min(ttl, whole)
        policy = replace(policy, swr=min(policy.swr, whole - ttl))
    if unknown or left is not None:
        policy = replace(policy, max_age=min(policy.max_age, ttl))
    return policy, ttl


def make_public(response: HttpResponseBase, policy: Policy, ttl: int, header: str) -> None:
    """Says for how long the edge may keep the answer; browsers ask again by default."""
    stated = [f"stale-while-revalidate={policy.swr}", f"stale-if-error={policy.sie}"]
    # What is empty states nothing.
    own = response.get("Cache-Control", "").strip()
    if header == "Cache-Control":
        response["Cache-Control"] = ", ".join(
            ["public", f"max-age={policy.max_age}", f"s-maxage={ttl}", *stated]
        )
    else:
        response[header] = ", ".join([f"max-age={ttl}", *stated])
        if not own:
            response["Cache-Control"] = f"public, max-age={policy.max_age}"
    if policy.vary:
        patch_vary_headers(response, policy.vary)


def make_private(response: HttpResponseBase) -> None:
    """The answer of a cached view that is for one visitor: no shared cache may keep it."""
    if not response.get("Cache-Control", "").strip():
        response["Cache-Control"] = "private, no-cache"
    keep_out(response)


def make_personal(response: HttpResponseBase) -> None:
    """What is in the answer belongs to one visitor, whatever its view says to caches."""
    kept_nowhere = "no-store" in _directives(response)
    for name in (*CONTROL_FIELDS, "Expires"):
        if response.has_header(name):
            del response[name]
    response["Cache-Control"] = "private, no-store" if kept_nowhere else "private, no-cache"
    keep_out(response)


def keep_out(response: HttpResponseBase) -> None:
    """What the worker takes as an order never to store the answer; visitors don't get to see it."""
    response["X-Edge-ISR"] = "bypass"


def states_freshness(response: HttpResponseBase) -> bool:
    """Whether a view that is none of ours said itself how its answer is cached."""
    return any(response.get(name, "").strip() for name in (*CONTROL_FIELDS, "Expires"))
