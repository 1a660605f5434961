"""Tags travel with what is put into Django's caches.

A value in a cache hides what it was made of. So what is loaded between a look-up that finds nothing
and the `set` of the same key is remembered beside the value, under a key of its own, with the
versions that the tags had (see `versions`). A page that takes the value out has its tags. This
holds for every backend, for `get_or_set`, `{% cache %}`, and for whole pages (`cache_page`,
Django's and Wagtail's cache middleware).

While a cached view is being rendered, a value whose data has changed since counts as missing, if it
was made after a look-up that found nothing: whoever made it makes it again. So a refetch for the
edge goes round what is out of date, and renews it. Elsewhere the site's caches do what they did.

A value that was put there unseen, without a look-up before, is known by the models it consists of,
or by the row that was being saved; of others nobody knows what they depend on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache as cached
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.core.cache import caches
from django.core.cache.backends.dummy import DummyCache
from django.db import models
from django.db.models import Model
from django.db.models.signals import post_save, pre_save
from django.templatetags.cache import CacheNode

from . import kept
from .conf import load
from .context import Recorder, Span, current, recording
from .instances import see_row
from .patching import replace_method
from .versions import PREFIX

logger = logging.getLogger("edge_isr")

# Keys of the framework's own, and of counters of requests: no page is made of them.
NO_DATA = ("django.contrib.sessions", "throttle_", "rl:", "allauth.", "axes", PREFIX)
_MISSING = object()
# What `Model.save` calls.
_SAVING = ("save_base", "_save_parents", "_save_table", "_do_update", "_do_insert")
# Methods of a cache call each other.
_inside: ContextVar[bool] = ContextVar("edge_isr_inside_cache", default=False)


def install() -> None:
    """Puts the hooks in place; again has no effect."""
    replace_method(type(caches), "create_connection", _create_connection)
    for cache in caches.all(initialized_only=True):
        _watch(cache)
    replace_method(CacheNode, "render", _with_recorder)
    replace_method(Model, "save_base", _with_row)
    for model in apps.get_models(include_auto_created=True):
        # What a model does around Django's own.
        if "save_base" in vars(model):
            replace_method(model, "save_base", _with_row)
    if apps.is_installed("django.contrib.sites"):
        from django.contrib.sites.models import SiteManager

        replace_method(SiteManager, "get_current", _get_current)


def _create_connection(original: Any) -> Any:
    def create_connection(self: Any, alias: str) -> Any:
        cache = _watch(original(self, alias))
        cache.edge_isr_alias = alias
        return cache

    return create_connection


def _watch(cache: Any) -> Any:
    if not isinstance(cache, (Watched, DummyCache)):
        cache.__class__ = _watched(type(cache))
    return cache


@lru_cache
def _watched(backend: type) -> type:
    named = {name: getattr(backend, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(backend.__name__, (Watched, backend), named)


def _with_recorder(original: Any) -> Any:
    """Outside of requests, too: a page may find there what a command has made."""

    def with_recorder(*args: Any, **kwargs: Any) -> Any:
        if current.get() is not None:
            return original(*args, **kwargs)
        with recording(Recorder(active=False)):
            return original(*args, **kwargs)

    return with_recorder


def _with_row(original: Any) -> Any:
    """What is put into a cache while a row is saved, by receivers or packages, is made of it."""

    def with_row(self: Model, *args: Any, **kwargs: Any) -> Any:
        model = type(self)
        # Nothing but Django runs while a row is saved. Most saves are so, and a recorder costs as
        # much as half of one.
        if _is_plain(model) and not (
            (pre_save.receivers and pre_save.has_listeners(model))
            or (post_save.receivers and post_save.has_listeners(model))
        ):
            return original(self, *args, **kwargs)
        recorder = current.get()
        name = ("row", id(self), None)
        if recorder is not None and (recorder.closed or name in recorder.spans):
            return original(self, *args, **kwargs)
        recorder = recorder or Recorder(active=False)
        span = Span(None, made=False, replaces=False)
        span.row = self
        recorder.begin_span(name, span)
        try:
            with recording(recorder):
                return original(self, *args, **kwargs)
        finally:
            recorder.end_span(name)

    return with_row


@cached
def _is_plain(model: type[Model]) -> bool:
    """Whether a model is saved by Django's own methods, its fields' too."""
    methods = (getattr(model, name) is getattr(Model, name) for name in _SAVING)
    fields = (
        type(field).__module__.startswith("django.") and not isinstance(field, models.FileField)
        for field in model._meta.concrete_fields
    )
    return all(methods) and all(fields)


def _get_current(original: Any) -> Any:
    """Sites are kept in the memory of each process."""

    def get_current(self: Any, *args: Any, **kwargs: Any) -> Any:
        site = original(self, *args, **kwargs)
        recorder = current.get()
        if recorder is not None:
            see_row(recorder, site)
        return site

    return get_current


@contextmanager
def _calls() -> Iterator[None]:
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def _is_watched(alias: str, key: Any) -> bool:
    text = str(key)
    if _inside.get() or text.startswith(NO_DATA) or not load()[0].cache_tags:
        return False
    excluded = load()[0].cache_tags_exclude
    return not any(alias == name or text.startswith(name) for name in excluded)


def _recorder_for(alias: str, key: Any) -> Recorder | None:
    recorder = current.get()
    if recorder is None or recorder.closed or not _is_watched(alias, key):
        return None
    return recorder


class Watched:
    """What a backend's class is given before its own methods, whose arguments these have."""

    edge_isr_alias = "default"

    def get(self, key: Any, default: Any = None, version: Any = None, **more: Any) -> Any:
        """The value; the page has its tags."""
        plain: Any = super()
        recorder = _recorder_for(self.edge_isr_alias, key)
        if recorder is None:
            return plain.get(key, default, version=version, **more)
        with _calls():
            value = plain.get(key, _MISSING, version=version, **more)
            if self._edge_isr_found(recorder, key, version, value):
                return value
        return default

    def has_key(self, key: Any, version: Any = None, **more: Any) -> bool:
        """Whether `get` finds something."""
        plain: Any = super()
        if _recorder_for(self.edge_isr_alias, key) is None:
            return bool(plain.has_key(key, version=version, **more))
        return self.get(key, _MISSING, version=version) is not _MISSING

    def __contains__(self, key: Any) -> bool:
        return self.has_key(key)

    def get_many(self, keys: Any, version: Any = None, **more: Any) -> Any:
        """The values; the page has their tags."""
        plain: Any = super()
        keys = list(keys)
        with _calls():
            values = plain.get_many(keys, version=version, **more)
        for key in keys:
            recorder = _recorder_for(self.edge_isr_alias, key)
            if recorder is not None:
                with _calls():
                    value = values.get(key, _MISSING)
                    if not self._edge_isr_found(recorder, key, version, value):
                        values.pop(key, None)
        return values

    def set(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Keeps the value, and what it was made of."""
        plain: Any = super()
        return self._edge_isr_put(plain.set, key, value, args, kwargs)

    def add(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Keeps the value if there is none, and what it was made of."""
        plain: Any = super()
        recorder = _recorder_for(self.edge_isr_alias, key)
        name = self._edge_isr_name(key, args, kwargs)
        span = recorder.spans.get(name) if recorder is not None else None
        if span is not None and span.replaces:
            # There is one that counts as missing.
            self._edge_isr_put(plain.set, key, value, args, kwargs)
            return True
        return self._edge_isr_put(plain.add, key, value, args, kwargs)

    def set_many(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """Keeps the values, and what they were made of."""
        plain: Any = super()
        with _calls():
            failed = plain.set_many(data, *args, **kwargs)
        for key, value in data.items():
            if _is_watched(self.edge_isr_alias, key):
                self._edge_isr_remember(key, value, args, kwargs)
        return failed

    def touch(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        """Both live longer."""
        plain: Any = super()
        if _is_watched(self.edge_isr_alias, key):
            with _calls():
                plain.touch(kept.beside(key), *args, **kwargs)
        with _calls():
            return plain.touch(key, *args, **kwargs)

    def get_or_set(self, *args: Any, **kwargs: Any) -> Any:
        """Recorded outside of requests, too."""
        plain: Any = super()
        return _with_recorder(plain.get_or_set)(*args, **kwargs)

    async def aget_or_set(self, *args: Any, **kwargs: Any) -> Any:
        """Recorded outside of requests, too."""
        plain: Any = super()
        with recording(current.get() or Recorder(active=False)):
            return await plain.aget_or_set(*args, **kwargs)

    def _edge_isr_name(self, key: Any, args: Any, kwargs: Any) -> kept.Name:
        version = args[1] if len(args) > 1 else kwargs.get("version")
        return self.edge_isr_alias, key, version

    def _edge_isr_found(self, recorder: Recorder, key: Any, version: Any, value: Any) -> bool:
        plain: Any = super()
        name = (self.edge_isr_alias, key, version)
        if value is _MISSING:
            kept.missed(recorder, name)
            return False
        return kept.found(recorder, self, name, value, lambda at: plain.get(at, version=version))

    def _edge_isr_put(self, put: Any, key: Any, value: Any, args: Any, kwargs: Any) -> Any:
        if not _is_watched(self.edge_isr_alias, key):
            return put(key, value, *args, **kwargs)
        with _calls():
            done = put(key, value, *args, **kwargs)
        if done is None or done:
            self._edge_isr_remember(key, value, args, kwargs)
        return done

    def _edge_isr_remember(self, key: Any, value: Any, args: Any, kwargs: Any) -> None:
        plain: Any = super()
        lifetime = {name: kwargs[name] for name in ("timeout", "version") if name in kwargs}
        name = self._edge_isr_name(key, args, kwargs)
        with _calls():
            try:
                facts = kept.facts_of(current.get(), name, value)
                if facts is None:
                    plain.delete(kept.beside(key), version=name[2])
                else:
                    plain.set(kept.beside(key), facts, *args[:2], **lifetime)
                    kept.after_commit(
                        current.get(),
                        facts,
                        lambda renewed: plain.set(kept.beside(key), renewed, *args[:2], **lifetime),
                    )
            except Exception:
                # The value stands; who takes it out does not know what it is made of.
                logger.exception("the tags of the cached value %r could not be kept", key)
