"""Changes of rows become invalidations: which rows a statement of the ORM changes, and what is sent
of them.

`hooks` asks before and after each statement. Rows are named one by one, up to a number; what a
registered model says of its rows is asked of the rows as they were and as they are. Rows of a
through model also report the two rows that they connect, and rows that the database deletes by
itself (`DB_CASCADE`) are found before it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.db import connections, models
from django.db.models import Model
from django.db.models.signals import m2m_changed

from .batching import is_silenced, record
from .conf import get_settings
from .differences import Parts, unseen
from .invalidation import Invalidation
from .loops import limit_loop
from .moments import see
from .registry import (
    also_forget,
    entry_of,
    ignored_fields,
    is_followed,
    of_every,
    of_instance,
    of_models,
)
from .tags import MAX_NAMED_ROWS, concrete_label

CHUNK = 200

# A foreign key of a through model: its attribute, the model it points to, and that one's attribute.
End = tuple[str, type[Model], str]


def unshown(model: type[Model], names: Iterable[str] | None) -> bool:
    """Whether a change of these fields alone is on no page."""
    return bool(names) and set(names or ()) <= ignored_fields(model)


def followed(model: type[Model]) -> type[Model] | None:
    """The model whose changes are sent now: itself, or what a migration's stand-in stands for."""
    return None if is_silenced() else _followed(model)


@lru_cache(maxsize=1024)
def _followed(model: type[Model]) -> type[Model] | None:
    if model._meta.apps is not apps:
        try:
            model = apps.get_model(model._meta.label)
        except LookupError:
            return None
    if is_followed(model) or any(entry_of(end[1]) is not None for end in ends_of(model)):
        return model
    return None


also_forget(_followed.cache_clear)


def follows(model: type[Model]) -> bool:
    """Whether changes of a model are sent now."""
    return followed(model) is not None


def invalidate(invalidation: Invalidation, using: str) -> None:
    """Something is out of date when the transaction commits, with the site's own options."""
    limit_loop(with_options(invalidation))
    record(invalidation, using)


def with_options(invalidation: Invalidation) -> Invalidation:
    """The same, with the site's own options."""
    settings = get_settings()
    invalidation.hard = settings.mode == "hard"
    invalidation.warm = settings.warm
    invalidation.reinvalidate_after_ms = settings.reinvalidate_after_ms
    return invalidation


@lru_cache(maxsize=1)
def _through_models() -> dict[type[Model], tuple[End, ...]]:
    found: dict[type[Model], tuple[End, ...]] = {}
    for model in apps.get_models():
        for field in model._meta.local_many_to_many:
            # Those of packages, such as django-taggit's, are not made of two foreign keys.
            if not isinstance(field, models.ManyToManyField):
                continue
            through = field.remote_field.through
            names = (field.m2m_field_name(), field.m2m_reverse_field_name())
            keys = [through._meta.get_field(name) for name in names]
            found[through] = tuple(
                (key.attname, key.related_model, key.target_field.attname) for key in keys
            )
    return found


def ends_of(model: type[Model]) -> tuple[End, ...]:
    """What a row of a through model connects; nothing for other models."""
    return _through_models().get(model, ())


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Parts that every database takes as parameters of one statement."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def rows_by(model: type[Model], using: str, name: str, values: Iterable[Any]) -> Iterator[Model]:
    """The rows with these values in a field, as the database has them."""
    for part in chunks(list(values)):
        yield from model._base_manager.using(using).filter(**{f"{name}__in": part})


