"""Beginnings of texts: a page that cuts a text off depends on how the text begins, and not on what
stands behind that.

A list shows the first fifteen words of each entry. The page has a tag of the first 112 characters
of that text, `blog.entry:@text<112=42`: the least of a few lengths that every writer knows and that
settle what the page shows. A save invalidates those lengths in which the text as it was and as it
is differ. `@text<0=42` is whether there is any text.

Whether a length settles something is asked of the text at hand: whatever other text begins with the
same characters must give the same. Where that is not certain, the page has the column's own tag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any
from unicodedata import combining, normalize

from django.db.models import CharField, TextField

# Whether there is any text; and the lengths, in characters.
ANY_TEXT = 0
LENGTHS = (64, 80, 96, 112, 128, 160, 192, 256, 320, 384, 512, 1024)
# A statement that changes more rows, without what they were being known, says so once.
MAX_ROWS = 100
# Of some rows, as the part of a tag behind the model's name.
OF_SOME = "@<"
# How far back it is looked for a character that nothing before it combines with.
_MAX_COMBINING = 32
# By these a field makes what is stored of what an instance holds, and the other way round.
_CONVERTING = (
    "db_parameters", "db_type", "from_db_value", "get_db_converters", "get_db_prep_save",
    "get_db_prep_value", "get_prep_value", "pre_save", "select_format", "to_python",
)  # fmt: skip

# Whether a text's first characters, so many of them, settle what a page shows of it.
Settles = Callable[[str, int], bool]


@lru_cache(maxsize=1024)
def lengths_of(field: Any) -> tuple[int, ...]:
    """The beginnings that a column is known by; none where what an instance holds may not be what
    is stored."""
    base = next((one for one in (CharField, TextField) if isinstance(field, one)), None)
    if base is None or any(
        getattr(type(field), name, None) is not getattr(base, name, None) for name in _CONVERTING
    ):
        return ()
    most = field.max_length
    return (ANY_TEXT, *(length for length in LENGTHS if most is None or length < most))


def of_beginning(attname: str, length: int) -> str:
    """The name of a beginning, in place of the column's own."""
    return f"{attname}<{length}"


def that_differ(lengths: Sequence[int], old: Any, new: Any) -> Sequence[int]:
    """Those of the lengths in which a text differs; all, where it is not known or no text."""
    if type(old) is not str or type(new) is not str:
        return lengths
    return [
        length
        for length in lengths
        if (old[:length] != new[:length] if length else bool(old) != bool(new))
    ]


def least(text: str, lengths: Iterable[int], settles: Settles) -> int | None:
    """The least length that settles what is shown of a text; None if that takes all of it."""
    for length in lengths:
        if length and length >= len(text):
            return None
        if settles(text, length):
            return length
    return None


def widest(names: Iterable[str]) -> set[str]:
    """The same columns and beginnings without those that others cover: whatever invalidates a
    beginning invalidates longer ones, and the column; "" covers all."""
    found = set(names)
    if "" in found:
        return {""}
    if not any("<" in name for name in found):
        return found
    longest: dict[str, int | None] = {}
    for name in found:
        attname, cut, length = name.partition("<")
        known = longest.get(attname, -1)
        longest[attname] = max(known, int(length)) if cut and known is not None else None
    return {
        attname if length is None else of_beginning(attname, length)
        for attname, length in longest.items()
    }


def is_there(text: str, length: int) -> bool:
    """Of whether there is any text."""
    return length == ANY_TEXT


def words(count: int) -> Settles:
    """Of the first words: the next one has begun."""
    return lambda text, length: len(text[:length].split(None, count)) > count


def slices(end: int) -> Settles:
    """Of the first characters as they stand."""
    return lambda text, length: length >= end


def characters(count: int) -> Settles:
    """Of the first characters as `truncatechars` counts them: of the composed text, without those
    that combine; and one more, which says that there are more."""

    def settles(text: str, length: int) -> bool:
        if length <= count or text[:length].isascii():
            return length > count
        for at in range(length - 1, max(length - 1 - _MAX_COMBINING, 0), -1):
            if _stands_alone(text, at):
                composed = normalize("NFC", text[:at])
                return sum(not combining(char) for char in composed) >= count
        return False

    return settles


def _stands_alone(text: str, at: int) -> bool:
    """Whether a text is composed here as its two halves are, whatever follows."""
    char = text[at]
    if char.isascii():
        return True
    if combining(char):
        return False
    before = text[:at]
    return normalize("NFC", before + char) == normalize("NFC", before) + char
