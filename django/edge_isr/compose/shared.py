"""Shared parts: what is the same for everybody and stands on many pages, kept once.

A function makes a part of its arguments alone. It gets no request, so that nothing of a visitor can
be in it, and the part is the same wherever it is made: at an address of its own, which the edge
keeps like any page, or in the page itself for whoever asks the site.

An address is signed: nobody can ask for a part with arguments that no page has named. All of it is
path, since what a worker's route says of queries does not hold for it.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.conf import settings as django_settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import get_resolver, get_script_prefix
from django.utils import timezone, translation
from django.utils.html import conditional_escape

from ..conf import get_settings
from ..context import current, page_of, recording
from ..policy import SAFE_METHODS, Policy, policy_from
from ..tracked import named_by_hand
from .composition import Composition
from .markers import is_signed, signature
from .personal import PartError, kept_for_others

logger = logging.getLogger("edge_isr")

PREFIX = "/_edge_isr/f/"
# What a part says of itself, as a view does with @isr.
OPTIONS = ("s_maxage", "swr", "sie", "auto_tags")
# A longer address is none: the part stands in the page.
MAX_ADDRESS = 2_000

Make = Callable[..., Any]
Tags = Any
F = TypeVar("F", bound=Make)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PLAIN = (str, int, bool, type(None))


@dataclass(frozen=True)
class SharedPart:
    """What makes a part, and for how long it is kept."""

    name: str
    function: Make
    options: dict[str, Any]
    sources: tuple[Any, ...]

    def policy(self, defaults: Policy) -> Policy:
        """The policy of its address."""
        whole = replace(
            defaults, statuses=None, vary=(), only_if=None, query=None, compose=False,
            csrf_cookie=False,
        )  # fmt: skip
        return policy_from(self.options, whole, f"shared({self.name}): ")

    def make(self, language: str, arguments: tuple[Any, ...]) -> str:
        """The part. What it loads, and its tags, count for whatever is rendered now."""
        recorder = current.get()
        if recorder is not None:
            for source in self.sources:
                recorder.absorb(named_by_hand(source(*arguments) if callable(source) else source))
        # Neither the visitor's time zone nor their language, but the page's.
        with kept_for_others(), timezone.override(None), _language(language):
            made = self.function(*arguments)
            if made is None or isinstance(made, HttpResponseBase):
                raise TypeError(f"the shared part {self.name} returns text (render_to_string)")
            return str(conditional_escape(made))


_parts: dict[str, SharedPart] = {}


def shared(name: str, *, tags: Tags = None, **options: Any) -> Callable[[F], F]:
    """`@edge_isr.shared("menu", tags="menu")`: a function that returns the HTML of a part which is
    the same for everybody. Its arguments are those of `{% shared "menu" … %}`: texts, numbers,
    True, False, None. There is no request.

    `tags`: texts, or functions of the arguments. `s_maxage`, `swr`, `sie`: as of `@isr`. Text that
    is not marked as safe is escaped, as in templates.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TypeError(f"shared() takes a name of letters, digits, _ . and -, got {name!r}")
    unknown = set(options) - set(OPTIONS)
    if unknown or callable(options.get("s_maxage")):
        raise TypeError(
            f"shared() takes no {', '.join(sorted(unknown)) or 's_maxage of functions'}"
        )
    sources = (tags,) if tags is None or isinstance(tags, str) or callable(tags) else tuple(tags)

    def register(function: F) -> F:
        if not callable(function) or iscoroutinefunction(function):
            raise TypeError(f"the shared part {name} is made by a function, not a coroutine")
        part = SharedPart(name, function, dict(options), sources)
        part.policy(Policy())
        _parts[name] = part
        return function

    return register


def is_any() -> bool:
    """Whether the site has shared parts."""
    return bool(_parts)


def _find(name: str) -> SharedPart | None:
    if name not in _parts:
        # Parts may be defined beside the site's views, which nothing has loaded yet.
        _ = get_resolver().url_patterns
    return _parts.get(name)


@contextmanager
def _language(language: str) -> Iterator[None]:
    if not language:
        yield
        return
    with translation.override(language):
        yield


