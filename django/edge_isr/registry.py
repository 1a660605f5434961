"""Which models' changes invalidate pages, and which.

`register(Post, tags=…, dependent_paths=…, fields=…)`. With AUTO_TAGS every model of the project is
followed (but those of AUTO_TAGS_EXCLUDE), and registering adds to what is said.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.db.models import DateField, Model

from .conf import load
from .excluded import EXCLUDED_BASES, IGNORED_FIELDS
from .finding import decides
from .invalidation import Invalidation, clean_path
from .tags import clean, clean_all, concrete_label, every

logger = logging.getLogger("edge_isr")

Source = Callable[[Any], Iterable[str | None] | str | None]


@dataclass(frozen=True)
class Entry:
    """What a registered model says of an instance."""

    tags: Source | tuple[str, ...] = ()
    paths: Source | None = None
    fields: tuple[str, ...] | None = None
    auto_tags: bool = True
    only_if: Callable[[Any], bool] | None = None
    ignore_fields: frozenset[str] = frozenset()
    at: tuple[str, ...] | None = None
    tracked_fields: frozenset[str] = frozenset()

    @property
    def says(self) -> bool:
        """Whether rows have something to say otherwise than by automatic tags."""
        return bool(self.tags) or self.needs_rows or not self.auto_tags

    @property
    def needs_old(self) -> bool:
        """Whether the row as it was has something to say."""
        if self.fields is not None:
            return bool(self.fields)
        return self.needs_rows

    @property
    def needs_rows(self) -> bool:
        """Whether a row has more to say than its key and the model's own tags."""
        return callable(self.tags) or self.paths is not None or self.only_if is not None


_entries: dict[type[Model], Entry] = {}
_forgetting: list[Callable[[], None]] = []


def register(
    model: type[Model] | None = None,
    *,
    tags: Source | Iterable[str] | str = (),
    dependent_paths: Source | None = None,
    fields: Iterable[str] | None = None,
    auto_tags: bool = True,
    only_if: Callable[[Any], bool] | None = None,
    ignore_fields: Iterable[str] = (),
    tracked_fields: Iterable[str] = (),
    at: Iterable[str] | None = None,
) -> Any:
    """Changes of a model's instances invalidate their own tags, and these.

    `tags`: texts, or a function of the instance.
    `dependent_paths`: a function of the instance; by default its method of that name, if any.
    `fields`: the old row's tags and paths count only when one of these fields changed; `()` if they
    never do. By default they count at every change, which costs a query for the old row.
    `only_if`: a function of the instance: neither the old nor the new row counts, nothing is said.
    `ignore_fields`: a change of these alone (`update`, `bulk_update`, `save(update_fields=…)`) is
    not followed: no page shows them.
    `tracked_fields`: a change of these alone invalidates pages that read them from an instance, as
    an attribute, or in a query, and not to all that have loaded the row. For columns of the model's
    own table by which no rows are found: no relation, nothing that is indexed or ordered by, texts.
    `auto_tags`: False, and the model is left out of automatic tags.
    `at`: fields with a date or a time. When it comes, the same is invalidated as by a change
    of the row.

    Also a class decorator. Registering again replaces.
    """
    if model is None:
        return lambda cls: register(
            cls, tags=tags, dependent_paths=dependent_paths, fields=fields, auto_tags=auto_tags,
            only_if=only_if, ignore_fields=ignore_fields, tracked_fields=tracked_fields, at=at,
        )  # fmt: skip
    if dependent_paths is None and callable(getattr(model, "dependent_paths", None)):
        dependent_paths = _own_paths
    listed_tags: Source | tuple[str, ...] = tags if callable(tags) else tuple(clean_all(tags))
    known = None if fields is None else tuple(fields)
    ignored, tracked = frozenset(ignore_fields), frozenset(tracked_fields)
    times = None if at is None else tuple(at)
    for name in (*(known or ()), *ignored, *tracked, *(times or ())):
        field = model._meta.get_field(name)
        if name in tracked and not is_only_shown(model, field):
            raise TypeError(f"tracked_fields: {name} of {model.__name__} is not only shown")
        if name in (times or ()) and not isinstance(field, DateField):
            raise TypeError(f"at: {name} of {model.__name__} has neither a date nor a time")
    _entries[model] = Entry(
        listed_tags, dependent_paths, known, auto_tags, only_if, ignored, times, tracked
    )
    forget_models()
    return model


