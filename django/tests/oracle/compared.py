"""The settings of the oracle, with results that are compared."""

from oracle.settings import *  # noqa: F403
from oracle.settings import EDGE_ISR as _EDGE_ISR

EDGE_ISR = {**_EDGE_ISR, "COMPARE_RESULTS": True}
