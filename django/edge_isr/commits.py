"""Commits, savepoints, and what runs after a commit: the outbox is written right before, and what
has changed is sent when the site's own receivers and callbacks have been called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.db.transaction import Atomic

from .batching import (
    after_commit,
    before_commit,
    savepoint_rolled_back,
    savepoint_set,
    sent_at_its_end,
)
from .patching import replace_method
from .sqlite import has_ended


def install() -> None:
    """Puts the hooks in place; again has no effect."""
    replace_method(BaseDatabaseWrapper, "commit", _commit)
    replace_method(BaseDatabaseWrapper, "savepoint", _savepoint)
    replace_method(BaseDatabaseWrapper, "savepoint_rollback", _savepoint_rollback)
    replace_method(BaseDatabaseWrapper, "run_and_clear_commit_hooks", _run_commit_hooks)
    # Packages that keep query results patch the first; the second sends `post_save`.
    replace_method(Atomic, "__exit__", _to_its_end)
    replace_method(Model, "save_base", _to_its_end)


def _commit(original: Any) -> Any:
    def commit(self: Any) -> None:
        if self.run_on_commit:
            before_commit(self)
        original(self)

    return commit


def _savepoint(original: Any) -> Any:
    def savepoint(self: Any) -> Any:
        sid = original(self)
        savepoint_set(self, sid)
        return sid

    return savepoint


def _savepoint_rollback(original: Any) -> Any:
    def savepoint_rollback(self: Any, sid: str) -> None:
        original(self, sid)
        savepoint_rolled_back(self, sid)

    return savepoint_rollback


def _run_commit_hooks(original: Callable[[Any], None]) -> Any:
    def run_and_clear_commit_hooks(self: Any) -> None:
        has_ended(self)
        if not self.run_on_commit:
            original(self)
            return
        with sent_at_its_end():
            after_commit(self)
            original(self)

    return run_and_clear_commit_hooks


def _to_its_end(original: Callable[..., Any]) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        with sent_at_its_end():
            return original(self, *args, **kwargs)

    return method
