"""Which columns are tracked (`tracking`): a change of them invalidates the pages that read them,
and not those that only load the row.

Those are columns that packages write at each change (`excluded.TRACKED_FIELDS`), what only some of
the pages that load a row show of it (`excluded.TRACKED_TYPES`), and what a site registers. None of
the last two is one by which rows are found, and no relation: what an instance has at hand of a
relation is read without its column.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.db.models.query_utils import DeferredAttribute

from .excluded import TRACKED_FIELDS, TRACKED_TYPES
from .registry import (
    also_forget,
    entry_of,
    ignored_fields,
    is_automatic,
    is_only_shown,
    labels_by_table,
    listed,
)
from .tags import clean_all, concrete_label, of_cell


@cache
def tracked_fields(model: type[Model]) -> frozenset[str]:
    """The tracked columns of a model's own table, by their attributes: those whose attributes are
    still Django's own."""
    meta = model._meta
    fields = meta.local_concrete_fields
    if (
        not is_automatic(model)
        or not meta.managed
        or len(labels_by_table().get(meta.db_table.casefold(), ())) != 1
        # The database may make other columns of them.
        or any(getattr(field, "generated", False) for field in fields)
    ):
        return frozenset()
    names, ignored = listed(model, TRACKED_FIELDS), ignored_fields(model)
    return frozenset(
        field.attname
        for field in fields
        if _is_trackable(vars(model).get(field.attname))
        and field.name not in ignored
        and (field.name in names or (is_only_shown(model, field) and _is_asked_for(model, field)))
    )


def _is_asked_for(model: type[Model], field: Any) -> bool:
    entry = entry_of(model)
    if entry is not None and field.name in entry.tracked_fields:
        return True
    return any(
        base.__name__ == name and base.__module__.startswith(module)
        for base in model.__mro__[1:]
        for module, name in TRACKED_TYPES
    )


def _is_trackable(attribute: Any) -> bool:
    kind = type(attribute)
    return (
        kind is DeferredAttribute
        or hasattr(attribute, "edge_isr_field")
        # A stream's: what it holds is where Django's own has it.
        or (kind.__module__ == "wagtail.fields" and kind.__name__ == "Creator")
    )


def named_by_hand(tags: str | Iterable[str | None] | None) -> list[str]:
    """Tags as someone named them for a page: who names a row by its tag means all of its columns,
    whoever reads them."""
    named = clean_all(tags)
    labels = _labels()
    return named + [
        # A key that is encoded may be so in two ways.
        label if "%" in key else f"{label}:{of_cell('', key)}"
        for label, _, key in (name.partition(":") for name in named)
        if key and label in labels
    ]


@lru_cache(maxsize=1)
def _labels() -> frozenset[str]:
    return frozenset(concrete_label(model) for model in apps.get_models() if tracked_fields(model))


also_forget(tracked_fields.cache_clear)
also_forget(_labels.cache_clear)
