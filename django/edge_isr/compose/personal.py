"""Personal parts: who makes them, how a template names one, where the edge asks for them.

The same function makes a part in every case: in the page itself for visitors who ask the site, and
in `/_edge_isr/personal` for the edge. Visitors without any personal cookie get the fallback from
both. A part is a leaf: it has no parts of its own.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from asgiref.sync import iscoroutinefunction
from django.conf import settings as django_settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.templatetags.cache import CacheNode
from django.urls import Resolver404, get_script_prefix, resolve, set_urlconf
from django.utils import translation
from django.utils.html import conditional_escape

from ..conf import Settings, get_settings
from ..context import page_now, page_of, recording
from ..patching import replace_method
from ..policy import SAFE_METHODS
from . import field
from .composition import set_nonce
from .edge import knows_secret
from .late import LateError, hold_back

logger = logging.getLogger("edge_isr")

PATH = "/_edge_isr/personal"
URLCONF = "edge_isr.compose.urls"
MAX_BYTES = 262_144
MAX_PARTS = 32

Part = Callable[[HttpRequest], Any]
F = TypeVar("F", bound=Part)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_parts: dict[str, Part] = {}
# Whether what is being rendered is kept for others, and the part that is being made.
keeping: ContextVar[bool] = ContextVar("edge_isr_keeping", default=False)
_making: ContextVar[str] = ContextVar("edge_isr_making", default="")


@contextmanager
def kept_for_others() -> Iterator[None]:
    """What is rendered meanwhile is kept, and shown to every visitor."""
    token = keeping.set(True)
    try:
        yield
    finally:
        keeping.reset(token)


def _keeping(original: Any) -> Any:
    def render(self: CacheNode, context: Any) -> Any:
        with kept_for_others():
            return original(self, context)

    return render


def install() -> None:
    """Puts the hook in place; again has no effect."""
    replace_method(CacheNode, "render", _keeping)


class PartError(Exception):
    """What a site has to change in a template."""


def personal(name: str) -> Callable[[F], F]:
    """`@edge_isr.personal("user_menu")`: a function of the request that returns a part's HTML.

    Text that is not marked as safe is escaped, as in templates. None stands for the fallback.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TypeError(f"personal() takes a name of letters, digits, _ . and -, got {name!r}")

    def register(function: F) -> F:
        if not callable(function) or iscoroutinefunction(function):
            raise TypeError(f"the personal part {name} is made by a function, not a coroutine")
        _parts[name] = function
        return function

    return register


def ready_made(name: str) -> Callable[[F], F]:
    """A part of the package's own; the site's of that name comes before it."""

    def register(function: F) -> F:
        _parts.setdefault(name, function)
        return function

    return register


def _is_somebody(request: HttpRequest, settings: Settings) -> bool:
    """Whether anything says who the visitor is: a cookie, or what this very request has done."""
    if request.method not in SAFE_METHODS or any(
        name in request.COOKIES for name in settings.personal_cookies
    ):
        return True
    session, messages = getattr(request, "session", None), getattr(request, "_messages", None)
    return bool(getattr(session, "modified", False) or getattr(messages, "added_new", False))


def render(request: Any, name: str, fallback: Callable[[], Any]) -> str:
    """A part in a page: its placeholder for the edge, or the part itself."""
    problem = _problem(request, name)
    if problem is not None:
        if django_settings.DEBUG:
            raise PartError(problem)
        logger.error("%s; visitors get what stands there for others", problem)
        return str(fallback())
    page = page_of(request)
    if page.composition is not None and page.policy is not None and page.policy.compose:
        return str(page.composition.placeholder(name, str(fallback())))
    if not _is_somebody(request, get_settings()):
        return str(fallback())
    page.has_personal_parts = True
    # Django's page cache would keep it for others.
    request._cache_update_cache = False
    part = make(request, name)
    return str(fallback()) if part is None else part


def is_leaf() -> bool:
    """Whether what is rendered now has no room for parts: a part, or what is kept for all."""
    return bool(_making.get()) or keeping.get()


def _problem(request: Any, name: str) -> str | None:
    if not isinstance(request, HttpRequest):
        return f"the template with the personal part {name} was rendered without its request"
    if page_of(request).recorder.closed:
        return f"the personal part {name} stands in what is streamed when the head is gone"
    if _making.get():
        return f"the personal part {_making.get()} has the personal part {name} in it"
    if keeping.get():
        return f"the personal part {name} stands in what a cache keeps for all visitors"
    if name not in _parts:
        return f"there is no personal part {name}: see @edge_isr.personal"
    return None


