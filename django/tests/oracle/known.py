"""What is known to be lost: the defect's row, the views and the writes (None: all)."""

import re

_TABLE: tuple[tuple[str, str | None, str | None], ...] = ()
KNOWN = [
    (row, view and re.compile(view), write and re.compile(write)) for row, view, write in _TABLE
]
UNCACHED: set[str] = set()
