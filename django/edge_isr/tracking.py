"""Tracked columns: a page that reads one from an instance has a tag of that column in that row.

A package writes them at each change, and few pages show them: the time of the last publication, the
count of the rows below. An instance brings all columns along, so that each such change would
invalidate its own tag. It does not: whoever asks the instance for the column says so, and what a
query reads of it besides stands in its statement.

The attribute is a descriptor that is asked first, as long as Django's own stands there. What an
instance holds is where Django has it, so that saving, copying and pickling are as they are.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connections, router
from django.db.models import Model
from django.db.models.query_utils import DeferredAttribute

from .beginnings import lengths_of
from .conditions import (
    SET,
    UNSET,
    flag_of,
    named_fields,
    of_children,
    of_column,
    of_members,
    tree_step,
)
from .context import automatic
from .excerpts import name_of_read
from .patching import replace_method
from .registry import also_forget
from .rows import unseen
from .tags import concrete_label
from .tracked import tracked_fields


class TrackedAttribute(DeferredAttribute):
    """The attribute of a column, which notes on the page that is being rendered who reads it.

    Django's own attribute is asked only for what an instance does not hold. One that does more
    (`StreamField`) does it still.
    """

    def __init__(self, field: Any, before: Any) -> None:
        super().__init__(field)
        self.edge_isr_field = field
        self._before = None if type(before) is DeferredAttribute else before
        self._name: str = field.attname
        self._key: str = field.model._meta.pk.attname
        self._label = concrete_label(field.model)
        # What it holds is in the instance's dictionary.
        self._lengths = lengths_of(field) if self._before is None else ()

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        if instance is None:
            return self
        held = vars(instance)
        recorder = automatic()
        if recorder is not None:
            key = held.get(self._key)
            if key is None:
                # A copy, that has no key yet, of some row.
                recorder.saw_parts({self._label: (of_column(self.edge_isr_field),)})
            else:
                name = name_of_read(instance, self._name, self._lengths)
                recorder.saw_cell(self._label, key, name)
        if self._before is not None:
            return self._before.__get__(instance, cls)
        return held[self._name] if self._name in held else super().__get__(instance, cls)

    def __set__(self, instance: Any, value: Any) -> None:
        if self._before is not None:
            self._before.__set__(instance, value)
        else:
            vars(instance)[self._name] = value

    def __delete__(self, instance: Any) -> None:
        try:
            del vars(instance)[self._name]
        except KeyError:
            raise AttributeError(self._name) from None


def install() -> None:
    """Puts the hooks in place; again has no effect."""
    _put_attributes()
    # Models may be registered later on.
    also_forget(_put_attributes)
    for base in {base for model in apps.get_models() for base in model.__mro__}:
        if base.__name__ == "MP_Node" and base.__module__.startswith("treebeard."):
            replace_method(base, "is_leaf", _is_leaf)
            replace_method(base, "get_children", _get_children)


def _put_attributes() -> None:
    for model in apps.get_models(include_auto_created=True):
        if model._meta.proxy:
            continue
        for field in model._meta.local_concrete_fields:
            if field.attname in tracked_fields(model):
                before = vars(model)[field.attname]
                if not isinstance(before, TrackedAttribute):
                    setattr(model, field.attname, TrackedAttribute(field, before))


def _is_leaf(original: Any) -> Any:
    def is_leaf(self: Any) -> Any:
        if "numchild" in vars(self) and _sees_below(self):
            return vars(self)["numchild"] == 0
        return original(self)

    return is_leaf


def _get_children(original: Any) -> Any:
    def get_children(self: Any) -> Any:
        # Of rows that are asked for, the query says what it depends on.
        count = vars(self).get("numchild")
        if count and automatic() is not None and _tree_of(type(self)) is not None:
            with unseen():
                return original(self)
        return original(self)

    return get_children


def _tree_of(model: type[Model]) -> Any:
    """The field of a model's path in its tree, where the rows below one are named."""
    field = model._meta.get_field("path")
    vendor = connections[router.db_for_read(model)].vendor
    named = tree_step(field) is not None and field in named_fields(field.model, vendor)
    return field if named else None


def _sees_below(node: Any) -> bool:
    """Whether the page is known to depend on which rows are right below one."""
    recorder = automatic()
    field = _tree_of(type(node)) if recorder is not None else None
    if recorder is None or field is None or not vars(node).get("path"):
        return False
    part = of_children(field, node.path)
    vendor = connections[router.db_for_read(type(node))].vendor
    behind = (SET,) if flag_of(field.model, vendor) is None else (SET, UNSET)
    parts = [of_members(part, one) for one in behind]
    recorder.saw_parts({concrete_label(field.model): parts})
    return True
