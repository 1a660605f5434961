"""When a failed delivery is tried again: after 1, 2, 4 … seconds, at most a minute apart, for ever.

A target that is down for an hour gets its calls within a minute of its return. What was refused
for what it is (`Refused`) is not tried again.
"""

from __future__ import annotations

import random

MAX_DELAY_SECONDS = 60.0
MAX_RETRY_AFTER_SECONDS = 600.0


class Failed(Exception):
    """Not delivered; a later try may succeed."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class PutOff(Failed):
    """Not now, for a reason that concerns this message alone: others may be taken."""


class Refused(Exception):
    """Not delivered, and a later try would be refused as well."""


def delay(attempts: int, retry_after: float | None = None) -> float:
    """The seconds until the next try, after this many; a target's own wish is a lower limit."""
    wait = min(2.0 ** min(attempts - 1, 10), MAX_DELAY_SECONDS)
    # Processes that failed together should not try again together.
    wait *= random.uniform(0.9, 1.0)
    if retry_after is not None:
        wait = max(wait, min(retry_after, MAX_RETRY_AFTER_SECONDS))
    return wait
