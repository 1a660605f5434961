"""Changes of rows become invalidations: what models' signals tell, and what they don't.

Signals tell of `save`, `delete` (also by queryset and by cascade) and many-to-many changes.
`hooks` tells of the rest: `update`, `bulk_create`, `bulk_update`, and fields that a deletion nulls.
Receivers are connected to the models that are followed, one by one, so that others keep Django's
fast deletions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.db.models.fields.reverse_related import ManyToOneRel
from django.db.models.signals import m2m_changed, post_save, pre_delete, pre_save

from .batching import is_silenced, record
from .conf import get_settings, load
from .invalidation import Invalidation
from .registry import (
    entry_of,
    is_followed,
    labels_of,
    model_registered,
    of_instance,
    of_models,
    registered,
)
from .tags import concrete_label

# Written by Django at every log-in. No page may be refreshed for that.
UNSHOWN_FIELDS = {"last_login"}

_followed: set[type[Model]] = set()


def follow(sender: type[Model], **kwargs: Any) -> None:
    """Connects the signals of a model, and of its proxies and children."""
    # The signals of a proxy and of a child have them as senders.
    for one in {sender, *(known for known in apps.get_models() if issubclass(known, sender))}:
        _connect(one)


def _connect(model: type[Model]) -> None:
    if model in _followed:
        return
    _followed.add(model)
    uid = f"edge_isr.{model._meta.label}"
    pre_save.connect(_before_save, sender=model, dispatch_uid=uid)
    post_save.connect(_saved, sender=model, dispatch_uid=uid)
    pre_delete.connect(_deleted, sender=model, dispatch_uid=uid)
    relations = [field.remote_field for field in model._meta.many_to_many]
    relations += [rel for rel in model._meta.related_objects if rel.many_to_many]
    for through in (relation.through for relation in relations):
        m2m_changed.connect(_m2m, sender=through, dispatch_uid=f"edge_isr.{through._meta.label}")


def follow_all() -> None:
    """Connects the models that are registered, now and later, and all that the settings follow."""
    model_registered.connect(follow, dispatch_uid="edge_isr.changes")
    for model in registered():
        follow(model)
    if load()[0].auto_tags:
        for model in apps.get_models(include_auto_created=True):
            if is_followed(model):
                _connect(model)


def follows(model: type[Model]) -> bool:
    """Whether a change of the model is to be told now. Not of migrations' stand-ins for it."""
    return model in _followed and not is_silenced() and is_followed(model)


def tell(invalidation: Invalidation, using: str) -> None:
    """Something is out of date when the transaction commits, with the site's own options."""
    settings = get_settings()
    invalidation.hard = settings.mode == "hard"
    invalidation.warm = settings.warm
    invalidation.settle_ms = settings.settle_ms
    record(invalidation, using)


def old_rows(model: type[Model], using: str, pks: Iterable[Any]) -> list[Model]:
    """Rows as the database has them."""
    rows: list[Model] = list(model._base_manager.using(using).filter(pk__in=list(pks)))
    return rows


def _before_save(
    sender: type[Model], instance: Model, using: str, update_fields: Any = None, **kwargs: Any
) -> None:
    instance.__dict__.pop("_edge_isr_old", None)
    entry = entry_of(sender)
    if entry is None or not entry.needs_old or instance.pk is None or not follows(sender):
        return
    # A new instance may have the key of a row that is there. Where the key has a default, Django
    # never looks for such a row: it inserts.
    if instance._state.adding and instance._meta.pk.has_default() and not kwargs.get("raw"):
        return
    fields = entry.fields
    if fields is not None and update_fields is not None and not set(fields) & set(update_fields):
        return
    for old in old_rows(sender, using, [instance.pk]):
        if fields is None or _changed(old, instance, fields):
            instance.__dict__["_edge_isr_old"] = of_instance(old)


def _changed(old: Model, new: Model, fields: Iterable[str]) -> bool:
    names = (new._meta.get_field(name).attname for name in fields)
    return any(getattr(old, name) != getattr(new, name) for name in names)


def _saved(
    sender: type[Model], instance: Model, using: str, update_fields: Any = None, **kwargs: Any
) -> None:
    old = instance.__dict__.pop("_edge_isr_old", None)
    if not follows(sender) or (update_fields and set(update_fields) <= UNSHOWN_FIELDS):
        return
    found = of_instance(instance)
    if old is not None:
        found.absorb(old)
    found.reason = "" if not found else f"{concrete_label(sender)} {instance.pk}"
    tell(found, using)


def _deleted(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    # Before, because its relations are gone afterwards; it is sent only if the deletion commits.
    if not follows(sender):
        return
    found = of_instance(instance)
    found.reason = "" if not found else f"{concrete_label(sender)} {instance.pk} deleted"
    tell(found, using)


def _m2m(
    sender: type[Model],
    instance: Model,
    action: str,
    model: type[Model],
    pk_set: set[Any] | None,
    using: str,
    **kwargs: Any,
) -> None:
    if is_silenced() or action not in ("post_add", "pre_remove", "post_remove", "pre_clear"):
        return
    ends = (type(instance), model)
    if not any(map(is_followed, ends)):
        return
    # What rows say of themselves may name what they are about to lose.
    if action == "pre_remove" and not any(e.needs_rows for e in map(entry_of, ends) if e):
        return
    if action == "pre_clear":
        pk_set = _cleared(sender, instance, model, using)
    if not pk_set:
        return
    found = Invalidation(tags=set(labels_of(sender)))
    if is_followed(type(instance)):
        found.absorb(of_instance(instance))
    if is_followed(model):
        if entry_of(model) is not None:
            for other in old_rows(model, using, pk_set):
                found.absorb(of_instance(other))
        else:
            found.absorb(of_models(model, pk_set))
    tell(found, using)


def _cleared(through: type[Model], instance: Model, model: type[Model], using: str) -> set[Any]:
    """The keys at the other end of what is about to be cleared."""
    keys = [f for f in through._meta.concrete_fields if isinstance(f.remote_field, ManyToOneRel)]
    found: set[Any] = set()
    for own in keys:
        for other in keys:
            ends = other is not own and isinstance(instance, own.related_model)
            # Of a relation with itself both ends fit: then both are asked.
            if ends and issubclass(model, other.related_model):
                rows = through._base_manager.using(using).filter(**{own.attname: instance.pk})
                found.update(rows.values_list(other.attname, flat=True))
    return found
