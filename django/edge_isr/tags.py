"""Tags: the names of the data that a page depends on.

A tag is 1 to 1,024 bytes of printable ASCII without space and comma (the worker's rule). Every
text has one form as a tag, by percent-encoding, so both sides of an invalidation agree. What is
too long, or too much for one page, becomes a coarser tag: `post:42` is merged into `post:*`, and
`blog.post:42` (an instance) into `blog.post` (its model). Whoever invalidates the finer tag
invalidates the coarser one with it, so such a page is refreshed too often and never too rarely.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from django.apps import apps
from django.conf import settings as django_settings
from django.db.models import Model

from .beginnings import OF_SOME, widest

logger = logging.getLogger("edge_isr")

MAX_TAG_BYTES = 1024
PATH = "path:"
# Of a table that no model has.
TABLE = "table:"
# Of pages that have a result of a query in place of the tags that may change it.
RESULT = "edge_isr.result"
# Of pages that depend on what can't be named: every invalidation of rows names it.
ANYTHING = "edge_isr.anything"
# More rows of a model, or more values of its fields, that change at once are sent as every row.
MAX_NAMED_ROWS = 1000
MAX_NAMED_PARTS = 4000

_PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != ",")
# quote() keeps letters, digits and these; a literal % stays, so that encoding twice is the same.
_SAFE = "".join(c for c in _PRINTABLE if not c.isalnum())
_BEGINNING = re.compile(r"[^:]+:@\w+<[0-9]+=")
_VALID = re.compile(r"[!-+\--~]{1,1024}")


class TagError(ValueError):
    """A text that can't be a tag, or more tags than a page may have. Raised with DEBUG only."""


def tag(namespace: str | Model | type[Model], ident: object = None) -> str:
    """The name of a piece of data.

    `tag("post", 42)` is `post:42`; `tag(post)` is the instance's own tag, `blog.post:42`, which
    every change of it invalidates; `tag(Post)` is the tag of all its instances, `blog.post`.
    """
    if isinstance(namespace, Model):
        return clean(f"{concrete_label(type(namespace))}:{namespace.pk}")
    if isinstance(namespace, type):
        return concrete_label(namespace)
    return clean(namespace if ident is None else f"{namespace}:{ident}")


def concrete_label(model: type[Model]) -> str:
    """`app.model`, of the model that a proxy stands for."""
    label: str = model._meta.concrete_model._meta.label_lower
    return label


def of_cell(attname: str, key: Any) -> str:
    """A column in one row, as the part of a tag behind the model's name; without a name all columns
    whose reads are tracked."""
    return f"@{attname}={quote(str(key), safe='')}"


def of_cells(cells: Mapping[Any, Iterable[str]], most: int) -> list[str]:
    """The same of the columns and beginnings of columns that were read, by the rows' keys; of more
    than `most`, of the rows: one for each, as many as rows have themselves."""
    read = {key: widest(names) for key, names in list(cells.items())}
    if sum(map(len, read.values())) > most:
        read = {key: names if len(names) == 1 else {""} for key, names in read.items()}
    found = sorted(of_cell(name, key) for key, names in read.items() for name in names)
    cut = any("<" in name for names in read.values() for name in names)
    return [OF_SOME, *found] if cut else found


def count_of(parts: Iterable[str]) -> int:
    """How many values and columns these parts are: rows with and without a flag count once."""
    return len({part.removesuffix("-") for part in parts})


def every(label: str) -> str:
    """The tag of pages that show instances of a model: what changes too many to name, names it."""
    return f"{label}:*"


def path_tag(path: str) -> str:
    """The tag that every stored page carries for its path, whatever its host and query."""
    path = unquote(urlsplit(path).path if "://" in path else re.split("[?#]", path, maxsplit=1)[0])
    name = PATH + quote(path, safe="/~!$&'()*+;=:@")
    if len(name) > MAX_TAG_BYTES:
        name = PATH + "~" + hashlib.sha256(name.encode()).hexdigest()
    return name


def clean(text: str) -> str:
    """A text's one form as a tag; what is too long becomes its coarser tag (DEBUG: an error)."""
    if _VALID.fullmatch(text):
        return text
    name = quote(text.strip(), safe=_SAFE)
    if not name:
        raise TagError("a tag can't be empty")
    if len(name) <= MAX_TAG_BYTES:
        return name
    if django_settings.DEBUG:
        raise TagError(f"the tag {name[:40]}… has {len(name)} bytes; the limit is {MAX_TAG_BYTES}")
    merged = coarse(name)
    if merged is None or len(merged) > MAX_TAG_BYTES:
        merged = "~" + hashlib.sha256(name.encode()).hexdigest()
    logger.warning("the tag %s… is too long and was merged into %s", name[:40], merged)
    return merged


def clean_all(tags: str | Iterable[str | None] | None) -> list[str]:
    """Tags as someone named them: one text, several, none; cleaned, each once."""
    if tags is None:
        return []
    named = [tags] if isinstance(tags, str) else tags
    return list(dict.fromkeys(clean(str(text)) for text in named if text is not None))


