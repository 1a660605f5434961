"""What a text of SQL names, without knowing its dialect.

Whatever a statement reads, it names, or what it calls does. So every word of the text is compared
with the names of tables, views and functions: a word that only looks like one costs a refresh, and
none is missed, whatever the dialect, the quotes and the case are. Literals and comments are looked
at as well: they may be run by a function.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

READING = frozenset(
    {"select", "with", "values", "table", "explain", "declare", "fetch", "show", "pragma", "desc",
     "describe"}
)  # fmt: skip
# Of rows. Others change the schema, the session or the transaction.
WRITING = frozenset(
    {"insert", "update", "delete", "replace", "merge", "truncate", "copy", "load", "call", "do",
     "execute", "exec", "refresh"}
)  # fmt: skip
SCHEMA = frozenset({"create", "drop", "alter", "rename"})


class _Thread(threading.local):
    """How many methods are running whose statements are sent by their rows, or not at all."""

    own = 0


_thread = _Thread()


@contextmanager
def own() -> Iterator[None]:
    """Statements of Django's or of this package are sent in it: no text of theirs is read."""
    _thread.own += 1
    try:
        yield
    finally:
        _thread.own -= 1


def marked(original: Callable[..., Any]) -> Callable[..., Any]:
    """A method whose statements are Django's own. Each statement of the ORM goes by one: no more is
    done than must be."""

    def marked(*args: Any, **kwargs: Any) -> Any:
        _thread.own += 1
        try:
            return original(*args, **kwargs)
        finally:
            _thread.own -= 1

    return marked


def are_own() -> bool:
    """Whether what this thread sends is not the site's own text."""
    return _thread.own > 0


_NAME = r'((?:[\w$]+|"[^"]+"|`[^`]+`|\[[^]]+\])(?:\s*\.\s*(?:[\w$]+|"[^"]+"|`[^`]+`|\[[^]]+\]))*)'
_WORD = re.compile(r"[^\W\d][\w$]*")
# The type that PostgreSQL is to make of a value: `"path"::text`.
_CAST = re.compile(r"::\s*\w+")
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_VERB = re.compile(r"\A(?:\s|\(|;|--[^\n]*\n|/\*.*?\*/)*([a-z]+)", re.S)
_CALL = re.compile(r"([^\W\d][\w$]*)\"?\s*\(")
_SOURCE = re.compile(rf"\b(?:from|join)\s+(?:only\s+|lateral\s+)?{_NAME}(?!\s*[\w$\"`\].]*\()")
# FROM that names no table: EXTRACT(year FROM x), TRIM(BOTH FROM x), IS DISTINCT FROM x.
_NO_SOURCE = re.compile(
    r"(?:\b(?:extract|substring|trim|overlay)\s*\([^()]*(?:\([^()]*\)[^()]*)*|\bdistinct\s+)\Z"
)
_CTE = re.compile(
    r'([\w$]+|"[^"]+"|`[^`]+`)\s*(?:\([^)]*\)\s*)?\bas\s+(?:not\s+)?(?:materialized\s*)?\('
)
# UPDATE, but not that of ON CONFLICT DO UPDATE and of ON DUPLICATE KEY UPDATE.
_TARGET = re.compile(
    r"\b(?:insert\s+(?:or\s+\w+\s+|ignore\s+|low_priority\s+|delayed\s+)*into|replace\s+into"
    r"|merge\s+into|delete\s+from|(?<!\bdo\s)(?<!\bkey\s)update|truncate|copy|refresh\s+materialized\s+view"
    rf"(?:\s+concurrently)?)\s+(?:table\s+|only\s+|or\s+\w+\s+)*{_NAME}"
)
_WRITES_INSIDE = re.compile(r"\b(?:insert\s+into|delete\s+from|merge\s+into|(?<!for )update)\b")
# Of these the targets alone are written.
_PLAIN_TARGETS = frozenset({"insert", "replace", "refresh"})


_PART = r'(?:"([^"]+)"|`([^`]+)`|([\w$]+))'
_QUALIFIED = re.compile(rf"{_PART}\s*\.\s*(?:{_PART}|(\*))")
# A table where it is read from, with its alias; and the name that a result is given.
_PLACE = re.compile(
    rf"\b(?:from|join)\s+{_PART}"
    r"(?:\s+(?!(?:where|inner|left|cross|on|group|order|limit|union|for)\b)"
    r'(?:"[^"]+"|`[^`]+`|[\w$]+))?|\bas\s+(?:"[^"]+"|`[^`]+`|[\w$]+)'
)


