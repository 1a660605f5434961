"""Whether every CSRF token in a finished page is a placeholder, and no other one is in it.

A token of this site's shells is known by its secret wherever it stands. Any other is a text of its
form, near a word that says what it is, in an attribute or a script: what people write is neither.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator

from django.middleware.csrf import CSRF_TOKEN_LENGTH

from .html import outside_of_html
from .markers import is_token_of_a_render
from .problems import NotComposedError, Problem

MAX_TOKENS = 100
# Of a token that was cut into pieces of 15 letters or more, one of these is whole.
_PIECE = 8
# How far a token stands from the word that names it, at most.
_NEAR = 240
_NAMED = re.compile(rb"(?i)csrf")
_WORD = re.compile(rb"(?<![A-Za-z0-9])[A-Za-z0-9]{32}(?:[A-Za-z0-9]{32})?(?![A-Za-z0-9])")
_LETTERS = re.compile(rb"[A-Za-z0-9]*")
_HEX = re.compile(rb"[0-9a-f]+|[0-9A-F]+")


def place_tokens(body: bytes, tokens: Iterable[str], secret: str, marker: str) -> bytes:
    """The page with a placeholder for each token. NotComposedError if that isn't all of it."""
    known = [token.encode() for token in tokens]
    if len(known) > MAX_TOKENS:
        raise NotComposedError(Problem.TOO_MANY)
    for number, token in enumerate(known):
        if token not in body:
            raise NotComposedError(Problem.TOKEN_LOST)
        body = body.replace(token, f"{marker}t{number:02}".encode())
    rest = body.replace(marker.encode(), b"")
    pieces = (piece for text in [*known, secret.encode()] for piece in _pieces(text))
    if any(piece in rest for piece in pieces):
        raise NotComposedError(Problem.TOKEN_CUT)
    if any(_of_others(body, marker)):
        raise NotComposedError(Problem.TOKEN_OF_OTHERS)
    return body


def _pieces(text: bytes) -> Iterator[bytes]:
    yield from (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    for skipped in range(3):
        # In Base64 a text has one of three forms; their ends depend on what stands around.
        coded = base64.b64encode(b"\0" * skipped + text).rstrip(b"=")
        yield coded[4:20]
    yield text[:_PIECE].hex().encode()


def _of_others(body: bytes, marker: str) -> Iterator[bytes]:
    """Texts that are tokens of this site's, or are named like one."""
    body = re.sub(re.escape(marker.encode()) + rb"[tnpse][0-9]{2}", b" ", body)
    for found in _WORD.finditer(body):
        word = found[0].decode()
        if len(word) == CSRF_TOKEN_LENGTH and is_token_of_a_render(word):
            yield found[0]
    found_near = [
        found.start()
        for start, end in _named_parts(body)
        # A pattern looks at what stands before its start, and not beyond its end: see below.
        for found in _WORD.finditer(body, start, end)
        if not _HEX.fullmatch(found[0])
    ]
    if found_near:
        yield from (body[at : at + CSRF_TOKEN_LENGTH] for at in outside_of_html(body, found_near))


def _named_parts(body: bytes) -> Iterator[tuple[int, int]]:
    """Where tokens are named, with what stands around; each byte once, and no word in two."""
    start = end = 0
    for named in _NAMED.finditer(body):
        if named.start() - _NEAR > end:
            if end:
                yield start, end
            start = max(0, named.start() - _NEAR)
        end = named.end() + _NEAR
        rest = _LETTERS.match(body, end)
        end = rest.end() if rest else end
    if end:
        yield start, end
