"""Why a page was not composed, and what to do about it."""

from __future__ import annotations

from enum import Enum


class Problem(str, Enum):
    """The value is what DEBUG shows in `X-Edge-ISR-Reason`, and what the log says."""

    EARLY = "answered-before-the-view"
    NOT_HTML = "not-html"
    CODED = "content-coding"
    SESSION_TOKENS = "csrf-in-session"
    ROTATED = "csrf-rotated"
    NO_COOKIE = "csrf-without-cookie"
    SCOPE = "csrf-cookie-elsewhere"
    TOKEN_LOST = "token-lost"
    TOKEN_CUT = "token-cut"
    TOKEN_IN_FIELD = "token-in-field"
    TOKEN_OF_OTHERS = "token-of-others"
    NONCE_IN_FIELD = "nonce-in-field"
    OLD_MARKER = "old-marker"
    NOT_IN_HTML = "part-not-in-html"
    NESTED = "parts-nested"
    DAMAGED = "placeholder-damaged"
    LANGUAGES = "several-languages"
    HASHED_SCRIPT = "token-in-hashed-script"
    TOO_MANY = "too-many-placeholders"
    TOO_LONG = "field-too-long"


ADVICE = {
    Problem.EARLY: "a middleware has answered, not its view",
    Problem.NOT_HTML: "it is not text/html, it streams, or its charset is not UTF-8",
    Problem.CODED: "something compresses it, though asked not to",
    Problem.SESSION_TOKENS: "its CSRF token is in the session (CSRF_USE_SESSIONS): the edge can't "
    "make one",
    Problem.ROTATED: "its view gives the visitor another CSRF secret (rotate_token)",
    Problem.NO_COOKIE: "it has a CSRF token, and nothing sets its cookie (CsrfViewMiddleware)",
    Problem.SCOPE: "its CSRF cookie is for another path or host (CSRF_COOKIE_PATH, "
    "CSRF_COOKIE_DOMAIN)",
    Problem.TOKEN_LOST: "a CSRF token was made and is not in the page as it is: encoded, "
    "compressed, or not printed (for the cookie alone: csrf_cookie=True)",
    Problem.TOKEN_CUT: "a part of a CSRF token stands in the page, or the token in Base64",
    Problem.TOKEN_IN_FIELD: "a CSRF token, or its secret, stands in a response field",
    Problem.TOKEN_OF_OTHERS: "a CSRF token is in the page that this request did not make: it is "
    "kept in a cache of the site ({% cache %}, cache_page)",
    Problem.NONCE_IN_FIELD: "its CSP nonce stands in another field than those of CSP",
    Problem.OLD_MARKER: "a placeholder of an earlier page is kept in a cache of the site",
    Problem.NOT_IN_HTML: "a personal part stands in an attribute, a script, a style, a title or a "
    "comment",
    Problem.NESTED: "a part stands in another part",
    Problem.DAMAGED: "something has changed a placeholder (a filter, a minifier)",
    Problem.LANGUAGES: "its personal parts are in several languages",
    Problem.HASHED_SCRIPT: "a script with a CSRF token can't be allowed by its hash",
    Problem.TOO_MANY: "it has more than 32 parts, or more than 100 CSRF tokens",
    Problem.TOO_LONG: "what it says of itself is longer than 16 KiB, or not ASCII",
}


class NotComposedError(Exception):
    """The page is served as it is, to this request alone."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.value)
        self.problem = problem
