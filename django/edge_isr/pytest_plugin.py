"""The fixture of `edge_isr.testing`, for pytest; installed with the package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def edge_isr_invalidations() -> Iterator[Any]:
    """What was invalidated since the test began: `edge_isr.testing.Recorded`."""
    from .testing import recorded

    with recorded() as found:
        yield found