@lru_cache(maxsize=1)
def _model_labels() -> frozenset[str]:
    return frozenset(m._meta.label_lower for m in apps.get_models(include_auto_created=True))


def coarse(name: str) -> str | None:
    """The coarser tag that a tag can be merged into; none for one that has no coarser tag."""
    namespace, colon, ident = name.partition(":")
    if not colon or ident == "*":
        return None
    return namespace if namespace in _model_labels() else f"{namespace}:*"


def with_every(tags: Iterable[str]) -> list[str]:
    """Tags of a page, with `app.model:*` for each model of which it shows an instance."""
    named = list(tags)
    shown = {name.partition(":")[0] for name in named if ":" in name}
    return list(
        dict.fromkeys([*named, *(every(label) for label in sorted(shown & _model_labels()))])
    )


def with_coarse(tags: Iterable[str]) -> set[str]:
    """What an invalidation of these tags has to name: themselves, what they may be merged into, and
    the tag of pages that depend on what can't be named.

    A path's tag is never merged: a page has one of them.
    """
    named = set(tags)
    wider = {c for t in named if not is_path(t) and (c := coarse(t)) is not None}
    if any(is_data(t) for t in named):
        wider.add(ANYTHING)
    return named | wider


def condensed(
    tags: set[str], most_rows: int = MAX_NAMED_ROWS, most_parts: int = MAX_NAMED_PARTS
) -> set[str]:
    """The same, where rows of one model are too many to name: what shows any of them has `:*`.
    Beginnings of texts, of which a row has several, are named together before that."""
    if len(tags) <= most_rows:
        return tags
    cut = [t for t in tags if "<" in t and _BEGINNING.match(t)]
    if len(cut) > most_rows:
        of_label = Counter([name.partition(":")[0] for name in cut])
        often = {one for one, count in of_label.items() if count > most_rows} & _model_labels()
        tags = tags.difference(t for t in cut if t.partition(":")[0] in often)
        tags |= {f"{label}:{OF_SOME}" for label in often}
    many = _named_too_often(tags, most_rows, most_parts)
    if not many:
        return tags
    kept = {t for t in tags if t.partition(":")[0] not in many}
    return kept | many | {every(label) for label in many}


def _named_too_often(tags: set[str], most_rows: int, most_parts: int) -> set[str]:
    """The labels of models of which more rows, or more parts, are named."""
    # A transaction may name thousands: no call for each of them.
    of_label = Counter([name.partition(":")[0] for name in tags])
    named = {label for label, count in of_label.items() if count > most_rows} & _model_labels()
    many = set()
    for label in named:
        column = f"{label}:@"
        # As `is_part`.
        parts = sum([
            "=" in name or ">" in name or name.startswith(column)
            for name in tags
            if name.startswith(label) and name.partition(":")[0] == label
        ])  # fmt: skip
        rows = of_label[label] - parts - (label in tags)
        if rows > most_rows or parts > most_parts:
            many.add(label)
    return many


def is_part(name: str) -> bool:
    """Whether it is the tag of values of a field or of a column; in doubt, it is a row's."""
    return _is_part(name.partition(":")[2])


def _is_part(part: str) -> bool:
    return part.startswith("@") or "=" in part or ">" in part


def is_data(name: str) -> bool:
    """Whether it is the tag of rows of a model or a table."""
    return name.partition(":")[0] in _model_labels() or name.startswith(TABLE)


def of_results(tags: Iterable[str]) -> set[str]:
    """What invalidates all results of queries of these models, whether they are the same or not:
    for what is said by hand or happens at a time, and for what is kept in caches."""
    return {f"{RESULT}:{tag.partition(':')[0]}" for tag in tags if is_data(tag)}


def is_path(name: str) -> bool:
    """Whether it is a path's tag."""
    return name.startswith(PATH)


def within_limits(tags: Iterable[str], max_tags: int, max_bytes: int) -> list[str] | None:
    """The tags within a page's limits, the largest groups merged first; None if that is not enough.

    With DEBUG too many tags are an error instead, so that it is seen where it can be changed.
    """
    kept = dict.fromkeys(tags)
    if _fits(kept, max_tags, max_bytes):
        return list(kept)
    if django_settings.DEBUG:
        size = sum(map(len, kept)) + len(kept)
        raise TagError(
            f"the page has {len(kept)} tags ({size} bytes); the limits are {max_tags} tags and "
            f"{max_bytes} bytes. Without DEBUG they would be merged into coarser ones"
        )
    groups = Counter(c for t in kept if not is_path(t) and (c := coarse(t)) is not None)
    for group, count in groups.most_common():
        kept = dict.fromkeys(group if not is_path(t) and coarse(t) == group else t for t in kept)
        logger.warning("a page has too many tags: %s of them were merged into %s", count, group)
        if _fits(kept, max_tags, max_bytes):
            return list(kept)
    return None


def _fits(tags: dict[str, Any], max_tags: int, max_bytes: int) -> bool:
    return len(tags) <= max_tags and sum(map(len, tags)) + len(tags) <= max_bytes
