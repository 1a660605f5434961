"""The writes of the ORM that send no signals, and the transaction that a save and its row share.

Each hook replaces one method of Django by itself and a little more, once, and does nothing for
models that are not followed.

`QuerySet.update`, `bulk_create` and `_raw_delete` (bulk_update is made of updates), and
`UpdateQuery.update_batch`, which nulls fields when what they point at is deleted. `Model.save_base`
gets a transaction around it while the outbox is on: without one, a save in autocommit mode would be
committed before its row of the outbox is written, and a crash in between would lose that.
`savepoint_rollback` may take rows of the outbox along that were believed to be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, Q, QuerySet
from django.db.models.sql.subqueries import UpdateQuery

from .batching import savepoint_rolled_back
from .changes import follows, old_rows, tell
from .conf import load
from .invalidation import Invalidation
from .patching import replace_method
from .registry import entry_of, of_instance, of_models

CHUNK = 200


@contextmanager
def one_transaction(using: str) -> Iterator[None]:
    if load()[0].outbox:
        with transaction.atomic(using=using, savepoint=False):
            yield
    else:
        yield


def install() -> None:
    """Puts all hooks in place; again has no effect."""
    replace_method(QuerySet, "update", _update)
    replace_method(QuerySet, "bulk_create", _bulk_create)
    replace_method(QuerySet, "_raw_delete", _raw_delete)
    replace_method(UpdateQuery, "update_batch", _update_batch)
    replace_method(Model, "save_base", _save_base)
    replace_method(BaseDatabaseWrapper, "savepoint_rollback", _savepoint_rollback)


def _say(model: type[Model], pks: Iterable[Any], rows: Iterable[Model]) -> Invalidation:
    entry = entry_of(model)
    # With `only_if`, rows speak for themselves or not at all.
    quiet = entry is not None and entry.only_if is not None
    found = Invalidation() if quiet else of_models(model, pks)
    for row in rows:
        found.absorb(of_instance(row))
    return found


def _rows(model: type[Model], using: str, pks: list[Any]) -> list[Model]:
    """Rows of models that have something to say of them; the others are known by their keys."""
    entry = entry_of(model)
    return old_rows(model, using, pks) if entry is not None and entry.needs_rows else []


def _tell(model: type[Model], using: str, found: Invalidation, what: str) -> None:
    found.reason = f"{model._meta.label_lower} {what}"
    tell(found, using)


def _update(original: Any) -> Any:
    def update(self: Any, **kwargs: Any) -> Any:
        if not follows(self.model) or self.query.is_sliced:
            return original(self, **kwargs)
        self._for_write = True
        with one_transaction(self.db):
            # order_by(): the keys of all rows, in whatever order.
            keys = list(self.using(self.db).order_by().values_list("pk", flat=True))
            if not keys:
                return original(self, **kwargs)
            found = _say(self.model, keys, _rows(self.model, self.db, keys))
            count = original(self, **kwargs)
            for row in _rows(self.model, self.db, keys):
                found.absorb(of_instance(row))
            _tell(self.model, self.db, found, "updated")
            return count

    return update


def _bulk_create(original: Any) -> Any:
    def bulk_create(self: Any, objs: Any, *args: Any, **kwargs: Any) -> Any:
        if not follows(self.model):
            return original(self, objs, *args, **kwargs)
        objs = list(objs)
        self._for_write = True
        unique = kwargs.get("unique_fields") if kwargs.get("update_conflicts") else None
        with one_transaction(self.db):
            before = list(_conflicting(self.model, self.db, objs, unique or ()))
            found = _say(self.model, [row.pk for row in before], before)
            created = original(self, objs, *args, **kwargs)
            known = [obj for obj in objs if obj.pk is not None]
            found.absorb(_say(self.model, [obj.pk for obj in known], known))
            if len(known) < len(objs):
                found.absorb(of_models(self.model))
            for row in old_rows(self.model, self.db, [row.pk for row in before]):
                found.absorb(of_instance(row))
            if objs:
                _tell(self.model, self.db, found, "created")
            return created

    return bulk_create


def _conflicting(
    model: type[Model], using: str, objs: list[Any], unique: Iterable[str]
) -> Iterator[Model]:
    """The rows that `update_conflicts` will update."""
    names = [model._meta.pk.name if name == "pk" else name for name in unique]
    for start in range(0, len(objs) if names else 0, CHUNK):
        where = Q()
        for obj in objs[start : start + CHUNK]:
            fields = (model._meta.get_field(name) for name in names)
            where |= Q(**{field.name: getattr(obj, field.attname) for field in fields})
        yield from model._base_manager.using(using).filter(where)


def _raw_delete(original: Any) -> Any:
    def _raw_delete(self: Any, using: str) -> Any:
        if not follows(self.model):
            return original(self, using)
        with one_transaction(using):
            keys = list(self.using(using).order_by().values_list("pk", flat=True))
            if keys:
                found = _say(self.model, keys, _rows(self.model, using, keys))
                _tell(self.model, using, found, "deleted")
            return original(self, using)

    return _raw_delete


def _update_batch(original: Any) -> Any:
    def update_batch(self: Any, pk_list: Any, values: Any, using: str) -> Any:
        model = self.get_meta().model
        if not follows(model):
            return original(self, pk_list, values, using)
        keys = list(pk_list)
        found = _say(model, keys, _rows(model, using, keys))
        result = original(self, pk_list, values, using)
        for row in _rows(model, using, keys):
            found.absorb(of_instance(row))
        _tell(model, using, found, "updated")
        return result

    return update_batch


def _savepoint_rollback(original: Any) -> Any:
    def savepoint_rollback(self: Any, sid: str) -> None:
        original(self, sid)
        savepoint_rolled_back(self.alias)

    return savepoint_rollback


def _save_base(original: Any) -> Any:
    def save_base(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not follows(type(self)):
            return original(self, *args, **kwargs)
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with one_transaction(using):
            return original(self, *args, **kwargs)

    return save_base
