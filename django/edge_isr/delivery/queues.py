"""Delivery by a task queue that the project has already: Celery, RQ or django-tasks.

The task carries nothing but the name of a database; what is to be delivered stands in the outbox.
What a task leaves, or one that is lost was for, is queued again by the site's processes (`thread`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.conf import settings as django_settings

from ..conf import Settings, get_settings

# What each needs to be importable.
PACKAGES = {"celery": "celery", "rq": "django_rq"}


def deliver(using: str) -> int:
    """The task: delivers what is due, and says how many messages that were."""
    from .outbox import Deliverer

    return Deliverer().round(using, get_settings()).delivered


def missing_package(delivery: str) -> str | None:
    """The package that a way of delivery lacks."""
    package = task_framework() if delivery == "django-tasks" else PACKAGES.get(delivery)
    if package is None or find_spec(package) is not None:
        return None
    if delivery == "rq" and find_spec("rq") is not None:
        return None
    return package


def enqueue(delivery: str, using: str, settings: Settings) -> None:
    """Queues the task."""
    _ENQUEUE[delivery](using, settings)


@lru_cache(maxsize=1)
def celery_task() -> Any:
    """The task as Celery knows it: `edge_isr.deliver`. Workers find it in `edge_isr.tasks`."""
    celery = import_module("celery")
    return celery.shared_task(name="edge_isr.deliver", ignore_result=True)(deliver)


def _celery(using: str, settings: Settings) -> None:
    celery_task().apply_async(args=[using], queue=settings.queue_name)


def _rq(using: str, settings: Settings) -> None:
    if find_spec("django_rq") is not None:
        queue = import_module("django_rq").get_queue(settings.queue_name)
    else:
        queue = import_module("rq").Queue(
            settings.queue_name, connection=import_module("redis").Redis()
        )
    queue.enqueue(deliver, using)


def task_framework() -> str:
    """The module whose tasks the site runs: Django's own from 6.0 on, unless TASKS names a backend
    of the package that it came from."""
    if find_spec("django.tasks") is None:
        return "django_tasks"
    default = getattr(django_settings, "TASKS", {}).get("default", {})
    named = str(default.get("BACKEND", ""))
    return "django_tasks" if named.startswith("django_tasks.") else "django.tasks"


def _django_tasks(using: str, settings: Settings) -> None:
    # Its import makes the task, which needs TASKS.
    task = import_module("edge_isr.delivery.task").deliver
    task.using(queue_name=settings.queue_name).enqueue(using)


# By their names in DELIVERY.
_ENQUEUE: dict[str, Callable[[str, Settings], None]] = {
    "celery": _celery,
    "rq": _rq,
    "django-tasks": _django_tasks,
}
QUEUES = frozenset(_ENQUEUE)
