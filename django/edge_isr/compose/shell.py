"""From a finished page to its shell: every placeholder found and checked, or the page is not
composed.

It is the last step of a render for the edge. What it can't account for makes the page one that is
not composed, which is served as it is: the fallbacks of its personal parts in it, with its real
token and cookie, and never with a marker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from django.conf import settings as django_settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ..conf import Settings
from ..context import PageContext, recording
from ..policy import CONTROL_FIELDS, Policy
from . import field as fields
from . import html, markers
from .composition import Composition
from .edge import is_in_scope
from .gate import is_gated
from .personal import MAX_PARTS
from .problems import NotComposedError, Problem
from .shared import in_place
from .tokens import place_tokens

CSP_FIELDS = ("Content-Security-Policy", "Content-Security-Policy-Report-Only")
_VALIDATORS = ("ETag", "Last-Modified", "Content-Length", "Expires", "X-Edge-ISR")
_HASHED = re.compile(r"'sha(256|384|512)-")
_UTF8 = ("utf-8", "utf8")


@dataclass
class Shell:
    """A page's shell: its body, the fields that change, and what it says of itself."""

    body: bytes
    cookie: Any
    members: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)

    def value(self, ttl: int, policy: Policy) -> str:
        """The compose field."""
        members = {
            "v": 1, "max-age": ttl, "swr": policy.swr, "sie": policy.sie, **self.members,
        }  # fmt: skip
        return fields.dictionary(members)


def shell_of(
    request: HttpRequest,
    response: Any,
    composition: Composition,
    policy: Policy,
    settings: Settings,
) -> Shell:
    """The shell of a response, which stays as it is. NotComposedError says why there is none."""
    if not composition.began:
        raise NotComposedError(Problem.EARLY)
    _check_form(response)
    cookie = _cookie(request, response, composition)
    # Nonces first: they have the form of tokens.
    body, headers = _place_nonce(response.content, response, composition)
    body = place_tokens(body, composition.tokens, composition.secret, composition.marker)
    _check_fields(response, composition)
    if any(text != composition.marker for _, text in markers.genuine_markers(body)):
        raise NotComposedError(Problem.OLD_MARKER)
    body, personal, shared = _parts(body, composition)
    _check_hashes(body, response, composition)
    members = {
        "marker": composition.marker,
        "placeholders": body.count(composition.marker.encode()),
        "length": len(body),
        **_said(request, composition, policy, personal, settings),
    }
    if cookie is not None:
        members["csrf"] = (django_settings.CSRF_COOKIE_NAME, fields.attributes(cookie))
    elif personal and (csrf := _csrf_of_parts(request)) is not None:
        members |= {"csrf": csrf, "csrf-personal": True}
    if personal or members["gate"] or members["audience"] != "all":
        members["cookies"] = settings.personal_cookies
    if personal:
        members["personal"] = tuple(personal)
    if shared:
        members["shared"] = tuple(shared)
    shell = Shell(body, cookie, members, headers)
    if not _fits(shell, policy):
        raise NotComposedError(Problem.TOO_LONG)
    return shell


def _check_form(response: Any) -> None:
    kind, _, parameters = response.get("Content-Type", "").lower().partition(";")
    charset = re.search(r"charset=\"?([\w-]+)", parameters)
    known = charset is None or charset[1] in _UTF8
    if kind.strip() != "text/html" or response.streaming or not known:
        raise NotComposedError(Problem.NOT_HTML)
    if response.has_header("Content-Encoding"):
        raise NotComposedError(Problem.CODED)


def _cookie(request: HttpRequest, response: Any, composition: Composition) -> Any:
    """The CSRF cookie that the edge is to set; None if the page needs none."""
    cookie = response.cookies.get(django_settings.CSRF_COOKIE_NAME)
    if cookie is None:
        if not composition.tokens and not composition.needs_cookie:
            return None
        used_sessions = django_settings.CSRF_USE_SESSIONS
        problem = Problem.SESSION_TOKENS if used_sessions else Problem.NO_COOKIE
        raise NotComposedError(problem)
    if cookie.value != composition.secret:
        raise NotComposedError(Problem.ROTATED)
    if not is_in_scope(request, cookie):
        raise NotComposedError(Problem.SCOPE)
    return cookie


