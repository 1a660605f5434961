"""What a developer may want to know of a page, with DEBUG: data that changes by the clock.

A query that compares a date with now has another result when the next row's moment has come, and
nothing is written then. The page says which field it is, and when that will be.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from django.db.models import DateField, DateTimeField, Model
from django.db.models.functions import Now
from django.utils import timezone

# A moment that is no further from now was taken as now.
NOW_SECONDS = 10
_COMPARISONS = frozenset({"lt", "lte", "gt", "gte", "range"})


def compared_with_now(where: Any) -> Iterator[tuple[type[Model], str]]:
    """The date fields that a condition compares with now."""
    for child in getattr(where, "children", ()):
        if hasattr(child, "children"):
            yield from compared_with_now(child)
        elif getattr(child, "lookup_name", "") in _COMPARISONS or _is_today(child):
            field = _column(getattr(child, "lhs", None))
            if isinstance(field, DateField) and _is_now(child.rhs):
                yield field.model, field.attname


def _column(left: Any) -> Any:
    """The field on the left, also within transforms: `moment__date__lte`."""
    while not hasattr(left, "target") and hasattr(left, "lhs"):
        left = left.lhs
    return getattr(left, "target", None)


def _is_today(child: Any) -> bool:
    """What is of today is not of tomorrow."""
    right = getattr(child, "rhs", None)
    is_date = isinstance(right, date) and not isinstance(right, datetime)
    return is_date and getattr(child, "lookup_name", "") == "exact"


def _is_now(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_is_now, value))
    if isinstance(value, Now):
        return True
    if isinstance(value, datetime):
        now = timezone.now() if timezone.is_aware(value) else datetime.now()
        return abs((value - now).total_seconds()) <= NOW_SECONDS
    return isinstance(value, date) and value == timezone.localdate()


def next_moment(model: type[Model], name: str) -> Any:
    """When the next row passes from the future into the past; None if there is none."""
    moments = isinstance(model._meta.get_field(name), DateTimeField)
    now = timezone.now() if moments else timezone.localdate()
    rows = model._base_manager.filter(**{f"{name}__gt": now}).order_by(name)
    return rows.values_list(name, flat=True).first()


def text_of(model: type[Model], name: str) -> str:
    """The hint for one field."""
    field = f"{model._meta.label_lower}.{name}"
    moment = next_moment(model, name)
    when = f"; the next row's moment is {moment.isoformat()}" if moment is not None else ""
    return f"{field} is compared with now{when}: see request.edge_isr.until()"