class Change:
    """What one statement changes in the rows of one model: seen before and after."""

    def __init__(self, model: type[Model], current: type[Model], using: str) -> None:
        # Whose manager finds the rows; a migration's stand-in has the columns of its time.
        self._source = model
        self.using = using
        self.model = current
        # The rows that have been named, as far as they are known.
        self._keys: list[Any] = []
        self._historical = model is not current and model._meta.apps is not apps
        self._entry = entry_of(current)
        self._connected: list[tuple[End, set[Any]]] = []
        self.found = Invalidation()
        self.parts = Parts(current, using)
        if self._historical:
            # What its fields mean now is not what they meant.
            self.parts.of_every()

    @property
    def has_registered_ends(self) -> bool:
        """Whether its rows connect rows that have something to say."""
        return bool(self._ends())

    @property
    def needs_rows(self) -> bool:
        """Whether rows have more to say than their keys."""
        return self._entry is not None and self._entry.needs_rows and not self._historical

    def keys(self, queryset: Any, deleted: bool = False) -> list[Any]:
        """The keys of a queryset's rows, no more than are needed; and their parts."""
        # Where rows can be kept as they are, their parts are asked for by their keys.
        locks = connections[self.using].features.has_select_for_update
        names = () if self._historical or locks else self.parts.names
        # order_by(): the keys of all rows, in whatever order.
        rows = queryset.using(self.using).order_by().values_list("pk", *names)
        every = self.needs_rows or bool(ends_of(self.model))
        every = every or (deleted and bool(_database_cascades(self.model)))
        with unseen():
            found = list(rows if every else rows[: MAX_NAMED_ROWS + 1])
        if locks:
            self.parts.of_keys([row[0] for row in found])
        elif len(found) <= MAX_NAMED_ROWS and names:
            self.parts.of_rows(row[1:] for row in found)
        return [row[0] for row in found]

    def name(self, keys: Sequence[Any], fields: Iterable[str] | None = None) -> None:
        """Rows with these keys change, in all their tables or in those of these fields."""
        if len(keys) <= MAX_NAMED_ROWS:
            self._keys += keys
        if not keys or self._only_if:
            return
        if len(keys) > MAX_NAMED_ROWS or self._historical:
            self.name_every()
        else:
            says = self._entry is not None and self._entry.says
            labels = None if says else self.parts.labels_of(fields)
            named = keys if self.parts.shows or says else ()
            self.found.absorb(of_models(self.model, named, labels))
            self.found.tags.update(self._constant)

    def name_model(self) -> None:
        """Rows come whose keys are not asked for anywhere."""
        if not self._only_if:
            self.found.absorb(of_models(self.model))
            self.found.tags.update(self._constant)

    def name_every(self) -> None:
        """Rows change whose keys are not known, or too many."""
        if not self._only_if:
            self.found.absorb(of_every(self.model))
            self.found.tags.update(self._constant)
            self.parts.of_every()

    @property
    def _only_if(self) -> bool:
        """Whether rows speak for themselves or not at all."""
        return self.needs_rows and self._entry is not None and self._entry.only_if is not None

    @property
    def _constant(self) -> Iterable[str]:
        tags = self._entry.tags if self._entry is not None else ()
        return () if callable(tags) else tags

    def rows(self, rows: Iterable[Model]) -> None:
        """What rows say."""
        if self.needs_rows:
            for row in rows:
                self.found.absorb(of_instance(row))

    def see(self, keys: Sequence[Any]) -> None:
        """The rows with these keys, as the database has them now, are changed, or were."""
        if self.needs_rows:
            self.rows(rows_by(self.model, self.using, "pk", keys))
        self.see_ends(keys)

    def see_ends(self, keys: Sequence[Any]) -> None:
        """What rows of a through model connect, as far as it is registered."""
        ends = self._ends()
        if not ends:
            return
        values: list[set[Any]] = [set() for _ in ends]
        for part in chunks(keys):
            rows = self._source._base_manager.using(self.using).filter(pk__in=part)
            for row in rows.values_list(*(end[0] for end in ends)):
                for known, value in zip(values, row, strict=True):
                    known.add(value)
        self._connected = list(zip(ends, values, strict=True))
        self.see_ends_again()

    def see_ends_again(self) -> None:
        """What was connected, after the statement that changed it."""
        for end, known in self._connected:
            self._end(end, known)

    def connect(self, rows: Sequence[Model]) -> None:
        """Rows of a through model connect what they connect."""
        for end in self._ends():
            self._end(end, {getattr(row, end[0]) for row in rows})

    def _ends(self) -> list[End]:
        # A page that shows what is connected has the relation's own tag, or names the row itself,
        # which is registered then.
        return [end for end in ends_of(self.model) if entry_of(end[1]) is not None]

    def _end(self, end: End, values: set[Any]) -> None:
        _, model, target = end
        values = values - {None}
        entry = entry_of(model)
        if self._historical or (len(values) > MAX_NAMED_ROWS and not (entry and entry.needs_rows)):
            self.found.absorb(of_every(model))
        elif target == model._meta.pk.attname and not (entry and entry.needs_rows):
            self.found.absorb(of_models(model, values) if values else Invalidation())
        else:
            for row in rows_by(model, self.using, target, values):
                self.found.absorb(of_instance(row))

    def cascade(self, keys: Sequence[Any]) -> None:
        """What the database itself changes when rows with these keys are deleted."""
        if not self._historical:
            self.found.absorb(_reached(self.model, keys, self.using, set()))

    def invalidate(self, what: str, gone: bool = False) -> None:
        """All of it is out of date when the transaction commits. `gone`: its rows will be."""
        if self.found:
            self.found.absorb(self.parts.invalidation())
        self.found.reason = f"{concrete_label(self.model)} {what}"
        invalidate(self.found, self.using)
        if not self._historical:
            see(self.model, self.using, self._keys, gone)


