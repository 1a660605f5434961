"""The request and response fields of composed pages, as structured fields (RFC 9651).

Written is a dictionary of what a shell consists of; read is the edge's request for personal parts.
Both use few of the types, and anything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ASKS = "X-Edge-ISR-Compose"
ASKS_META = "HTTP_X_EDGE_ISR_COMPOSE"
PERSONAL_META = "HTTP_X_EDGE_ISR_PERSONAL"
VERSION = "v=1"
MAX_BYTES = 16_384

# What a member's value can be: a string, a boolean, an integer, a token, a list of strings.
Value = str | bool | int | tuple[str, ...]


class Name(str):
    """A token of RFC 9651: a word without quotes."""


def dictionary(members: Mapping[str, Value | None]) -> str:
    """The field's value; members that are None are left out. ValueError for what has no form."""
    return ", ".join(
        key if value is True else f"{key}={_item(value)}"
        for key, value in members.items()
        if value is not None
    )


def _item(value: Value) -> str:
    if isinstance(value, bool):
        return f"?{int(value)}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return "(" + " ".join(map(_item, value)) + ")"
    if isinstance(value, Name):
        return str(value)
    if not value.isascii() or not value.isprintable():
        raise ValueError("a string of a field is printable ASCII")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_KEY = r"[a-z*][a-z0-9_.*-]*"
_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_MEMBER = re.compile(rf"({_KEY})(?:=({_STRING}|\?[01]|-?[0-9]{{1,15}}))?")


def parse(text: str) -> dict[str, str | bool | int] | None:
    """The members of a dictionary of strings, booleans and integers; None if it is none."""
    members: dict[str, str | bool | int] = {}
    at = 0
    while True:
        found = _MEMBER.match(text, at)
        if found is None:
            return None
        key, value = found.groups()
        if key in members:
            return None
        members[key] = _parsed(value)
        at = found.end()
        if at == len(text):
            return members
        comma = _COMMA.match(text, at)
        if comma is None:
            return None
        at = comma.end()


def _parsed(value: str | None) -> str | bool | int:
    if value is None:
        return True
    if value[0] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value == "?1" if value[0] == "?" else int(value)


@dataclass(frozen=True)
class Asked:
    """What the edge says when it asks for personal parts."""

    id: str
    page: str
    lang: str = ""
    nonce: str = ""
    late: bool = False


_FORMS = {
    "id": re.compile(r"[A-Za-z0-9_-]{22,64}"),
    # A path of this host, and its query.
    "page": re.compile(r"/(?!/)[!-~]{0,8191}"),
    "lang": re.compile(r"[A-Za-z0-9-]{0,35}"),
    "nonce": re.compile(r"([A-Za-z0-9+/_=-]{16,86})?"),
}


def asked(text: str) -> Asked | None:
    """The request for personal parts; None if it is not one that the edge would make."""
    members = parse(text)
    if members is None or not {"id", "page"} <= set(members) <= {*_FORMS, "late"}:
        return None
    late = members.pop("late", False)
    if not isinstance(late, bool):
        return None
    texts = {key: value for key, value in members.items() if isinstance(value, str)}
    if len(texts) < len(members) or not all(
        _FORMS[key].fullmatch(value) for key, value in texts.items()
    ):
        return None
    return Asked(**texts, late=late)


def attributes(morsel: Mapping[str, object]) -> str:
    """A cookie's attributes as they stand in `Set-Cookie`, but for the date: the time says it."""
    named: Iterable[tuple[str, str]] = (
        ("Domain", "domain"),
        ("HttpOnly", "httponly"),
        ("Max-Age", "max-age"),
        ("Path", "path"),
        ("SameSite", "samesite"),
        ("Secure", "secure"),
    )
    found = []
    for name, key in named:
        value = morsel[key]
        if value is True:
            found.append(name)
        elif value != "" and value is not None and value is not False:
            found.append(f"{name}={value}")
    return "; ".join(found)
