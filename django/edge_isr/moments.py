"""Times at which something changes though nothing is written: of calls with `at`, and of rows.

A list of what is published by now changes when a row's time has come. `register(Entry,
at=["pub_date"])`: whenever a row is written, an invalidation is scheduled for each of these times
that is ahead, which says what a change of that column then would: the model, the row, the column,
the row's values, and what is registered. It has the row's name: another time takes its place, and
none takes it back.

Models of Wagtail that are drafted have two of these without being registered: the time for which a
revision is approved (`go_live_at`), and `expire_at` of what is live.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.db.models.signals import post_save
from django.utils.timezone import get_default_timezone, is_naive, make_aware

from .batching import is_silenced, record
from .conf import get_settings
from .differences import Parts
from .invalidation import EPOCH, Invalidation
from .registry import also_forget, entry_of, is_followed, key_of, of_instance, of_models, other_keys
from .rows import unseen
from .tags import concrete_label, of_results

# What the names of rows begin with.
AUTOMATIC = "@"
MAX_NAME_CHARS = 200
CHUNK = 200
WAGTAILS = ("go_live_at", "expire_at")


def moment_ms(at: datetime) -> int:
    """An aware datetime in milliseconds since the epoch, rounded up; ValueError for a naive one."""
    if not isinstance(at, datetime):
        raise TypeError(f"at is an aware datetime, not {at!r}")
    if is_naive(at):
        raise ValueError(
            f"at={at!r} is naive: it names no moment. Give it a time zone, for example by "
            "django.utils.timezone.make_aware"
        )
    return -((EPOCH - at) // timedelta(milliseconds=1))


def short(name: str) -> str:
    """A name as the outbox keeps it."""
    if len(name) <= MAX_NAME_CHARS:
        return name
    return "~" + hashlib.sha256(name.encode()).hexdigest()


def record_at(invalidation: Invalidation, using: str) -> None:
    """It happens at its time; one that has come is now."""
    if invalidation.at_ms > time.time() * 1000:
        record(invalidation, using)
        return
    if invalidation.name:
        record(Invalidation(name=invalidation.name), using)
    invalidation.at_ms, invalidation.name = 0, ""
    record(invalidation, using)


@cache
def times_of(model: Any) -> tuple[str, ...]:
    """The fields of a model at whose times its rows change."""
    entry = entry_of(model)
    if entry is not None and entry.at is not None:
        return entry.at
    return WAGTAILS if is_drafted(model) and is_followed(model) else ()


also_forget(times_of.cache_clear)


def is_drafted(model: Any) -> bool:
    """Whether it is one of Wagtail's models with drafts."""
    return any(
        base.__name__ == "DraftStateMixin" and base.__module__.startswith("wagtail.")
        for base in model.__mro__
    )


def see(model: Any, using: str, keys: Iterable[Any], gone: bool = False) -> None:
    """Rows with these keys were written, or are gone."""
    fields = [model._meta.get_field(name) for name in times_of(model)]
    keys = list(dict.fromkeys(key_of(model, key) for key in keys))
    for start in range(0, len(keys) if fields else 0, CHUNK):
        part = keys[start : start + CHUNK]
        with unseen():
            found = [] if gone else model._base_manager.using(using).filter(pk__in=part)
            rows = {row.pk: row for row in found}
            approved = _approved(list(rows.values()), using) if is_drafted(model) else {}
            for key in part:
                for field in fields:
                    record(_of_row(model, rows.get(key), key, field, approved, using), using)


def follow_revisions() -> None:
    """A revision of Wagtail's is approved for a time without its row being written."""
    if apps.is_installed("wagtail"):
        revision = apps.get_model("wagtailcore", "Revision")
        post_save.connect(_revision_saved, sender=revision, dispatch_uid="edge_isr.moments")


def _revision_saved(instance: Any, created: bool, using: str, **kwargs: Any) -> None:
    if is_silenced() or (created and instance.approved_go_live_at is None):
        return
    model = instance.content_type.model_class()
    if model is not None:
        see(model, using, [model._meta.pk.to_python(instance.object_id)])


def _of_row(
    model: Any,
    row: Model | None,
    key: Any,
    field: Any,
    approved: Mapping[str, datetime],
    using: str,
) -> Invalidation:
    """What is sent at the time in a field of a row; if there is none, that nothing waits."""
    label = concrete_label(field.model)
    if label in other_keys(model):
        # The key is not that of the row that has the field.
        label = concrete_label(model)
    name = short(f"{AUTOMATIC}{label}:{key}:{field.name}")
    at = None if row is None else _moment(row, field, approved)
    found = Invalidation()
    if row is not None and at is not None and at > datetime.now(timezone.utc):
        # A page of Wagtail may have been written as one of its base alone.
        found = _changed(getattr(row, "specific", row), field, using)
    if not found or at is None:
        return Invalidation(name=name)
    settings = get_settings()
    if settings.compare_results:
        found.tags |= of_results(found.tags)
    found.hard, found.warm = settings.mode == "hard", settings.warm
    found.name, found.at_ms = name, moment_ms(at)
    found.reason = f"{label} {key} {field.name}"
    return found


def _changed(row: Model, field: Any, using: str) -> Invalidation:
    """What a change of this column in a row sends, the row itself remaining as it is."""
    model: Any = type(row)
    parts = Parts(model, using)
    if entry_of(model) is None:
        found = of_models(model, [row.pk], parts.labels_of([field.name]))
    else:
        found = of_instance(row)
    if found:
        parts.of_column(field)
        parts.of_instances([row])
        found.absorb(parts.invalidation())
    return found


def _moment(row: Any, field: Any, approved: Mapping[str, datetime]) -> datetime | None:
    value = getattr(row, field.attname)
    if is_drafted(type(row)) and field.name in WAGTAILS:
        # What a row says of its going live may have been taken back.
        value = approved.get(str(row.pk)) if field.name == WAGTAILS[0] else value
        value = value if row.live or field.name == WAGTAILS[0] else None
    if value is not None and not isinstance(value, datetime):
        value = datetime.combine(value, datetime.min.time())
    if value is not None and is_naive(value):
        value = make_aware(value, get_default_timezone())
    return value


def _approved(rows: Sequence[Any], using: str) -> dict[str, datetime]:
    """For when a revision is approved, of rows of one model by their keys as texts."""
    if not rows:
        return {}
    revisions = rows[0].revisions.model.objects.using(using).filter(
        base_content_type=rows[0].get_base_content_type(),
        object_id__in=[str(row.pk) for row in rows], approved_go_live_at__isnull=False,
    )  # fmt: skip
    # The newest is what was approved last.
    return dict(revisions.order_by("id").values_list("object_id", "approved_go_live_at"))
