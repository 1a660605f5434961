"""One render for the edge: its marker, the tokens and the nonce that it makes, what it reads.

Its CSRF secret is known to this render alone, so every token in the page is one that was made here,
or somebody else's. Each is counted when it is masked, and each place of a template that prints one
gets a mask of its own: a token that is not in the finished page was hidden, cut or moved.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.conf import settings as django_settings
from django.http import HttpRequest
from django.middleware import csrf
from django.template import context_processors
from django.utils.functional import LazyObject
from django.utils.translation import get_language
from django.views.decorators import csrf as csrf_decorators

from ..context import explaining, page_of
from ..patching import replace_method
from .markers import LETTERS, new_marker, new_secret
from .watch import Watch, is_unasked

NONCE_LETTERS = 32

# The renders that are at work, by their secrets: whoever masks one of these makes a placeholder.
_renders: dict[str, Composition] = {}


class Composition:
    """What is known of a render for the edge."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.marker = new_marker()
        self.secret = new_secret()
        self.watch = Watch(django_settings.DEBUG or explaining.get())
        # Tokens in the order in which they were made, each with its number.
        self.tokens: dict[str, int] = {}
        # Whether somebody asked for the cookie, and prints no token.
        self.needs_cookie = False
        self._unprinted = 0
        # Names of personal parts, and addresses of shared ones, with their numbers.
        self.personal: dict[str, int] = {}
        self.shared: dict[str, int] = {}
        self.languages: set[str | None] = set()
        # Whether the middlewares have let the request through to its view.
        self.began = False
        self.kept_out = False
        self.watch.arrive(request)
        _renders[self.secret] = self
        request.META["CSRF_COOKIE"] = self.secret

    def view_found(self) -> None:
        """The view is about to begin."""
        self.began = True
        self.watch.begin(self.request)
        _give_nonce(self.request, _new_nonce)

    def masked(self, token: str) -> None:
        """A token was made of the render's secret."""
        if self._unprinted:
            self.needs_cookie = True
        else:
            self.tokens.setdefault(token, len(self.tokens))
        self.keep_out()

    def keep_out(self) -> None:
        """The page is of no use to Django's own page cache: its placeholders are this render's."""
        self.kept_out = True
        self.request._cache_update_cache = False

    @contextmanager
    def unprinted(self) -> Iterator[None]:
        """Tokens that are made meanwhile are for the cookie alone."""
        self._unprinted += 1
        try:
            yield
        finally:
            self._unprinted -= 1

    def placeholder(self, name: str, fallback: str) -> str:
        """A personal part's placeholder, with what stands there for visitors without one."""
        number = self.personal.setdefault(name, len(self.personal))
        self.languages.add(get_language())
        self.keep_out()
        return f"{self.marker}p{number:02}{fallback}{self.marker}e{number:02}"

    def shared_place(self, address: str, fallback: str) -> str:
        """A shared part's placeholder, with what stands there if it fails."""
        number = self.shared.setdefault(address, len(self.shared))
        self.keep_out()
        return f"{self.marker}s{number:02}{fallback}{self.marker}e{number:02}"

    @property
    def nonce(self) -> str:
        """The page's nonce, if one was made."""
        return nonce_of(self.request)

    @property
    def from_cache(self) -> bool:
        """Whether the page came out of Django's page cache: nobody has seen what it reads."""
        return not self.kept_out and getattr(self.request, "_cache_update_cache", None) is False

    def close(self) -> None:
        """The render is over."""
        _renders.pop(self.secret, None)


def composition_of(request: Any) -> Composition | None:
    """The render for the edge that a request is, if it is one."""
    found = page_of(request).composition if isinstance(request, HttpRequest) else None
    return found if isinstance(found, Composition) else None


def _new_nonce() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(NONCE_LETTERS))


def nonce_of(request: HttpRequest) -> str:
    """The nonce of a request, by Django's middleware or django-csp's, if somebody has asked."""
    nonce = vars(request).get("_csp_nonce")
    if issubclass(type(nonce), LazyObject):
        nonce = None if is_unasked(nonce) else nonce._wrapped
    return nonce if isinstance(nonce, str) else ""


def _give_nonce(request: HttpRequest, make: Any) -> None:
    """If somebody asks for a nonce, it is one of these: letters and digits stay what they are."""
    lazy = vars(request).get("_csp_nonce")
    if is_unasked(lazy):
        lazy.__dict__["_setupfunc"] = make
    lazy = vars(request).get("csp_nonce")
    if is_unasked(lazy):
        lazy.__dict__["_setupfunc"] = partial(_remembered, request, make)


def _remembered(request: HttpRequest, make: Any) -> str:
    request._csp_nonce = str(make())
    return str(request._csp_nonce)


def set_nonce(request: HttpRequest, nonce: str) -> None:
    """The nonce that the page has in which this is a part."""
    _give_nonce(request, lambda: nonce)


def ensure_csrf_cookie(request: HttpRequest) -> None:
    """The answer sets the CSRF cookie, though no token need be in it."""
    composition = composition_of(request)
    if composition is None:
        csrf.get_token(request)
        return
    with composition.unprinted():
        csrf.get_token(request)


class PrintedToken:
    """`csrf_token` in a template: a token with a mask of its own wherever it is printed."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __str__(self) -> str:
        return csrf.get_token(self._request)

    # As the lazy object in whose place it stands: a text.
    __class__ = property(lambda self: str)

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        # Whether none was provided is all that is ever asked.
        return self is other

    __hash__ = object.__hash__

    def __len__(self) -> int:
        return int(csrf.CSRF_TOKEN_LENGTH)

    def __add__(self, other: str) -> str:
        return str(self) + other

    def __radd__(self, other: str) -> str:
        return other + str(self)

    def __getitem__(self, key: Any) -> str:
        return str(self)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(str(self))

    def __getattr__(self, name: str) -> Any:
        # Whoever only asks whether there is such a thing prints nothing.
        if name.startswith("__") or not hasattr(str, name):
            raise AttributeError(name)
        return getattr(str(self), name)


def _count(original: Any) -> Any:
    def _mask_cipher_secret(secret: str) -> str:
        token: str = original(secret)
        render = _renders.get(secret)
        if render is not None:
            render.masked(token)
        return token

    return _mask_cipher_secret


def _print_each(original: Any) -> Any:
    def context_processor(request: HttpRequest) -> dict[str, Any]:
        if composition_of(request) is None:
            return dict(original(request))
        return {"csrf_token": PrintedToken(request)}

    return context_processor


def _for_the_cookie(original: Any) -> Any:
    def get_token(request: HttpRequest) -> str:
        composition = composition_of(request)
        if composition is None:
            return str(original(request))
        with composition.unprinted():
            return str(original(request))

    return get_token


def install() -> None:
    """Puts the hooks in place; again has no effect."""
    replace_method(csrf, "_mask_cipher_secret", _count)
    replace_method(context_processors, "csrf", _print_each)
    # The one of `ensure_csrf_cookie`.
    replace_method(csrf_decorators, "get_token", _for_the_cookie)