def is_only_shown(model: type[Model], field: Any) -> bool:
    """Whether a column of the model's own table is one by which no rows are found."""
    return not (
        field not in model._meta.local_concrete_fields
        or field.primary_key
        or field.is_relation
        or decides(model, field)
    )


def unregister(model: type[Model]) -> None:
    """Forgets a model; LookupError if it is not known."""
    if _entries.pop(model, None) is None:
        raise LookupError(f"{model.__name__} is not registered")
    forget_models()


def also_forget(forget: Callable[[], None]) -> None:
    """What another module remembers of models is to be forgotten with the rest; again has no
    effect."""
    if forget not in _forgetting:
        _forgetting.append(forget)


def forget_models() -> None:
    """What is remembered of models is asked again: settings or the registry have changed."""
    entry_of.cache_clear()
    ignored_fields.cache_clear()
    is_automatic.cache_clear()
    is_followed.cache_clear()
    plain_labels.cache_clear()
    labels_by_table.cache_clear()
    table_names.cache_clear()
    labels_and_key.cache_clear()
    for forget in _forgetting:
        forget()


def _own_paths(instance: Any) -> Any:
    return instance.dependent_paths()


@cache
def entry_of(model: type[Model]) -> Entry | None:
    """What is registered for a model, or for what it is a proxy or a child of."""
    for cls in model.__mro__:
        if cls in _entries:
            return _entries[cls]
    return None


@cache
def ignored_fields(model: type[Model]) -> frozenset[str]:
    """The fields, also by their columns, whose changes alone are on no page."""
    entry = entry_of(model)
    names = set() if entry is None else set(entry.ignore_fields)
    names |= listed(model, IGNORED_FIELDS)
    concrete = model._meta.concrete_fields
    return frozenset(names | {field.attname for field in concrete if field.name in names})


def listed(model: type[Model], table: Iterable[tuple[str, str, Iterable[str]]]) -> set[str]:
    """The fields that a table of `excluded` has for a model."""
    return {
        field
        for base in model.__mro__
        for module, name, fields in table
        if base.__name__ == name and base.__module__.startswith(module)
        for field in fields
    }


def registered() -> dict[type[Model], Entry]:
    """All of them."""
    return dict(_entries)


@cache
def is_automatic(model: type[Model]) -> bool:
    """Whether pages are tagged with the model's instances by themselves."""
    settings, _ = load()
    entry = entry_of(model)
    if entry is not None and not entry.auto_tags:
        return False
    excluded = settings.is_excluded(concrete_label(model)) or _is_bookkeeping(model)
    return settings.auto_tags and not excluded


@cache
def _is_bookkeeping(model: type[Model]) -> bool:
    """Whether it is derived from what a package keeps for itself."""
    return any(
        base.__name__ == name and base.__module__.startswith(module)
        for base in model.__mro__
        for module, name in EXCLUDED_BASES
    )


@cache
def is_followed(model: type[Model]) -> bool:
    """Whether changes of the model are sent."""
    return entry_of(model) is not None or is_automatic(model)


@cache
def labels_of(model: type[Model]) -> tuple[str, ...]:
    """The model's label and those of the models that it extends: their rows change with its own."""
    concrete = model._meta.concrete_model
    parents = [p for p in concrete._meta.get_parent_list() if not p._meta.proxy]
    return tuple(dict.fromkeys([concrete_label(concrete), *map(concrete_label, parents)]))


@cache
def plain_labels(model: type[Model]) -> tuple[str, ...]:
    """The labels of a model whose rows have nothing to say but their keys; none of any other."""
    entry = entry_of(model)
    return () if entry is not None and entry.says else labels_of(model)