def _database_cascades(model: type[Model]) -> list[Any]:
    """The foreign keys to a model that the database itself follows when a row is deleted."""
    return [rel.field for rel in _pointing_at(model) if _is_followed_by_database(rel.field)]


def _is_followed_by_database(field: Any) -> bool:
    on_delete = field.remote_field.on_delete
    # Django 6.1: DB_CASCADE, DB_SET_NULL, DB_SET_DEFAULT. Before, DO_NOTHING with a constraint of
    # the site's own, by a migration: without one the deletion would fail.
    return hasattr(on_delete, "on_delete_sql") or (
        on_delete is models.DO_NOTHING
        and getattr(field, "db_constraint", False)
        and field.model._meta.managed
    )


@lru_cache(maxsize=1024)
def _pointing_at(model: type[Model]) -> tuple[Any, ...]:
    found = model._meta.concrete_model._meta.get_fields(include_hidden=True)
    return tuple(f for f in found if f.auto_created and not f.concrete and not f.many_to_many)


def _reached(
    model: type[Model], keys: Sequence[Any], using: str, seen: set[tuple[type[Model], Any]]
) -> Invalidation:
    found = Invalidation()
    for field in _database_cascades(model):
        child = field.model
        rows = _pointing_rows(field, keys, using)
        if len(rows) > MAX_NAMED_ROWS:
            found.absorb(_every_reached(child, set()))
            continue
        fresh = [row for row in rows if (child, row.pk) not in seen]
        seen.update((child, row.pk) for row in fresh)
        if is_followed(child):
            found.absorb(_rows_reached(field, fresh, using))
        if fresh and _is_cascade(field):
            found.absorb(_reached(child, [row.pk for row in fresh], using, seen))
    return found


def _rows_reached(field: Any, rows: list[Model], using: str) -> Invalidation:
    found = Invalidation()
    if not rows:
        return found
    for row in rows:
        found.absorb(of_instance(row))
    parts = Parts(field.model, using)
    parts.of_instances(rows)
    if field.remote_field.on_delete is getattr(models, "DB_CASCADE", None):
        parts.of_coming_and_going()
    elif field.remote_field.on_delete is getattr(models, "DB_SET_NULL", None):
        parts.of_update({field.name: None}, [])
    else:
        # What the database knows as the default, or what a migration has set it to do.
        parts.of_every()
    if found:
        found.absorb(parts.invalidation())
    return found


def _pointing_rows(field: Any, keys: Sequence[Any], using: str) -> list[Model]:
    rows: list[Model] = []
    manager = field.model._base_manager.using(using)
    for part in chunks(keys):
        pointing = manager.filter(**{f"{field.name}__pk__in": part})
        rows += pointing[: MAX_NAMED_ROWS + 1 - len(rows)]
    return rows


def _every_reached(model: type[Model], seen: set[type[Model]]) -> Invalidation:
    """Every row of a model, and of what is deleted with it."""
    seen.add(model)
    found = of_every(model) if is_followed(model) else Invalidation()
    for field in _database_cascades(model):
        if field.model not in seen and _is_cascade(field):
            found.absorb(_every_reached(field.model, seen))
        elif is_followed(field.model):
            found.absorb(of_every(field.model))
    return found


def _is_cascade(field: Any) -> bool:
    return field.remote_field.on_delete in (getattr(models, "DB_CASCADE", None), models.DO_NOTHING)


def follow_relations() -> None:
    """Listens to relations that packages make otherwise than Django, and report by its signal."""
    for model in apps.get_models():
        for field in model._meta.local_many_to_many:
            if not isinstance(field, models.ManyToManyField):
                through = field.remote_field.through
                uid = f"edge_isr.{through._meta.label}"
                m2m_changed.connect(_relation_changed, sender=through, dispatch_uid=uid)


def _relation_changed(
    sender: type[Model], instance: Model, action: str, model: Any, pk_set: Any, using: str,
    **kwargs: Any,
) -> None:  # fmt: skip
    if is_silenced() or action not in ("post_add", "pre_remove", "post_remove", "pre_clear"):
        return
    found = Invalidation()
    if is_followed(type(instance)):
        found.absorb(of_instance(instance))
    if model is not None and is_followed(model):
        for row in rows_by(model, using, "pk", pk_set or ()):
            found.absorb(of_instance(row))
    invalidate(found, using)
