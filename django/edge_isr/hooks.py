"""The writes of the ORM: each method that runs a statement records what the statement changes.

Each hook replaces one method of Django by itself and a little more, once, and does nothing for
models that are not followed. No signal is listened to: a model with listeners loses Django's fast
deletions and fast additions, and not every write sends one.

They are `QuerySet.update` (and so `bulk_update`), `bulk_create` (and so what is added to a
relation), `Collector.delete` and `_raw_delete` (deletions with their cascades, what is removed from
a relation), and the batches that deletions are made of, for whoever calls those by themselves.
`Model._save_table` is in `saves`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from inspect import Signature, signature
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.db.models.deletion import Collector
from django.db.models.sql.subqueries import DeleteQuery, UpdateQuery

from .changes import Change, chunks, ends_of, followed, unshown
from .patching import replace_method
from .transactions import changing

# The model of the deletion that is going on: what its batches delete has been sent.
_deleting: ContextVar[type[Model] | None] = ContextVar("edge_isr_deleting", default=None)


def install() -> None:
    """Puts all hooks in place; again has no effect."""
    replace_method(QuerySet, "update", _update)
    replace_method(QuerySet, "bulk_create", _bulk_create)
    replace_method(QuerySet, "_raw_delete", _raw_delete)
    replace_method(Collector, "delete", _collected_delete)
    replace_method(UpdateQuery, "update_batch", _update_batch)
    replace_method(DeleteQuery, "delete_batch", _delete_batch)


def _update(original: Any) -> Any:
    def update(self: Any, **kwargs: Any) -> Any:
        model = followed(self.model)
        if model is None or self.query.is_sliced or unshown(model, kwargs):
            return original(self, **kwargs)
        self._for_write = True
        using = self.db
        with changing(using, self.model, reads=True):
            change = Change(self.model, model, using)
            change.parts.begin_update(kwargs)
            keys = change.keys(self)
            if not keys:
                return original(self, **kwargs)
            change.name(keys, kwargs)
            change.see(keys)
            count = original(self, **kwargs)
            if count > len(set(keys)):
                # Another transaction has brought rows into its filter.
                change.name_every()
            change.see_ends_again()
            change.parts.of_update(kwargs, keys)
            change.see(_new_keys(change, keys, kwargs))
            change.invalidate("updated")
            return count

    return update


def _new_keys(change: Change, keys: list[Any], values: dict[str, Any]) -> list[Any]:
    """The keys of the rows after an update, which may have changed them."""
    pk = change.model._meta.pk
    named = [name for name in ("pk", pk.name, pk.attname) if name in values]
    if not named:
        return keys
    value = values[named[0]]
    if hasattr(value, "resolve_expression"):
        change.name_every()
        return keys
    change.name([value.pk if isinstance(value, Model) else value])
    return [value.pk if isinstance(value, Model) else value]


@lru_cache(maxsize=64)
def _signature(method: Any) -> Signature:
    return signature(method)


def _bulk_create(original: Any) -> Any:
    def bulk_create(self: Any, objs: Any, *args: Any, **kwargs: Any) -> Any:
        model = followed(self.model)
        if model is None:
            return original(self, objs, *args, **kwargs)
        objs = list(objs)
        self._for_write = True
        using = self.db
        change = Change(self.model, model, using)
        options = _signature(original).bind(self, objs, *args, **kwargs).arguments
        with changing(using, self.model, reads=True):
            before = list(_conflicting(self.model, using, objs, options))
            change.name([row.pk for row in before])
            change.rows(before)
            change.parts.of_instances(before)
            fresh = _not_there(self.model, model, using, objs, options)
            created = original(self, objs, *args, **kwargs)
            known = [obj for obj in fresh if obj.pk is not None]
            change.name([obj.pk for obj in known])
            if len(known) < len(fresh):
                # Rows of a relation are never asked for by their keys.
                (change.name_model if ends_of(model) else change.name_every)()
            change.rows(known)
            change.connect(fresh)
            change.parts.of_coming_and_going()
            change.parts.of_instances(fresh)
            change.parts.of_keys([row.pk for row in before])
            change.see([row.pk for row in before])
            if fresh:
                change.invalidate("created")
            return created

    return bulk_create


def _conflicting(
    model: type[Model], using: str, objs: list[Any], options: dict[str, Any]
) -> Iterator[Model]:
    """The rows that `update_conflicts` will update."""
    if not options.get("update_conflicts"):
        return
    unique = options.get("unique_fields")
    # MySQL takes no names: whatever is unique conflicts.
    for keys in [unique] if unique else _unique(model):
        names = [model._meta.pk.name if name == "pk" else name for name in keys]
        yield from _rows_like(model, using, objs, names)


def _unique(model: type[Model]) -> Iterator[Iterable[str]]:
    """The names of fields that are unique together."""
    options = model._meta
    yield from ([field.name] for field in options.concrete_fields if field.unique)
    yield from options.unique_together
    yield from (constraint.fields for constraint in options.total_unique_constraints)


def _not_there(
    source: type[Model], model: type[Model], using: str, objs: list[Any], options: dict[str, Any]
) -> list[Any]:
    """The rows of a through model that connect what was not connected; of other models, all."""
    names = [source._meta.get_field(end[0]).name for end in ends_of(model)]
    if not names or not options.get("ignore_conflicts"):
        return objs
    attributes = [end[0] for end in ends_of(model)]
    known = {tuple(getattr(row, name) for name in attributes)
             for row in _rows_like(source, using, objs, names)}  # fmt: skip
    return [obj for obj in objs if tuple(getattr(obj, name) for name in attributes) not in known]


def _rows_like(
    model: type[Model], using: str, objs: list[Any], names: list[str]
) -> Iterator[Model]:
    fields = [model._meta.get_field(name) for name in names]
    for part in chunks(objs):
        where = Q()
        for obj in part:
            where |= Q(**{field.name: getattr(obj, field.attname) for field in fields})
        yield from model._base_manager.using(using).filter(where)


def _collected_delete(original: Any) -> Any:
    def delete(self: Any) -> Any:
        models = [followed(model) for model in self.data]
        models += [followed(queryset.model) for queryset in self.fast_deletes]
        first = next(filter(None, models), None)
        if first is None:
            return original(self)
        with changing(self.using, first, reads=True):
            origin = getattr(self.origin, "model", type(self.origin))
            # Before anything is gone: what rows say may be asked of their relations.
            for source, instances in list(self.data.items()):
                model = followed(source)
                if model is not None and instances:
                    change = Change(source, model, self.using)
                    _see_deleted(change, list(instances))
            token = _deleting.set(origin)
            try:
                return original(self)
            finally:
                _deleting.reset(token)

    return delete


def _see_deleted(change: Change, instances: list[Any]) -> None:
    keys = [instance.pk for instance in instances]
    change.name(keys)
    change.rows(instances)
    change.parts.of_coming_and_going()
    # What the instances hold may be older than the rows.
    change.parts.of_keys(keys)
    change.connect(instances)
    change.cascade(keys)
    change.invalidate("deleted" if len(keys) > 1 else f"{keys[0]} deleted", gone=True)


def _raw_delete(original: Any) -> Any:
    def _raw_delete(self: Any, using: str) -> Any:
        model = followed(self.model)
        if model is None:
            return original(self, using)
        with changing(using, self.model, reads=True):
            change = Change(self.model, model, using)
            keys = change.keys(self, deleted=True)
            if not keys:
                return original(self, using)
            change.name(keys)
            change.parts.of_coming_and_going()
            change.see(keys)
            change.cascade(keys)
            count = original(self, using)
            if isinstance(count, int) and count > len(set(keys)):
                change.name_every()
            change.see_ends_again()
            change.invalidate("deleted")
            return count

    return _raw_delete


def _update_batch(original: Any) -> Any:
    def update_batch(self: Any, pk_list: Any, values: Any, using: str) -> Any:
        source = self.get_meta().model
        model = followed(source)
        if model is None:
            return original(self, pk_list, values, using)
        with changing(using, source, reads=True):
            change, keys = Change(source, model, using), list(pk_list)
            change.parts.begin_update(values)
            change.name(keys)
            change.parts.of_keys(keys)
            change.see(keys)
            result = original(self, pk_list, values, using)
            change.parts.of_update(values, keys)
            change.see(keys)
            change.invalidate("updated")
            return result

    return update_batch


def _delete_batch(original: Any) -> Any:
    def delete_batch(self: Any, pk_list: Any, using: str) -> Any:
        source = self.get_meta().model
        model = followed(source) if _deleting.get() is None else None
        if model is None:
            return original(self, pk_list, using)
        with changing(using, source, reads=True):
            change, keys = Change(source, model, using), list(pk_list)
            change.name(keys)
            change.parts.of_coming_and_going()
            change.parts.of_keys(keys)
            change.see(keys)
            change.cascade(keys)
            change.invalidate("deleted", gone=True)
            return original(self, pk_list, using)

    return delete_batch
