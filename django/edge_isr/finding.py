"""By which of its columns a model's rows are found and ordered, known from the model alone."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db import models
from django.db.models import Model

# Rows are found and ordered by them, whatever else they show.
_DECIDING = (
    models.BooleanField, models.DateField, models.DecimalField, models.DurationField,
    models.FloatField, models.ForeignKey, models.IntegerField, models.TimeField, models.UUIDField,
)  # fmt: skip


def rank_of(model: type[Model], field: Any) -> int | None:
    """How few rows a value of it finds; None if it is not one that rows are asked for by."""
    if field.unique or field.attname in _generic_keys(model):
        return 0
    if isinstance(field, models.SlugField):
        return 1
    if field.is_relation:
        return 2
    if field.db_index or field.name in _indexed(model):
        return 3
    if field.choices:
        return 4
    return 5 if isinstance(field, models.BooleanField) else None


def decides(model: type[Model], field: Any) -> bool:
    """Whether a change of the column may change which rows have a value, or their order: of all
    that are no texts, and of what is indexed, a slug, a choice, or ordered by."""
    if getattr(field, "auto_now", False):
        # It changes with each save.
        return False
    return (
        isinstance(field, _DECIDING)
        or not _ordering(model).isdisjoint((field.name, field.attname))
        or rank_of(model, field) is not None
    )


@cache
def _ordering(model: type[Model]) -> frozenset[str]:
    meta = model._meta
    latest = meta.get_latest_by
    ordered = [*meta.ordering, *([latest] if isinstance(latest, str) else latest or ())]
    return frozenset(name.lstrip("-") for name in ordered if isinstance(name, str))


@cache
def _generic_keys(model: type[Model]) -> frozenset[str]:
    # Generic foreign keys, without a need for the app that has them.
    return frozenset(
        field.fk_field for field in model._meta.private_fields if hasattr(field, "fk_field")
    )


@cache
def _indexed(model: type[Model]) -> frozenset[str]:
    meta = model._meta
    named = {name for names in meta.unique_together for name in names}
    for one in (*meta.indexes, *meta.constraints):
        named.update(name.lstrip("-") for name in getattr(one, "fields", ()))
    return frozenset(named)
