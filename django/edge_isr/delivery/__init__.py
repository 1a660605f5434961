"""How an invalidation gets from a committed transaction to its targets.

With the outbox (the default), rows were written with the change; a thread of the process, or
whatever DELIVERY names, carries them. Without it, a thread carries them from memory, and the change
waits for its first try a moment.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.utils.module_loading import import_string

from ..conf import Settings
from ..invalidation import Invalidation

logger = logging.getLogger("edge_isr")


def committed(
    invalidations: Sequence[Invalidation], using: str, settings: Settings, written: bool
) -> None:
    """The change is in the database for all to see."""
    if not written:
        from . import in_memory

        in_memory.send(invalidations, settings, using)
        return
    try:
        notify(using, settings)
    except Exception:
        # The rows are safe; whoever looks next delivers them.
        logger.exception("the deliverer (%s) could not be notified", settings.delivery)


def notify(using: str, settings: Settings) -> None:
    """Notifies whoever delivers that there is something to deliver."""
    if settings.delivery == "command":
        return
    if "." in settings.delivery:
        import_string(settings.delivery)(using)
        return
    from . import queues, thread

    try:
        if settings.delivery in queues.QUEUES:
            queues.enqueue(settings.delivery, using, settings)
    finally:
        # It delivers, or looks after what the queue leaves.
        thread.kick(settings)
