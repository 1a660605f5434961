"""A page as a visitor gets it who is not logged in: whether the edge may keep it, and why not.

For `manage.py edge_isr_doctor`. The page is rendered through all middlewares, in transactions that
are rolled back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.db import connections, transaction
from django.test import Client

from . import statements
from .batching import silence
from .compose import problems
from .compose.edge import ORIGIN_AUTH_META
from .compose.field import ASKS, ASKS_META, VERSION
from .conf import Settings, get_settings
from .context import explaining
from .policy import Why
from .registry import is_followed, models_of_table
from .routes import cached_views

ADVICE = {
    Why.NO_POLICY: "its view is not cached: put @isr on it, or name its path in RULES",
    Why.METHOD: "only GET and HEAD are cached",
    Why.STATUS: "its status is not kept: see statuses of @isr",
    Why.DO_NOT_CACHE: "request.do_not_cache was set",
    Why.ONLY_IF: "only_if of its policy said no",
    Why.AUTHORIZATION: "the request had Authorization",
    Why.CACHE_CONTROL: "its view says private, no-store or no-cache (@never_cache, a middleware): "
    "take that away where the page is for everyone",
    Why.SET_COOKIE: "it sets a cookie: find who does (a middleware, SESSION_SAVE_EVERY_REQUEST), "
    "and set it by a request of its own",
    Why.SESSION: "its session holds or gets something: read and write it on pages of its own",
    Why.USER: "it looks at a user who is logged in",
    Why.MESSAGES: "it shows or adds messages",
    Why.CSRF: "it has a form with a CSRF token ({% csrf_token %}, perhaps in a base template): see "
    "docs/forms.md",
    Why.PERSONAL_PART: "a personal part was made for who asked",
    Why.VARY_ANY: "it says Vary: *",
    Why.STREAMING: "it streams, and its tags are not known when it begins: name them",
    Why.TAGS_FAILED: "a function of its tags failed: see the log",
    Why.TAGS_LIMIT: "it has too many tags, even merged: see MAX_TAGS",
    Why.POLICY_FAILED: "a function of its policy failed: see the log",
}


@dataclass
class Examined:
    """What was found of one page."""

    path: str
    status: int
    why: Why | None
    ttl: str = ""
    tags: int = 0
    unknown: list[str] = field(default_factory=list)
    cookies: list[str] = field(default_factory=list)
    vary: str = ""
    written: list[str] = field(default_factory=list)
    error: str = ""
    named: list[str] = field(default_factory=list)
    explained: list[tuple[str, list[str]]] = field(default_factory=list)
    composed: str = ""

    def line(self) -> str:
        """It in plain words."""
        if self.error:
            return f"{self.path}: it can't be rendered: {self.error}"
        if self.why is None:
            text = f"{self.path}: kept ({self.ttl}; {self.tags} tags)"
        elif self.composed:
            text = f"{self.path}: not kept: {self.composed}"
        else:
            named = f" ({', '.join(self.cookies)})" if self.cookies else ""
            text = f"{self.path}: not kept{named}: {ADVICE[self.why]}"
            if self.why is Why.STATUS:
                text += f" ({self.status})"
        if self.composed and self.why is None:
            text += f"; {self.composed}"
        elif "cookie" in self.vary.lower() and self.why is None:
            text += "; it varies on Cookie: kept for visitors without any alone"
        for name in self.unknown:
            text += f"; depends on what can't be named, so for a minute at most: {name}"
        if self.written:
            text += f'; each GET writes {", ".join(self.written)}: see "views that write"'
        return text


def paths_of(settings: Settings) -> list[str]:
    """The cached views that need nothing but their path."""
    return sorted({view.path for view in cached_views(settings) if "*" not in view.path})


def host_of(settings: Settings, host: str | None) -> tuple[str, bool]:
    """The public host, and whether it is asked by HTTPS."""
    if settings.site_urls and not host:
        parts = urlsplit(settings.site_urls[0])
        return parts.netloc, parts.scheme == "https"
    allowed = [name for name in django_settings.ALLOWED_HOSTS if "*" not in name]
    named = host or (allowed[0].lstrip(".") if allowed else "localhost")
    return named, bool(django_settings.SECURE_SSL_REDIRECT)


def examine(path: str, host: str, secure: bool) -> Examined:
    """Renders a page twice: the second is what a cache of the site's own makes of it. Remembered is
    which query gave which tag, and where what of a visitor was read."""
    with ExitStack() as stack:
        stack.callback(explaining.reset, explaining.set(True))
        stack.enter_context(silence())
        written: dict[str, None] = {}
        for connection in connections.all():
            if connection.settings_dict.get("ENGINE") != "django.db.backends.dummy":
                stack.enter_context(transaction.atomic(using=connection.alias))
                stack.callback(transaction.set_rollback, True, using=connection.alias)
                stack.enter_context(connection.execute_wrapper(_watch(written)))
        client = Client(raise_request_exception=True, **_edge())
        try:
            first, response = (_get(client, path, host, secure) for _ in range(2))
        except Exception as error:  # noqa: BLE001 - whatever the site raises is what is shown
            return Examined(path, 500, None, error=f"{type(error).__name__}: {error}")
        found = _examined(path, response, list(written))
        page = getattr(first.wsgi_request, "edge_isr", None)
        found.explained = list(page.recorder.explained or ()) if page is not None else []
        return found


def _edge() -> dict[str, str]:
    """What the edge says of itself."""
    secrets = get_settings().origin_secrets
    return {ASKS_META: VERSION, **({ORIGIN_AUTH_META: secrets[0]} if secrets else {})}


def _get(client: Client, path: str, host: str, secure: bool) -> Any:
    # As for the edge: without the cookies of the answer before.
    client.cookies.clear()
    return client.get(path, headers={"host": host}, secure=secure)


def _composed(page: Any) -> str:
    """What becomes of a page that the edge may compose, in words."""
    if page is None or page.policy is None or not page.policy.compose:
        return ""
    if page.problem is not None:
        return f"not composed: {problems.ADVICE[page.problem]}"
    if page.why is not None or page.composition is None:
        return ""
    reads = page.composition.watch.in_words()
    if not reads or page.policy.compose == "trusted":
        return "composed, for every visitor"
    return f"composed for visitors without a cookie alone, because it reads {', '.join(reads)}"


def _examined(path: str, response: Any, written: list[str]) -> Examined:
    page = getattr(response.wsgi_request, "edge_isr", None)
    why = page.why if page is not None else Why.NO_POLICY
    if why is Why.SET_COOKIE:
        why = _of_cookies(set(response.cookies))
    named = response.get("X-Edge-ISR-Tags", "").split()
    return Examined(
        path=path,
        composed=_composed(page),
        status=response.status_code,
        why=why,
        ttl=_stated(response),
        tags=len(named),
        named=named,
        unknown=list(page.recorder.unknown) if page is not None and why is None else [],
        cookies=sorted(response.cookies) if why is Why.SET_COOKIE else [],
        vary=response.get("Vary", ""),
        written=written,
    )


def _of_cookies(names: set[str]) -> Why:
    """What Django's own cookies stand for."""
    if names == {django_settings.CSRF_COOKIE_NAME}:
        return Why.CSRF
    return Why.SESSION if django_settings.SESSION_COOKIE_NAME in names else Why.SET_COOKIE


