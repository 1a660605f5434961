"""What a target is, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..invalidation import Invalidation


@dataclass(frozen=True)
class Receipt:
    """What a target said."""

    job_id: str = ""
    epoch: int | None = None


class Target(Protocol):
    """What a target has to be. Its class is called with the settings and its own options."""

    def send(self, invalidation: Invalidation, message_id: str) -> Receipt:
        """Invalidates; raises `retry.Failed` or `Refused`."""