def of_models(
    model: type[Model], pks: Iterable[Any] = (), labels: Iterable[str] | None = None
) -> Invalidation:
    """The model as a whole, and some of its instances; or only these of its labels."""
    named = labels_of(model) if labels is None else tuple(labels)
    found = Invalidation(tags=set(named))
    others = other_keys(model)
    keyed = [label for label in named if label not in others] if others else named
    for pk in pks:
        key = key_of(model, pk)
        found.tags.update(clean(f"{label}:{key}") for label in keyed)
        # What their rows are is not asked for.
        found.tags.update(every(label) for label in named if label in others)
    return found


@cache
def other_keys(model: type[Model]) -> dict[str, str]:
    """The labels of what a model extends whose rows have another key than its own, each with the
    attribute that holds it: where the link to a row above is not the key."""
    chain, pk = {concrete_label(model)}, model._meta.pk
    while pk is not None and getattr(pk.remote_field, "parent_link", False):
        above = pk.remote_field.model
        chain.add(concrete_label(above))
        pk = above._meta.pk
    parents = [one for one in model._meta.get_parent_list() if not one._meta.proxy]
    return {
        label: one._meta.pk.attname
        for one in parents
        if (label := concrete_label(one)) not in chain
    }


def key_of(model: type[Model], pk: Any) -> Any:
    """A key in the form in which the database gives it: an instance may have been made with its
    text, such as a UUID without dashes."""
    if not isinstance(pk, str):
        return pk
    try:
        return model._meta.pk.to_python(pk)
    except ValidationError:
        return pk


def of_every(model: type[Model]) -> Invalidation:
    """The model as a whole, and each of its instances without naming them."""
    labels = labels_of(model)
    return Invalidation(tags={*labels, *map(every, labels)})


def of_instance(instance: Model) -> Invalidation:
    """What an instance, as it is now, says of which pages it is on."""
    model = type(instance)
    found = of_models(model, [instance.pk])
    entry = entry_of(model)
    if entry is None:
        return found
    try:
        if entry.only_if is not None and not entry.only_if(instance):
            return Invalidation()
        found.tags.update(clean_all(entry.tags(instance) if callable(entry.tags) else entry.tags))
        if entry.paths is not None:
            found.paths.update(_paths(entry.paths(instance), model))
    except Exception:
        if django_settings.DEBUG:
            raise
        # The change itself stands; what can be said without the site's function is said.
        logger.exception(
            "what %s %s says of its pages could not be determined", model.__name__, instance.pk
        )
    return found


def _paths(named: Any, model: type[Model]) -> list[str]:
    if isinstance(named, str):
        raise TypeError(f"dependent_paths of {model.__name__} returns a list of paths, not a text")
    return [clean_path(str(path)) for path in named or () if path is not None]


@cache
def labels_and_key(model: type[Model]) -> tuple[tuple[str, ...], Any]:
    """The labels that an instance tags a page with, and what reads its key."""
    labels = labels_of(model) if is_automatic(model) else ()
    return labels, attrgetter(model._meta.pk.attname)


@lru_cache(maxsize=1)
def labels_by_table() -> dict[str, tuple[str, ...]]:
    """Table, in lower case → the models it may belong to that are tagged automatically."""
    found: dict[str, tuple[str, ...]] = {}
    for model in apps.get_models(include_auto_created=True):
        meta = model._meta
        if not meta.proxy and is_automatic(model):
            table = meta.db_table.casefold()
            found[table] = (*found.get(table, ()), meta.label_lower)
    return found


@lru_cache(maxsize=2)
def table_names(managed: bool = True) -> frozenset[str]:
    """The tables of all models, in lower case; or of those alone that Django does not create."""
    models = apps.get_models(include_auto_created=True)
    return frozenset(m._meta.db_table.casefold() for m in models if managed or not m._meta.managed)


def models_of_table(name: str) -> list[type[Model]]:
    """The models of a table, its name in lower case."""
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if not model._meta.proxy and model._meta.db_table.casefold() == name
    ]
