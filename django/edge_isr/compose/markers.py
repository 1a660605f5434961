"""Markers and secrets that nobody else can make, and that are known again in a finished page.

A marker stands in front of every placeholder of one render. It is random, so what a visitor types
is never a placeholder, and carries a MAC, so that one of another render (kept in somebody's cache
of parts) is recognised. The secret of a render's CSRF tokens is made in the same way.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Iterator

from django.conf import settings as django_settings
from django.middleware.csrf import CSRF_SECRET_LENGTH, CSRF_TOKEN_LENGTH

LETTERS = string.ascii_letters + string.digits
# What a marker begins with, so that a page is looked through in one go.
START = "eIsR"
# 22 letters and digits have 131 bits.
RANDOM_LETTERS, MAC_LETTERS = 22, 17
MARKER_LENGTH = len(START) + RANDOM_LETTERS + MAC_LETTERS
_ANY_MARKER = re.compile(f"(?=({START}[A-Za-z0-9]{{{RANDOM_LETTERS + MAC_LETTERS}}}))".encode())
_PLACE_LENGTH = 3
_SALT = "edge_isr.compose"


def _keys() -> list[str]:
    return [django_settings.SECRET_KEY, *getattr(django_settings, "SECRET_KEY_FALLBACKS", ())]


def _mac(key: str, purpose: str, text: str, letters: int) -> str:
    derived = hashlib.sha256(f"{_SALT}.{purpose}\0{key}".encode()).digest()
    number = int.from_bytes(hmac.digest(derived, text.encode(), hashlib.sha256), "big")
    made = []
    for _ in range(letters):
        number, at = divmod(number, len(LETTERS))
        made.append(LETTERS[at])
    return "".join(made)


def _random(letters: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(letters))


def _is_ours(text: str, purpose: str, random: int) -> bool:
    own = False
    for key in _keys():
        mac = _mac(key, purpose, text[:random], len(text) - random)
        own |= hmac.compare_digest(mac, text[random:])
    return own


def new_marker() -> str:
    """A marker for one render."""
    random = _random(RANDOM_LETTERS)
    return START + random + _mac(_keys()[0], "marker", random, MAC_LETTERS)


def genuine_markers(body: bytes) -> Iterator[tuple[int, str]]:
    """The markers of this site's in a page, whichever render they are of, and where they stand."""
    for found in _ANY_MARKER.finditer(body):
        text = found[1].decode()
        if _is_ours(text[len(START) :], "marker", RANDOM_LETTERS):
            yield found.start(), text


def without_places(body: bytes) -> bytes:
    """A page without placeholders: what stood in them for those without parts stays."""
    found = list(genuine_markers(body)) if START.encode() in body else []
    parts, end = [], 0
    for start, _ in found:
        parts.append(body[end:start])
        end = start + MARKER_LENGTH + _PLACE_LENGTH
    return b"".join([*parts, body[end:]]) if found else body


def signature(purpose: str, text: str) -> str:
    """What only this site can put to a text: letters and digits."""
    return _mac(_keys()[0], purpose, text, RANDOM_LETTERS)


def is_signed(purpose: str, text: str, signed: str) -> bool:
    """Whether this site has signed it, with its key or one of before."""
    own = False
    for key in _keys():
        own |= hmac.compare_digest(
            _mac(key, purpose, text, RANDOM_LETTERS).encode(), signed.encode()
        )
    return own


def new_secret() -> str:
    """A secret for the CSRF tokens of one render."""
    half = CSRF_SECRET_LENGTH // 2
    random = _random(half)
    return random + _mac(_keys()[0], "secret", random, CSRF_SECRET_LENGTH - half)


def secret_of(token: str) -> str:
    """The secret that a token hides."""
    pairs = zip(token[:CSRF_SECRET_LENGTH], token[CSRF_SECRET_LENGTH:], strict=True)
    return "".join(LETTERS[LETTERS.index(b) - LETTERS.index(a)] for a, b in pairs)


def is_token_of_a_render(token: str) -> bool:
    """Whether it is a token that some render of a shell has made."""
    if len(token) != CSRF_TOKEN_LENGTH:
        return False
    return _is_ours(secret_of(token), "secret", CSRF_SECRET_LENGTH // 2)
