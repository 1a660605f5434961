"""What instances tag a page with: each row of their tables, by its key.

A model that extends others has a row in each of their tables. Mostly they all have its own key; of
others each instance says which.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Model

from .context import Recorder
from .registry import labels_and_key, other_keys


def see(recorder: Recorder, model: type[Model], rows: Iterable[Any], related: bool) -> None:
    """Instances of a model were loaded; `related` if they brought along what they point at."""
    labels, key = labels_and_key(model)
    found: dict[str, set[Any]] = {}
    if labels and other_keys(model):
        for row in rows:
            _see_keys(recorder, found, row)
    elif labels:
        keys = set(map(key, rows))
        found.update((label, keys) for label in labels)
    if related:
        found = {label: set(keys) for label, keys in found.items()}
        visited: set[int] = set()
        for row in rows:
            _see_related(recorder, found, row, visited)
    recorder.saw_instances(found)


def see_row(recorder: Recorder, row: Model) -> None:
    """One instance is known to be there."""
    found: dict[str, set[Any]] = {}
    _see_keys(recorder, found, row)
    recorder.saw_instances(found)


def _see_related(
    recorder: Recorder, found: dict[str, set[Any]], row: Any, visited: set[int]
) -> None:
    for other in row._state.fields_cache.values():
        # A row and what it points at may point at each other.
        if isinstance(other, Model) and id(other) not in visited:
            visited.add(id(other))
            _see_keys(recorder, found, other)
            _see_related(recorder, found, other, visited)


def _see_keys(recorder: Recorder, found: dict[str, set[Any]], row: Model) -> None:
    labels, key = labels_and_key(type(row))
    others = other_keys(type(row)) if labels else {}
    held = vars(row)
    for label in labels:
        name = others.get(label)
        if name is None:
            found.setdefault(label, set()).add(key(row))
        elif name in held:
            found.setdefault(label, set()).add(held[name])
        else:
            recorder.saw_models((label,))