def make(request: HttpRequest, name: str) -> str | None:
    """A part; None if there is none for this visitor, or if it failed. Then its messages are still
    there for the next page."""
    messages = getattr(request, "_messages", None)
    used = getattr(messages, "used", False)
    token = _making.set(name)
    try:
        with recording(None, page_now.get()):
            made = _parts[name](request)
            return None if made is None else str(conditional_escape(_text(made)))
    except Exception as error:
        if messages is not None:
            messages.used = used
        if django_settings.DEBUG and not isinstance(error, LateError):
            raise
        logger.exception("the personal part %s failed", name)
        return None
    finally:
        _making.reset(token)


def _text(made: Any) -> Any:
    if isinstance(made, HttpResponseBase):
        raise TypeError("a personal part returns text (render_to_string), not a response")
    return made


def is_asked_for(request: HttpRequest, settings: Settings) -> bool:
    """Whether the edge asks for parts here: nobody else learns that there are any."""
    return (
        request.path_info == PATH
        and request.method == "GET"
        and field.PERSONAL_META in request.META
        and knows_secret(request, settings)
    )


def forget_urlconf(request: HttpRequest) -> None:
    """The view is found: whoever looks for an address from now on looks among the site's."""
    if getattr(request, "urlconf", None) == URLCONF:
        del request.urlconf
        set_urlconf(None)


def view(request: HttpRequest) -> HttpResponse:
    """The parts of one page for one visitor, as JSON."""
    asked = field.asked(request.META.get(field.PERSONAL_META, ""))
    names = request.GET.getlist("n")
    if asked is None or len(names) > MAX_PARTS or not is_asked_for(request, get_settings()):
        raise Http404("not a request of the edge's")
    set_urlconf(None)
    page_of(request).is_personal_answer = True
    if asked.nonce:
        set_nonce(request, asked.nonce)
    with (
        _stand_in(request, asked.page),
        _language(request, asked.lang),
        hold_back(request, asked.late),
    ):
        parts = _made(request, names)
    answer = HttpResponse(
        json.dumps({"id": asked.id, "parts": parts}), content_type="application/json"
    )
    answer["Cache-Control"] = "private, no-store"
    return answer


# It refuses nobody: who is not logged in gets the parts that are for everyone.
view.login_required = False  # type: ignore[attr-defined]


def _made(request: HttpRequest, names: list[str]) -> dict[str, str]:
    parts: dict[str, str] = {}
    left = MAX_BYTES - 256
    for name in dict.fromkeys(names):
        if name not in _parts:
            logger.warning("the edge asks for a personal part that there is no more: %.64s", name)
            continue
        part = make(request, name)
        if part is None:
            continue
        left -= len(json.dumps({name: part}))
        if left < 0:
            logger.error("the personal part %s makes the answer too large", name)
            break
        parts[name] = part
    return parts


_OF_PAGE = ("path", "path_info", "GET", "resolver_match", "META")


@contextmanager
def _stand_in(request: HttpRequest, page: str) -> Iterator[None]:
    """While it lasts, it is the visitor's request for the page in which the parts stand; the
    middlewares see on the way back what they saw before."""
    before = {name: getattr(request, name) for name in _OF_PAGE}
    request.META = dict(request.META)
    try:
        _become(request, page)
        yield
    finally:
        for name in ("CSRF_COOKIE", "CSRF_COOKIE_NEEDS_UPDATE"):
            if name in request.META:
                before["META"][name] = request.META[name]
        vars(request).update(before)


def _become(request: HttpRequest, page: str) -> None:
    address = urlsplit(page)
    request.path = unquote(address.path)
    request.path_info = "/" + request.path.removeprefix(get_script_prefix()).lstrip("/")
    request.META["PATH_INFO"] = request.path_info
    request.META["QUERY_STRING"] = address.query
    request.GET = QueryDict(address.query, encoding=request.encoding)
    try:
        # It also loads the site's views, and with them the parts that they define.
        request.resolver_match = resolve(request.path_info)
    except Resolver404:
        request.resolver_match = None


@contextmanager
def _language(request: HttpRequest, lang: str) -> Iterator[None]:
    if not lang or not django_settings.USE_I18N or not translation.check_for_language(lang):
        yield
        return
    with translation.override(lang):
        request.LANGUAGE_CODE = translation.get_language()
        yield