def _stated(response: Any) -> str:
    composed = response.get(ASKS, "").split(", ")[1:4]
    if composed:
        return ", ".join(composed)
    names = ("CDN-Cache-Control", "Surrogate-Control", "Cache-Control")
    return next((response[name] for name in names if response.has_header(name)), "")


def _watch(written: dict[str, None]) -> Any:
    def watch(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        statement = statements.read(statements.text_of(sql))
        if statement.writes:
            for table in statement.targets():
                for model in models_of_table(table):
                    if is_followed(model):
                        written[model._meta.label_lower] = None
        return execute(sql, params, many, context)

    return watch


def summary(pages: Iterable[Examined]) -> Iterator[str]:
    """What most of them have in common."""
    pages = list(pages)
    kept = sum(page.why is None and not page.error for page in pages)
    if pages:
        yield f"{kept} of {len(pages)} pages can be kept."
    forms = sum(page.why is Why.CSRF for page in pages)
    if forms > 1 or (forms and forms == len(pages)):
        yield (
            f"{forms} have a form with a CSRF token. If it is the same in all (a search, a log-in, "
            "a cart in the base template), one change opens all of them: see docs/forms.md."
        )
    sessions = sum(page.why in (Why.SESSION, Why.SET_COOKIE) for page in pages)
    if sessions > 1:
        yield f"{sessions} touch the session or set cookies: look at the middlewares first."
    if any(page.written for page in pages):
        yield (
            "Pages that write when they are read invalidate themselves: leave those models out "
            "(AUTO_TAGS_EXCLUDE, or fields= of register), or write with edge_isr.silence()."
        )
