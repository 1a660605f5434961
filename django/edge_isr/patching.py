"""Replacing methods of Django by themselves and a little more."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any


def replace_method(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Puts `make(original)` in a method's place, once: again has no effect."""
    original = getattr(owner, name)
    if not hasattr(original, "edge_isr_original"):
        replacement: Any = wraps(original)(make(original))
        replacement.edge_isr_original = original
        setattr(owner, name, replacement)