class Statement:
    """What one text of SQL says, in lower case."""

    def __init__(self, sql: str) -> None:
        self.text = sql.casefold()

    @cached_property
    def words(self) -> frozenset[str]:
        """All of them, whatever they are."""
        return frozenset(_WORD.findall(self.text))

    @cached_property
    def columns(self) -> frozenset[tuple[str, str]]:
        """What stands before and after a point: a table or its alias, and a column."""
        return frozenset(
            (a or b or c, d or e or f or g)
            for a, b, c, d, e, f, g in _QUALIFIED.findall(self.text)
        )  # fmt: skip

    @cached_property
    def unqualified(self) -> frozenset[str]:
        """Words that are neither columns with their table nor tables where they are read from."""
        text = _CAST.sub(" ", _QUALIFIED.sub(" ", self.text))
        return frozenset(_WORD.findall(_PLACE.sub(" ", text)))

    @cached_property
    def selects(self) -> int:
        """How often SELECT stands in it."""
        return len(re.findall(r"\bselect\b", self.text))

    @cached_property
    def calls(self) -> frozenset[str]:
        """Names that are followed by a parenthesis."""
        return frozenset(_CALL.findall(self.text))

    @cached_property
    def verb(self) -> str:
        """What it begins with; of a text that is no SQL, the first word that does something."""
        found = _VERB.match(self.text)
        if found:
            return found[1]
        return next((w for w in _WORD.findall(self.text) if w in READING | WRITING), "")

    @cached_property
    def sources(self) -> frozenset[str]:
        """Names where a table must stand, as far as they are seen, but for those of WITH."""
        common = set(map(_last, _CTE.findall(self.text)))
        named = {
            _last(match[1])
            for match in _SOURCE.finditer(self.text)
            if not _NO_SOURCE.search(self.text, max(0, match.start() - 200), match.start())
        }
        return frozenset(named - common - {"select", "values", "lateral", "unnest", "set"})

    @cached_property
    def verbs(self) -> frozenset[str]:
        """What it and the statements that follow in the same text begin with."""
        if ";" not in self.text:
            return frozenset({self.verb})
        others = _LITERAL.sub("''", self.text).split(";")[1:]
        found = filter(None, map(_VERB.match, others))
        return frozenset({self.verb, *(match[1] for match in found)})

    @property
    def reads(self) -> bool:
        """Whether rows may be read by it."""
        return not self.verbs.isdisjoint(READING)

    @property
    def writes(self) -> bool:
        """Whether rows may be written by it, other than by what it calls."""
        if not self.verbs.isdisjoint(("with", "explain")) and _WRITES_INSIDE.search(self.text):
            return True
        return not self.verbs.isdisjoint(WRITING)

    def targets(self) -> frozenset[str]:
        """The tables that it writes; empty if that can't be read off it."""
        # MySQL's UPDATE and DELETE may name several tables in several places.
        several = re.search(r"\bjoin\b|,", self.text) is not None
        if len(self.verbs) > 1 or (
            self.verb not in _PLAIN_TARGETS
            and (self.verb not in ("update", "delete") or (several and " set " not in self.text))
        ):
            return frozenset()
        return frozenset(map(_last, _TARGET.findall(self.text)))

    def names(self, known: frozenset[str]) -> set[str]:
        """Which of these names stand in it."""
        words, others = _split(known)
        return {*(self.words & words), *(name for name in others if name in self.text)}


@lru_cache(maxsize=16)
def _split(names: frozenset[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Names that are words, and others."""
    words = frozenset(name for name in names if _WORD.fullmatch(name))
    return words, tuple(names - words)


@lru_cache(maxsize=1024)
def read(sql: str) -> Statement:
    """Reads a text of SQL."""
    return Statement(sql)


def _last(name: str) -> str:
    """The last part of a qualified name, without quotes."""
    part = re.split(r"\s*\.\s*", name)[-1]
    return part.strip('"`[]')


def text_of(sql: object) -> str:
    """A statement as a database driver takes it, as text; of composed ones every name shows."""
    return sql.decode(errors="replace") if isinstance(sql, bytes) else str(sql)
