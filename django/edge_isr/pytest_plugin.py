"""The fixture of `edge_isr.testing`, for pytest; installed with the package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def edge_isr_told() -> Iterator[Any]:
    """What was told since the test began: `edge_isr.testing.Told`."""
    from .testing import recorded

    with recorded() as told:
        yield told
