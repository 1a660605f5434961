"""Commits, savepoints, and what runs after a commit: the outbox is written right before, and what
has changed is told before the site's own callbacks are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from .batching import after_commit, before_commit, savepoint_rolled_back, savepoint_set
from .patching import replace_method
from .sqlite import has_ended


def install() -> None:
    """Puts the hooks in place; again has no effect."""
    replace_method(BaseDatabaseWrapper, "commit", _commit)
    replace_method(BaseDatabaseWrapper, "savepoint", _savepoint)
    replace_method(BaseDatabaseWrapper, "savepoint_rollback", _savepoint_rollback)
    replace_method(BaseDatabaseWrapper, "run_and_clear_commit_hooks", _run_commit_hooks)


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
        if self.run_on_commit:
            after_commit(self)
        original(self)

    return run_and_clear_commit_hooks