def _language_now() -> str:
    return (translation.get_language() or "") if django_settings.USE_I18N else ""


def address_of(name: str, language: str, arguments: tuple[Any, ...]) -> str:
    """Where the edge asks for a part: the same for all pages that show it."""
    said = json.dumps([language, *arguments], separators=(",", ":")).encode()
    text = base64.urlsafe_b64encode(said).rstrip(b"=").decode()
    signed = signature("shared", f"{name}/{text}")
    return f"{get_script_prefix().rstrip('/')}{PREFIX}{name}/{text}/{signed}"


def read(path: str) -> tuple[str, str, tuple[Any, ...]] | None:
    """Name, language and arguments that an address says; None if this site has not made it."""
    if not path.startswith(PREFIX):
        return None
    name, _, rest = path[len(PREFIX) :].partition("/")
    text, _, signed = rest.partition("/")
    if not is_signed("shared", f"{name}/{text}", signed):
        return None
    language, *arguments = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return name, language, tuple(arguments)


def is_asked_for(request: HttpRequest) -> bool:
    """Whether it is the address of a part."""
    return request.method in SAFE_METHODS and read(request.path_info) is not None


def render(request: Any, name: str, arguments: tuple[Any, ...], fallback: Callable[[], Any]) -> str:
    """A part in a page: its placeholder for the edge, or the part itself."""
    part = _parts.get(name)
    if part is None or not all(type(each) in _PLAIN for each in arguments):
        odd = "arguments other than texts, numbers, True, False and None"
        problem = f"the shared part {name} has {odd}"
        return _failed(problem if part else f"there is no shared part {name}", fallback)
    language = _language_now()
    composition = _composing(request)
    if composition is not None:
        address = address_of(name, language, arguments)
        if len(address) <= MAX_ADDRESS:
            return str(composition.shared_place(address, str(fallback())))
    try:
        return part.make(language, arguments)
    except Exception:
        if django_settings.DEBUG:
            raise
        logger.exception("the shared part %s failed", name)
        return str(fallback())


def _failed(problem: str, fallback: Callable[[], Any]) -> str:
    if django_settings.DEBUG:
        raise PartError(problem)
    logger.error("%s; visitors get what stands there if it fails", problem)
    return str(fallback())


def _composing(request: Any) -> Composition | None:
    """The render for the edge in which a placeholder can stand now."""
    from .personal import is_leaf

    if not isinstance(request, HttpRequest) or is_leaf():
        return None
    page = page_of(request)
    composes = page.policy is not None and page.policy.compose and not page.recorder.closed
    return page.composition if composes else None


def in_place(body: bytes, composition: Composition) -> bytes:
    """A page that is not composed, with its shared parts in it instead of their placeholders."""
    addresses = {number: address for address, number in composition.shared.items()}
    marker = re.escape(composition.marker.encode())
    placeholders = re.compile(marker + rb"s([0-9]{2})(.*?)" + marker + rb"e\1", re.DOTALL)

    def made(found: re.Match[bytes]) -> bytes:
        known = read(addresses.get(int(found[1]), "").removeprefix(get_script_prefix().rstrip("/")))
        part = _parts.get(known[0]) if known else None
        if part is None or known is None:
            return found[2]
        try:
            return part.make(known[1], known[2]).encode()
        except Exception:
            logger.exception("the shared part %s failed", part.name)
            return found[2]

    return placeholders.sub(made, body) if addresses else body


def view(request: HttpRequest, address: str) -> HttpResponse:
    """A part at its address."""
    known = read(PREFIX + address)
    part = _find(known[0]) if known else None
    if known is None or part is None:
        raise Http404("no shared part of this site")
    settings = get_settings()
    page = page_of(request)
    page.begin(part.policy(settings.defaults), settings.auto_tags)
    try:
        with recording(page.recorder, page):
            return HttpResponse(part.make(known[1], known[2]))
    except Exception:
        if django_settings.DEBUG:
            raise
        logger.exception("the shared part %s failed", part.name)
        return HttpResponse(status=500)


# It is nobody's in particular.
view.login_required = False  # type: ignore[attr-defined]
