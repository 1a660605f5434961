"""The task as Django's task framework knows it. Its workers find it by the name of this function,
so it stands in a module of its own, which is imported where such tasks are used."""

from importlib import import_module

from ..conf import get_settings
from . import queues

_framework = import_module(queues.task_framework())


@_framework.task(queue_name=get_settings().queue_name)
def deliver(using: str) -> int:
    """Delivers what is due on a database."""
    return queues.deliver(using)
