"""Rows that are found by the rows which point at them.

A query for the live posts with a tag joins the rows of the relation, and asks that they have the
tag. Which posts it can find follows from those rows, whatever else it asks of the posts: a change
of a post at which none of them points can't bring it in. So what they point at is asked for once,
beside the query, and the page depends on these posts by their keys, shown or not, and on which rows
of the relation have the tag; on no condition and no column of all posts.

What comes to be pointed at between the two queries, or is so no more, is a change of the relation
after the page was begun, and invalidates the page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import Error, connections
from django.db.models import ForeignKey, QuerySet

from .conditions import is_comparable, is_narrowed
from .narrowing import INNER, Narrowed
from .registry import key_of
from .rows import unseen

# Of more rows a query depends on what it asks of them.
MAX_KEYS = 50


@dataclass(frozen=True, eq=False)
class Link:
    """The rows of a model that have one of some values, by a foreign key to other rows."""

    key: Any
    attname: str
    # None stands alone.
    values: tuple[Any, ...]

    def keys(self, alias: str) -> list[Any] | None:
        """The keys of the rows at which they point; None if these are too many, or can't be asked
        for now."""
        if connections[alias].needs_rollback or is_in_loop():
            return None
        is_null = self.values == (None,)
        condition = {f"{self.attname}__isnull": True} if is_null else {
            f"{self.attname}__in": self.values
        }  # fmt: skip
        rows = QuerySet(self.key.model, using=alias).filter(**condition).order_by()
        try:
            with unseen():
                keys = rows.values_list(self.key.attname, flat=True).distinct()
                found = list(keys[: MAX_KEYS + 1])
        except Error:
            return None
        if len(found) > MAX_KEYS:
            return None
        model = self.key.related_model
        return [key_of(model, key) for key in found if key is not None]


def is_in_loop() -> bool:
    """Whether an event loop runs in this thread, where nothing may be asked of a database."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def links(query: Any, found: dict[str, Narrowed], vendor: str) -> dict[str, Link]:
    """By alias, the rows that say which of its rows can be found."""
    known: dict[str, Link] = {}
    for alias, join in query.alias_map.items():
        link = _of_join(query, join, found[alias], vendor) if alias in found else None
        if link is not None:
            for one in _with_its_key(query, join.parent_alias):
                narrowed = found.get(one)
                if narrowed is None or not (narrowed.unique or narrowed.keys is not None):
                    known.setdefault(one, link)
    return known


def _of_join(query: Any, join: Any, narrowed: Narrowed, vendor: str) -> Link | None:
    """The link of an alias whose rows have values, and point at those of the one before it."""
    if narrowed.condition is None or join.join_type != INNER or join.filtered_relation:
        return None
    key = getattr(join.join_field, "field", None)
    if not isinstance(key, ForeignKey) or not key.target_field.primary_key:
        return None
    # A text that the database finds equal to the key of a row need not be that row's key.
    if not is_comparable(key, vendor) or not is_narrowed(key.related_model):
        return None
    if getattr(join.join_field, "concrete", False) or not _joins(query, join):
        return None
    field, values = narrowed.condition
    return Link(key, field.attname, tuple(values))


def _joins(query: Any, join: Any) -> bool:
    """Whether both tables are those of the models that its field connects, by one column each."""
    before, field = query.alias_map.get(join.parent_alias), join.join_field
    return (
        before is not None
        and len(join.join_cols) == 1
        and before.table_name == field.model._meta.db_table
        and join.table_name == field.related_model._meta.db_table
    )


def _with_its_key(query: Any, alias: str) -> Iterator[str]:
    """An alias, and those of the tables whose rows have the same key: of a model that extends
    another and of the other."""
    found, waiting = {alias}, [alias]
    while waiting:
        one = waiting.pop()
        yield one
        for other, join in query.alias_map.items():
            before = getattr(join, "parent_alias", None)
            if before is not None and one in (other, before) and _shares_key(query, join):
                fresh = {other, before} - found
                found |= fresh
                waiting += fresh


def _shares_key(query: Any, join: Any) -> bool:
    field = join.join_field
    if join.filtered_relation or not _joins(query, join):
        return False
    models = (field.model, field.related_model)
    keys = tuple(model._meta.pk.column for model in models)
    return tuple(join.join_cols[0]) == keys and all(map(is_narrowed, models))
