"""Whether Django's `migrate` runs, by whatever name: the outbox may not be there yet, and whoever
makes it need not be asked to."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.core.management.commands.migrate import Command

from .patching import replace_method

_migrates: ContextVar[bool] = ContextVar("edge_isr_migrates", default=False)


def is_migrating() -> bool:
    """Whether it runs now."""
    return _migrates.get()


def install() -> None:
    """Puts the hook in place; again has no effect."""
    replace_method(Command, "execute", _execute)


def _execute(original: Callable[..., Any]) -> Any:
    def execute(self: Any, *args: Any, **options: Any) -> Any:
        token = _migrates.set(True)
        try:
            return original(self, *args, **options)
        finally:
            _migrates.reset(token)

    return execute
