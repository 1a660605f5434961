"""Where in a page HTML stands, and where the text of scripts and styles, as browsers read it.

A tokenizer of the HTML standard (13.2.5), on bytes of any encoding that has ASCII in it. What can't
be known without the tree (CDATA sections, scripts and styles with markup in drawings) ends the part
that is known: nothing after it counts as HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

# Elements whose content is text to the tokenizer. `noscript` is one where scripts run.
SCRIPTS = frozenset({b"script", b"style"})
_TEXT = SCRIPTS | {
    b"iframe", b"noembed", b"noframes", b"noscript", b"textarea", b"title", b"xmp",
}  # fmt: skip
_DRAWINGS = frozenset({b"svg", b"math"})

_NAME = re.compile(rb"[^\t\n\f\r />]+")
# What nearly all tags look like; the others are read step by step.
_SIMPLE = re.compile(
    rb"([A-Za-z][^\t\n\f\r />\"'=<]*)"
    rb"(?:[\t\n\f\r ]+[^\t\n\f\r />\"'=<]+(?:=\"[^\"]*\"|='[^']*'|=[^\t\n\f\r >\"'=<`/]+)?)*"
    rb"[\t\n\f\r ]*>"
)
_BEFORE_ATTRIBUTE = re.compile(rb"[\t\n\f\r /]*")
_ATTRIBUTE = re.compile(rb"=?[^\t\n\f\r />=]*[\t\n\f\r ]*")
_SPACES = re.compile(rb"[\t\n\f\r ]*")
_UNQUOTED = re.compile(rb"[^\t\n\f\r >]*")
_COMMENT_END = re.compile(rb"--!?>")
_IN_SCRIPT = re.compile(rb"(?i)<!--|-->|</?script(?=[\t\n\f\r />])")


class Span(NamedTuple):
    """A part of a page that is HTML (no name), or the text of a script or a style."""

    start: int
    end: int
    name: bytes = b""


def spans(page: bytes) -> Iterator[Span]:
    """The parts of a page in which text stands that is neither markup nor another element's."""
    at, drawings = 0, 0
    start = 0
    while (at := page.find(b"<", at)) >= 0:
        following = page[at + 1 : at + 2]
        if following.isalpha() and following.isascii():
            yield Span(start, at)
            name, end, closed = _tag(page, at + 1)
            at = end
            drawings += name in _DRAWINGS and not closed
            if name == b"plaintext":
                return
            if name in _TEXT:
                end = _text_end(page, at, name)
                if drawings and (closed or b"<" in page[at:end]):
                    return
                if name in SCRIPTS:
                    yield Span(at, end, name)
                at = end
        elif following in (b"/", b"!", b"?"):
            if page[at + 2 : at + 3].isalpha() and following == b"/":
                yield Span(start, at)
                name, at, _ = _tag(page, at + 2)
                drawings -= name in _DRAWINGS and drawings > 0
            else:
                yield Span(start, at)
                if page.startswith(b"<![CDATA[", at):
                    return
                at = _comment_end(page, at)
        else:
            at += 1
            continue
        start = at
    if start <= len(page):
        yield Span(start, len(page))


def _tag(page: bytes, at: int) -> tuple[bytes, int, bool]:
    """The name of a tag, where it ends, and whether it closes itself."""
    simple = _SIMPLE.match(page, at)
    if simple is not None:
        return simple[1].lower(), simple.end(), False
    found = _NAME.match(page, at)
    if found is None:
        return b"", len(page) + 1, False
    name, at = found[0].lower(), found.end()
    while True:
        before = _BEFORE_ATTRIBUTE.match(page, at)
        at = before.end() if before else at
        if at >= len(page):
            return name, len(page) + 1, False
        if page[at : at + 1] == b">":
            return name, at + 1, before is not None and before[0].endswith(b"/")
        at = _attribute_end(page, at)


def _attribute_end(page: bytes, at: int) -> int:
    found = _ATTRIBUTE.match(page, at)
    at = found.end() if found else at
    if page[at : at + 1] != b"=":
        return at
    spaces = _SPACES.match(page, at + 1)
    at = spaces.end() if spaces else at + 1
    quote = page[at : at + 1]
    if quote in (b'"', b"'"):
        end = page.find(quote, at + 1)
        return end + 1 if end >= 0 else len(page) + 1
    value = _UNQUOTED.match(page, at)
    return value.end() if value else at


def _comment_end(page: bytes, at: int) -> int:
    """Where a comment, a doctype, or what is taken for a comment ends."""
    if not page.startswith(b"<!--", at):
        end = page.find(b">", at + 2)
        return end + 1 if end >= 0 else len(page) + 1
    for whole in (b"<!-->", b"<!--->"):
        if page.startswith(whole, at):
            return at + len(whole)
    found = _COMMENT_END.search(page, at + 4)
    return found.end() if found else len(page) + 1


def _text_end(page: bytes, at: int, name: bytes) -> int:
    """Where the end tag begins that ends an element with text."""
    if name == b"script":
        return _script_end(page, at)
    found = re.compile(rb"(?i)</" + name + rb"(?=[\t\n\f\r />])").search(page, at)
    return found.start() if found else len(page) + 1


def _script_end(page: bytes, at: int) -> int:
    # In a comment a script may hold another's tags, which end it only after the comment.
    escaped = doubly = False
    while (found := _IN_SCRIPT.search(page, at)) is not None:
        word = found[0].lower()
        # The dashes that open a comment may close it: <!-->
        at = found.start() + 2 if word == b"<!--" else found.end()
        if word == b"</script" and not doubly:
            return found.start()
        if word == b"<!--":
            escaped = True
        elif word == b"-->":
            escaped = doubly = False
        elif word == b"<script":
            doubly = escaped
        else:
            doubly = False
    return len(page) + 1


def outside_of_html(page: bytes, offsets: Iterable[int]) -> list[int]:
    """Which of these offsets, given in order, do not stand where HTML does."""
    return _not_within(page, offsets, b"")


def _not_within(page: bytes, offsets: Iterable[int], name: bytes) -> list[int]:
    known = [span for span in spans(page) if span.name == name]
    outside, at = [], 0
    for offset in offsets:
        while at < len(known) and known[at].end < offset:
            at += 1
        if at == len(known) or not known[at].start <= offset <= known[at].end:
            outside.append(offset)
    return outside


def within_scripts(page: bytes, offsets: Iterable[int]) -> bool:
    """Whether one of these offsets stands in the text of a script or a style."""
    texts = [span for span in spans(page) if span.name]
    return any(span.start <= offset < span.end for span in texts for offset in offsets)