def _csrf_of_parts(request: HttpRequest) -> tuple[str, str] | None:
    """The cookie that forms in personal parts need, as Django would set it."""
    if django_settings.CSRF_USE_SESSIONS:
        return None
    name = django_settings.CSRF_COOKIE_NAME
    morsel = SimpleCookie({name: ""})[name]
    morsel["path"] = django_settings.CSRF_COOKIE_PATH
    morsel["domain"] = django_settings.CSRF_COOKIE_DOMAIN or ""
    morsel["max-age"] = django_settings.CSRF_COOKIE_AGE
    morsel["secure"] = bool(django_settings.CSRF_COOKIE_SECURE)
    morsel["httponly"] = bool(django_settings.CSRF_COOKIE_HTTPONLY)
    morsel["samesite"] = django_settings.CSRF_COOKIE_SAMESITE or ""
    return (name, fields.attributes(morsel)) if is_in_scope(request, morsel) else None


def _check_fields(response: Any, composition: Composition) -> None:
    hidden = [*composition.tokens, composition.secret]
    others = [value for name, value in response.items() if name.lower() != "set-cookie"]
    own = django_settings.CSRF_COOKIE_NAME
    others += [morsel.value for name, morsel in response.cookies.items() if name != own]
    if any(text in value for text in hidden for value in others):
        raise NotComposedError(Problem.TOKEN_IN_FIELD)


def _place_nonce(
    body: bytes, response: Any, composition: Composition
) -> tuple[bytes, dict[str, str]]:
    nonce = composition.nonce
    if not nonce:
        return body, {}
    placeholder = f"{composition.marker}n00"
    headers = {}
    for name, value in response.items():
        if nonce not in value:
            continue
        if name.lower() not in {field.lower() for field in CSP_FIELDS}:
            raise NotComposedError(Problem.NONCE_IN_FIELD)
        headers[name] = value.replace(nonce, placeholder)
    return body.replace(nonce.encode(), placeholder.encode()), headers


def _parts(body: bytes, composition: Composition) -> tuple[bytes, list[str], list[str]]:
    """The page, and the personal and shared parts whose places are in it, numbered as they come."""
    marker = composition.marker.encode()
    placeholders = re.compile(re.escape(marker) + rb"(?:([tnpse])([0-9]{2}))?")
    known = {b"p": composition.personal, b"s": composition.shared}
    names = {
        (kind, number): name for kind, all_of in known.items() for name, number in all_of.items()
    }
    # The new number of each, by its kind and its number so far.
    order: dict[tuple[bytes, int], int] = {}
    stand: list[int] = []
    opened: tuple[bytes, int] | None = None
    renumbered, end = [], 0
    for found in placeholders.finditer(body):
        kind, number = found[1], int(found[2] or 0)
        if kind in known and opened is not None:
            raise NotComposedError(Problem.NESTED)
        if kind is None or (kind == b"e" and (opened is None or opened[1] != number)):
            raise NotComposedError(Problem.DAMAGED)
        if kind in known:
            opened = (kind, number)
            if opened not in names:
                raise NotComposedError(Problem.DAMAGED)
            order.setdefault(opened, sum(one == kind for one, _ in order))
        if opened is not None and kind not in (b"t", b"n"):
            stand.append(found.start())
            renumbered += [body[end : found.start()], marker, kind, b"%02d" % order[opened]]
            end = found.end()
        if kind == b"e":
            opened = None
    if opened is not None:
        raise NotComposedError(Problem.DAMAGED)
    if len(order) > MAX_PARTS:
        raise NotComposedError(Problem.TOO_MANY)
    if stand and html.outside_of_html(body, stand):
        raise NotComposedError(Problem.NOT_IN_HTML)
    personal = [names[one] for one in order if one[0] == b"p"]
    shared = [names[one] for one in order if one[0] == b"s"]
    return b"".join([*renumbered, body[end:]]), personal, shared


def _check_hashes(body: bytes, response: Any, composition: Composition) -> None:
    """The hash of a script is not that of the script with another token."""
    said = " ".join(response.get(name, "") for name in CSP_FIELDS)
    if not _HASHED.search(said):
        return
    marker = re.escape(composition.marker.encode())
    offsets = [found.start() for found in re.finditer(marker, body)]
    if html.within_scripts(body, offsets):
        raise NotComposedError(Problem.HASHED_SCRIPT)


def _said(
    request: HttpRequest,
    composition: Composition,
    policy: Policy,
    personal: list[str],
    settings: Settings,
) -> dict[str, Any]:
    if composition.from_cache:
        composition.watch.note("everything", "a page cache of the site")
    trusted = policy.compose == "trusted"
    everyone = trusted or not composition.watch.reads
    languages = composition.languages if django_settings.USE_I18N and personal else set()
    if len(languages) > 1:
        raise NotComposedError(Problem.LANGUAGES)
    waits = django_settings.SESSION_SAVE_EVERY_REQUEST or _needs_cookies()
    return {
        "audience": fields.Name("all" if everyone else "anonymous"),
        "gate": is_gated(settings),
        "wait": True if personal and waits else None,
        "lang": next(iter(languages), None),
        "nonce": True if composition.nonce else None,
    }


def _needs_cookies() -> bool:
    """Whether sessions are kept in their cookie, or messages where no cookie says so."""
    if django_settings.SESSION_ENGINE.endswith("signed_cookies"):
        return True
    storage = str(getattr(django_settings, "MESSAGE_STORAGE", ""))
    known = ("cookie.CookieStorage", "fallback.FallbackStorage")
    return "django.contrib.messages" in django_settings.INSTALLED_APPS and not (
        not storage or storage.endswith(known)
    )


def _fits(shell: Shell, policy: Policy) -> bool:
    try:
        return len(shell.value(315_360_000, policy)) <= fields.MAX_BYTES
    except ValueError:
        return False


def audience_in_words(composition: Composition) -> str:
    """What the page has read of a visitor: it is for those without a cookie alone."""
    return "audience=anonymous: " + ", ".join(composition.watch.in_words())


def take(request: HttpRequest, response: HttpResponseBase) -> Any:
    """Takes from an answer what the edge does in its stead; `give_back` undoes it."""
    request.META.pop("CSRF_COOKIE_NEEDS_UPDATE", None)
    return response.cookies.pop(django_settings.CSRF_COOKIE_NAME, None)


def give_back(request: HttpRequest, response: HttpResponseBase, cookie: Any) -> None:
    """The page is not composed after all."""
    if cookie is not None:
        request.META["CSRF_COOKIE_NEEDS_UPDATE"] = True
        response.cookies[django_settings.CSRF_COOKIE_NAME] = cookie


def put(response: Any, shell: Shell, ttl: int, policy: Policy) -> None:
    """Makes the answer the shell: nobody keeps it but the edge, which knows the field."""
    response.content = shell.body
    for name in (*_VALIDATORS, *CONTROL_FIELDS):
        if name in response:
            del response[name]
    for name, value in shell.headers.items():
        response[name] = value
    response["Cache-Control"] = "private, no-store"
    response["Content-Length"] = str(len(shell.body))
    response[fields.ASKS] = shell.value(ttl, policy)


def without_places(response: Any, page: PageContext) -> None:
    """Of a page that is not composed, nothing looks like a shell: its shared parts stand in it, and
    what others get instead of the personal ones."""
    if response.streaming:
        return
    plain = response.content
    if page.composition is not None:
        with recording(page.recorder, page):
            plain = in_place(plain, page.composition)
    plain = markers.without_places(plain)
    if plain != response.content:
        response.content = plain
        if "Content-Length" in response:
            response["Content-Length"] = str(len(plain))
        if "ETag" in response:
            del response["ETag"]
